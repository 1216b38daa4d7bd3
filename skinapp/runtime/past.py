"""``python -m skinapp.runtime.past``: give the demo clinic a past, with the workers' help.

The supervisor starts it when the pages are there. It leaves a mark in ``var`` when nothing is
missing any more, so that a later start need not even look; killed on its way, it is begun again by
the next one and makes what is missing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django

# Whoever looks at the pages meanwhile comes first.
_NICE = 10


def main() -> int:
    """Make what is missing; return the exit status."""
    os.nice(_NICE)
    django.setup()
    from classifier.services.demo_past import seed_past  # noqa: PLC0415 - after django.setup()
    from classifier.services.errors import RuleError  # noqa: PLC0415 - as above

    try:
        made = seed_past()
    except RuleError as error:
        print(error)  # noqa: T201 - for the log
        return 1
    print(made, flush=True)  # noqa: T201 - for the log
    if not made.left:
        (Path(os.environ["SKINAPP_VAR"]) / "demo.past").touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
