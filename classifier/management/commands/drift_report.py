"""``manage.py drift_report``: do recent pictures still look like those of the release?"""

from __future__ import annotations

import json
import sys
import uuid
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from classifier.models import Clinic
from classifier.selectors.drift import DAYS, Drift, drifts_of, measure_name, watched_versions

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

_MOST_DAYS = 3660
_SAID = {
    "no_reference": "this release carries no reference; nothing can be compared",
    "too_few": "too few pictures to say",
    "calm": "nothing has shifted",
    "alarm": "SHIFTED",
}


class Command(BaseCommand):
    """Compare recent pictures with the release's reference; the status is 1 on an alarm."""

    help = "Compare what networks are shown, and what they say, with their release's reference."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Let ``--version`` be a network's; Django's own is printed by ``manage.py version``."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="Print the report as JSON.")
        parser.add_argument(
            "--clinic", default="", help="Name or key of one clinic; all together without it."
        )
        parser.add_argument(
            "--version",
            dest="model_version",
            default="",
            help="1.1.0 or isic9/1.1.0; the active versions without it.",
        )
        parser.add_argument(
            "--days", type=int, default=DAYS, help="How far to look back (%(default)s)."
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Compare, report, and end with status 1 where something has shifted.

        Raises:
            CommandError: there is no such clinic or version, or the days are none.
        """
        if not 1 <= options["days"] <= _MOST_DAYS:
            msg = f"--days takes 1 to {_MOST_DAYS}."
            raise CommandError(msg)
        clinic = _clinic(options["clinic"]) if options["clinic"] else None
        versions = list(watched_versions(name=options["model_version"]))
        if not versions:
            raise CommandError("There is no such model version; see manage.py register_models.")
        found = drifts_of(versions, until=timezone.now(), clinic=clinic, days=options["days"])
        alarm = any(drift.alarms for drift in found)
        if options["json"]:
            facts = {
                "clinic": str(clinic.pk) if clinic else None,
                "days": options["days"],
                "alarm": alarm,
                "versions": [drift.facts() for drift in found],
            }
            self.stdout.write(json.dumps(facts, indent=2))
        else:
            self.stdout.write("\n".join(line for drift in found for line in _lines(drift)))
        if alarm:
            sys.exit(1)


def _clinic(name: str) -> Clinic:
    try:
        found = Clinic.objects.filter(pk=uuid.UUID(name)).first()
    except ValueError:
        found = Clinic.objects.filter(name=name).first()
    if found is None:
        raise CommandError("There is no clinic of this name or key.")
    return found


def _lines(drift: Drift) -> list[str]:
    counted = f"{drift.pictures} pictures"
    if drift.unmeasured:
        counted += f", {drift.unmeasured} more from before measures were stored"
    lines = [f"{drift.version}: {_SAID[drift.state]} ({counted})"]
    lines += [
        f"  {'!' if row.shifted else ' '} {measure_name(row.measure):36} "
        f"{row.reference_median:10.4g} -> {row.median:10.4g}  distance {row.distance:.2f}"
        for row in drift.shifts
        if row.enough
    ]
    return lines
