"""``manage.py seed_demo``: a demo clinic with drawn patients, for a first look."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from classifier.services.demo import DEMO_PEOPLE, seed_demo
from classifier.services.demo_past import seed_past
from classifier.services.errors import RuleError

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Make the demo clinic. Running it again adds nothing twice."""

    help = "Make a demo clinic with accounts, patients and drawn images (no real patient's image)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--password",
            default=os.environ.get("DEMO_PASSWORD"),
            help="Password of new demo accounts (default: DEMO_PASSWORD, else one is drawn).",
        )
        parser.add_argument(
            "--patients", type=int, default=6, help="How many drawn patients (default 6, 0 to 50)."
        )
        parser.add_argument(
            "--past",
            action="store_true",
            help="Also what the clinic did before: images read and reviewed, outcomes, a second "
            "reading asked for, a disagreement. Waits for the worker's answers.",
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Make what is missing and say what there is."""
        patients: int = options["patients"]
        if not 0 <= patients <= 50:  # noqa: PLR2004 - the bound is in the option's help
            msg = "--patients takes a number from 0 to 50."
            raise CommandError(msg)
        given: str | None = options["password"]
        password = given or secrets.token_urlsafe(12)
        try:
            made = seed_demo(password=password, patients=patients)
        except RuleError as error:
            raise CommandError(str(error)) from error
        for person in DEMO_PEOPLE:
            self.stdout.write(f"{person.email}: {person.description}")
        if not given and made.accounts:
            self.stdout.write(f"Password of the new accounts: {password}")
        self.stdout.write(
            f"{made.accounts} accounts, {made.patients} patients and {made.images} images made."
        )
        if options["past"]:
            past = seed_past()
            self.stdout.write(
                f"{past.images} images of the past made, {past.cases} read; "
                f"{past.left} wait for an answer."
            )
