"""``manage.py exchange_samples``: write a letter and the like about a drawn mole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from classifier.exchange.samples import write_samples

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Show what other systems get, without anybody's data; the database is not asked."""

    help = "Write sample files of every export into a folder, made from a drawn picture."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("folder", type=Path, help="Where to write; it must exist.")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Write them and say where they lie."""
        folder: Path = options["folder"]
        if not folder.is_dir():
            raise CommandError("There is no such folder. Make it first.")
        for path in write_samples(folder):
            self.stdout.write(f"{path.name}: {path.stat().st_size} bytes")
