"""``manage.py backup``: one archive of the database and the images."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from classifier.services.backup_archive import BackupError
from classifier.services.backups import make_backup

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator


class Command(BaseCommand):
    """Write an archive; the application may go on working meanwhile."""

    help = "Write one archive of the database and the images, with a hash of every part."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "target", type=Path, help="The archive, or a folder in which it gets a dated name."
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Write it and say what is in it."""
        target: Path = options["target"]
        if target.is_dir():
            target /= f"skinapp-{timezone.now():%Y%m%dT%H%M%S}.tar"
        try:
            with _stoppable():
                summary = make_backup(target=target)
        except (BackupError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{target}: the database and {summary.files} files, {summary.size / 1e6:.1f} MB. "
            "It holds patients' data: encrypt it, and try restoring it."
        )


@contextmanager
def _stoppable() -> Iterator[None]:
    """Tidy up when told to stop, as `docker stop` does: Python itself would end at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(_number: int, _frame: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)
