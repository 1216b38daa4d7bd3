"""``manage.py restore``: an archive of ``manage.py backup`` into this instance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from classifier.services.backup_archive import BackupError, verify_backup
from classifier.services.backups import restore_backup
from classifier.services.restored import note_restore

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Verify an archive, put it in place, and bring its tables up to date."""

    help = "Restore an archive of manage.py backup. Stop web, workers and beat before."
    # The database may hold anything, or nothing.
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own attribute

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("archive", type=Path)
        parser.add_argument(
            "--replace",
            action="store_true",
            help="Throw away what this instance holds. Without it, it must be empty.",
        )
        parser.add_argument(
            "--keep-access",
            action="store_true",
            help="Keep the sessions and API tokens of the backup's moment, revoked ones as well.",
        )
        parser.add_argument(
            "--verify-only", action="store_true", help="Only check the archive's hashes."
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Restore it and say what was restored."""
        archive: Path = options["archive"]
        try:
            if options["verify_only"]:
                manifest = verify_backup(archive=archive)
                self.stdout.write(f"{archive} of {manifest['made_at']} is whole.")
                return
            summary = restore_backup(archive=archive, replace=options["replace"])
        except (BackupError, OSError) as error:
            raise CommandError(str(error)) from error
        call_command("migrate", verbosity=0, interactive=False)
        keep = options["keep_access"]
        ended = note_restore(summary=summary, keep_access=keep)
        self.stdout.write(
            f"Restored the database and {summary.files} files of {summary.made_at}. "
            + (
                "Sessions and API tokens are those of that moment, also what was ended since."
                if keep
                else f"{ended.sessions} sessions were ended and {ended.tokens} API tokens revoked."
            )
        )
        self.stdout.write(
            "People, roles, passwords and webhooks are those of that moment, too: deactivate again "
            "who was deactivated since."
        )
        if summary.gone:
            self.stdout.write(
                f"{summary.gone} files that were removed meanwhile are not there. Erase again who "
                "was erased meanwhile or since; an import of old images whose archive is not there "
                "ends by itself."
            )
