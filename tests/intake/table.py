"""Print what each hostile file is answered, as Markdown.

``python -m tests.intake.table`` asks the intake itself; the test of the same files asks over HTTP
and also proves that nothing is left behind.
"""

from __future__ import annotations

import os
import sys
import time


def main() -> None:
    """Write the table to standard output."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.test")
    import django

    django.setup()
    rows = ["| File | What it is | Status | What the person reads | ms |", "|---|---|---|---|---|"]
    rows += _rows()
    sys.stdout.write("\n".join(rows) + "\n")


def _rows() -> list[str]:
    """Return a row for each file, in the table's order."""
    from django.core.files.uploadedfile import SimpleUploadedFile

    from classifier.intake import Refused, accept
    from classifier.services.images import FileOutcome
    from classifier.views.images import _refusal_status
    from tests.intake.hostile import HOSTILE

    rows = []
    for hostile in HOSTILE:
        upload = SimpleUploadedFile(hostile.name, hostile.data)
        began = time.process_time()
        try:
            accept(upload)
        except Refused as refused:
            outcome = FileOutcome(hostile.name, refusal=str(refused), code=refused.code)
            status, sentence = _refusal_status([outcome]), outcome.refusal
        else:
            status, sentence = 200, "accepted (!)"
        spent = (time.process_time() - began) * 1000
        rows.append(f"| `{hostile.name}` | {hostile.what} | {status} | {sentence} | {spent:.0f} |")
    return rows


if __name__ == "__main__":
    main()
