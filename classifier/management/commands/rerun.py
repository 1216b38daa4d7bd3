"""``manage.py rerun``: what another network would have said of past cases."""

from __future__ import annotations

import csv
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from classifier.cells import harmless
from classifier.choices import RerunState
from classifier.models import Clinic, LabelSet, ModelVersion, RerunRun
from classifier.selectors.reruns import CSV_HEADER, csv_rows, totals_of, versions_before
from classifier.services.errors import RuleError
from classifier.services.rerun_work import go_on
from classifier.services.reruns import count_cases, start_rerun

if TYPE_CHECKING:
    from argparse import ArgumentParser

_SLICE_SECONDS = 5.0
_PAUSE_SECONDS = 1.0


class Command(BaseCommand):
    """Judge past cases by a registered version beside the running workers, and say what differs.

    Fresh uploads go first, here as in the workers. Stopped and called again, it goes on where it
    was.
    """

    help = "Compare a registered model version with the answers on record of a period."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Let ``--version`` name the network's version, not Django's."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("label_set", choices=LabelSet.values, help="Which label set.")
        parser.add_argument("--version", required=True, help="The version, like 1.1.0.")
        parser.add_argument("--since", required=True, type=date.fromisoformat, help="First day.")
        parser.add_argument("--until", required=True, type=date.fromisoformat, help="Last day.")
        parser.add_argument("--clinic", default="", help="Name of a clinic; all without it.")
        parser.add_argument("--csv", default="", help="Write the cases that change to this file.")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Start or take up the comparison, work until it is over, and tell the totals."""
        version = ModelVersion.objects.filter(
            label_set=options["label_set"], version=options["version"]
        ).first()
        if version is None:
            msg = f"{options['label_set']} {options['version']} is not registered."
            raise CommandError(msg)
        clinic = Clinic.objects.filter(name=options["clinic"]).first()
        if options["clinic"] and clinic is None:
            msg = f"There is no clinic named {options['clinic']}."
            raise CommandError(msg)
        since, until = options["since"], options["until"]
        if since > until:
            msg = "The period ends before it begins."
            raise CommandError(msg)
        try:
            count = count_cases(version=version, clinic=clinic, since=since, until=until)
            self.stdout.write(f"{count} cases to judge by {version}.")
            run = start_rerun(version=version, clinic=clinic, since=since, until=until, by=None)
        except RuleError as error:
            raise CommandError(str(error)) from error
        self._work(run)
        self._tell(run)
        if options["csv"]:
            with Path(options["csv"]).open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(CSV_HEADER)
                for row in csv_rows(run, None):
                    writer.writerow([harmless(str(cell)) for cell in row])

    def _work(self, run: RerunRun) -> None:
        before = -1
        while run.state == RerunState.RUNNING:
            go_on(seconds=_SLICE_SECONDS, run=run)
            run.refresh_from_db()
            totals = totals_of(run)
            if totals.done != before:
                self.stdout.write(f"{totals.done} of {totals.cases}")
            elif run.is_busy:
                # Something fresh goes first, or another worker holds the rest.
                time.sleep(_PAUSE_SECONDS)
            before = totals.done
        if run.state == RerunState.CANCELLED:
            msg = run.told or "The comparison was cancelled."
            raise CommandError(msg)

    def _tell(self, run: RerunRun) -> None:
        totals = totals_of(run)
        before = ", ".join(f"{name} ({count})" for name, count in versions_before(run))
        self.stdout.write(f"Answered before by: {before}")
        self.stdout.write(f"First label differs: {totals.labels} of {totals.judged}")
        self.stdout.write(f"Triage group differs: {totals.triage} of {totals.judged}")
        for _change, word, count in totals.changes:
            self.stdout.write(f"  {word}: {count}")
        if totals.failed:
            self.stdout.write(f"Could not be judged: {totals.failed}")
