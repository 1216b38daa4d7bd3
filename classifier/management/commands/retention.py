"""``manage.py retention``: erase records that are older than their clinic keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from classifier.models import Clinic
from classifier.services.retention import apply_retention, overdue

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Apply the clinics' retention rules, or show what they would do."""

    help = "Erase patients whose last visit is longer ago than their clinic keeps records."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--dry-run", action="store_true", help="Only list what would be erased."
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """List, and unless it is a dry run erase. Identifiers only: no name reaches a log."""
        if not Clinic.objects.filter(retention_years__isnull=False).exists():
            self.stdout.write("No clinic has a retention rule: nothing is erased by age.")
            return
        found = list(overdue())
        for row in found:
            self.stdout.write(
                f"{row.patient.pk}  last visit {row.last_visit:%Y-%m-%d}, kept {row.years} years"
            )
        if options["dry_run"]:
            self.stdout.write(f"{len(found)} patients would be erased. Nothing was.")
        else:
            self.stdout.write(f"{apply_retention()} patients erased.")
