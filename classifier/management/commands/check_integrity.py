"""``manage.py check_integrity``: is everything stored still what was stored?"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand

from classifier.services.integrity import Report, check_everything
from classifier.services.integrity_runs import record, tell

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Check every file, row, state and release now; the status is 1 where something is wrong."""

    help = "Check hashes of files and releases, rows without files and the reverse, and states."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--sweep",
            action="store_true",
            help="Remove files that no row names and end imports without archive, as every night.",
        )
        parser.add_argument(
            "--grace-hours",
            type=float,
            default=settings.INTEGRITY_GRACE_HOURS,
            help="Files younger than this may belong to an upload under way (%(default)s).",
        )
        parser.add_argument("--json", action="store_true", help="Print the report as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Check, report, and end with status 1 where there are findings."""
        grace = timedelta(hours=options["grace_hours"])
        report = check_everything(sweep=options["sweep"], grace=grace)
        for finding in report.findings:
            tell(finding)
        record(looked_at=dict(report.looked_at), counts=report.counts, swept=report.swept)
        self.stdout.write(_as_json(report) if options["json"] else _as_text(report))
        if report.findings:
            sys.exit(1)


def _as_json(report: Report) -> str:
    facts = {
        "looked_at": dict(report.looked_at),
        "counts": report.counts,
        "findings": [asdict(finding) for finding in report.findings],
        "swept": report.swept,
        "adopted": report.adopted,
    }
    return json.dumps(facts, indent=2)


def _as_text(report: Report) -> str:
    lines = [f"{count} {what} looked at" for what, count in sorted(report.looked_at.items())]
    if report.swept:
        lines.append(f"{report.swept} orphan files removed")
    if report.adopted:
        lines.append(f"{report.adopted} copies of before hashes were kept: their hash is kept now")
    lines += [
        f"{finding.code}: {finding.subject} {finding.detail}".rstrip()
        for finding in report.findings
    ]
    total = len(report.findings)
    lines.append(f"{total} faults; docs/runbook.md says what to do." if total else "All is well.")
    return "\n".join(lines)
