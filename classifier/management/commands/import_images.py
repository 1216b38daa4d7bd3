"""``manage.py import_images``: import a folder or an archive of old images from this machine."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from classifier.choices import ImportState, RowState
from classifier.exchange.import_work import go_on
from classifier.exchange.importing import check_again, counts_of, open_source, start
from classifier.exchange.sources import FolderSource, ZipSource
from classifier.models import Clinic, User
from classifier.services.errors import RuleError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from classifier.exchange.sources import Source
    from classifier.models import ImportRun

_SLICE_SECONDS = 5.0


class Command(BaseCommand):
    """Look every line through, print what is refused and why, and with ``--go`` take the rest in.

    Interrupted or run again, it goes on where it was; a line that is in the record adds nothing.
    """

    help = "Import old images: a folder or ZIP archive with one CSV table. Without --go, a dry run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("path", type=Path, help="The folder or the archive.")
        parser.add_argument("--clinic", required=True, help="The clinic's name.")
        parser.add_argument(
            "--as", required=True, dest="email", help="E-mail of an administrator of the clinic."
        )
        parser.add_argument("--go", action="store_true", help="Add what was found fit.")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Import."""
        clinic = Clinic.objects.filter(name=options["clinic"]).first()
        user = User.objects.filter(email__iexact=options["email"]).first()
        if clinic is None or user is None:
            raise CommandError("There is no such clinic, or no such account.")
        try:
            with ExitStack() as open_files:
                self._import(clinic, user, self._source(options["path"], open_files), options["go"])
        except RuleError as error:
            raise CommandError(str(error)) from error

    def _source(self, path: Path, open_files: ExitStack) -> Source:
        if path.is_dir():
            return FolderSource(path)
        try:
            return ZipSource(open_files.enter_context(path.open("rb")))
        except OSError as error:
            raise CommandError("The archive cannot be read.") from error

    def _import(self, clinic: Clinic, user: User, source: Source, go: bool) -> None:  # noqa: FBT001 - an option
        digest = hashlib.sha256(source.table()).hexdigest()
        run = open_source(clinic=clinic, by=user, source=source, digest=digest)
        if not run.is_busy:
            check_again(run=run, by=user, at_hand=True)
            run.refresh_from_db()
        self._through(run, source)
        if go and run.state == ImportState.CHECKED:
            start(run=run, by=user)
            run.refresh_from_db()
            self._through(run, source)
        counts = counts_of(run)
        for row in run.rows.filter(state=RowState.REFUSED).order_by("line"):
            self.stdout.write(f"line {row.line}: {row.told}")
        for state in RowState:
            self.stdout.write(f"{state.label}: {counts[state]}")
        if not go:
            self.stdout.write("A dry run: nothing was added. Run it with --go.")

    def _through(self, run: ImportRun, source: Source) -> None:
        stage = run.state
        while run.is_busy and run.state == stage:
            go_on(run, seconds=_SLICE_SECONDS, source=source)
            run.refresh_from_db()
            counts = counts_of(run)
            left = counts[RowState.NEW] if run.state == ImportState.CHECKING else 0
            self.stderr.write(
                f"{run.get_state_display()}: {sum(counts.values())} lines, {left} new"
            )
