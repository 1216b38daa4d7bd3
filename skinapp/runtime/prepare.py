"""``python -m skinapp.runtime.prepare``: make a database ready for the processes that use it.

One process for all steps, because importing Django is what takes long. Every line on the standard
output is a sentence for the person who started ``make run``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path

import django
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import CommandError, call_command

from mlcore.bundle import list_releases


def main() -> int:
    """Run every step; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m skinapp.runtime.prepare")
    parser.add_argument("--patients", type=int, default=6, help="how many drawn demo patients")
    options = parser.parse_args()
    django.setup()
    try:
        say("bringing the database up to date …")
        # With Django's checks, which neither web nor worker runs at its start.
        call_command("migrate", verbosity=0, interactive=False, skip_checks=False)
        _register()
        _collect_static()
        _seed(options.patients)
    except CommandError as error:
        say(str(error))
        return 1
    return 0


def say(sentence: str) -> None:
    """Print a sentence for the supervisor to pass on."""
    print(sentence, flush=True)  # noqa: T201 - the command's own words


def _register() -> None:
    folder = Path(settings.MLCORE_RELEASES)
    if list_releases(folder):
        say("registering the networks …")
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - not a file
            call_command("register_models", stdout=nowhere)
        return
    say(
        f"there is no trained network in {folder}: uploads are taken in and wait. "
        "`make train` makes one; start again afterwards."
    )


def _collect_static() -> None:
    """Collect the static files, unless none has changed since the last time."""
    facts = hashlib.sha256()
    for finder in get_finders():
        for name, storage in finder.list([]):
            place = Path(storage.path(name)).stat()
            facts.update(f"{name} {place.st_size} {place.st_mtime_ns}\n".encode())
    stamp = Path(settings.STATIC_ROOT) / ".collected"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == facts.hexdigest():
        return
    call_command("collectstatic", verbosity=0, interactive=False, clear=True)
    stamp.write_text(facts.hexdigest(), encoding="utf-8")


def _seed(patients: int) -> None:
    from classifier.models import User  # noqa: PLC0415 - models exist after django.setup()
    from classifier.services.demo import DEMO_PEOPLE, seed_demo  # noqa: PLC0415 - as above

    password = os.environ["DEMO_PASSWORD"]
    person = User.objects.filter(email=DEMO_PEOPLE[0].email).first()
    if person is None:
        say("making the demo clinic …")
    elif not person.check_password(password):
        say("the demo accounts have a password of your own; the one below opens none of them.")
    seed_demo(password=password, patients=patients)


if __name__ == "__main__":
    sys.exit(main())
