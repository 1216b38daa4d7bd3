"""``manage.py audit``: seal the audit trail, and find what somebody did to it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from classifier.services.audit_chain import MOST_FAULTS, seal, verify

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from classifier.services.audit_chain import Fault

_HEAD = re.compile(r"([1-9][0-9]{0,18}):([0-9a-f]{64})")
_WORDS = {
    "changed": "Event {event} (link {position}) was changed after it was sealed.",
    "removed": "Event {event} was removed.",
    "inserted": "Event {event} was inserted past the triggers.",
    "gap": "Link {position} of the chain was removed.",
    "head": "Link {position} is not the one that was written down: the chain was cut or rewritten.",
}


class Command(BaseCommand):
    """Seal and verify the audit trail."""

    help = "Verify the chain over the audit trail, or seal what is due."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("deed", choices=["verify", "seal"], help="What to do.")
        parser.add_argument(
            "--head",
            default="",
            help="POSITION:DIGEST as an earlier verification printed it; must still be there.",
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Do it and say what was found; a fault is an error."""
        if options["deed"] == "seal":
            self.stdout.write(f"{seal()} events sealed.")
            return
        verdict = verify(expected=_expected(options["head"]))
        if verdict.faults:
            for fault in verdict.faults[:MOST_FAULTS]:
                self.stderr.write(sentence(fault))
            msg = f"The audit trail does not fit its chain: {len(verdict.faults)} faults."
            raise CommandError(msg)
        self.stdout.write(f"{verdict.position} events, nothing changed, removed or inserted.")
        self.stdout.write(f"Head, to write down elsewhere: {verdict.position}:{verdict.head}")


def sentence(fault: Fault) -> str:
    """Return a fault in words."""
    return _WORDS[fault.kind].format(event=fault.event, position=fault.position)


def _expected(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    found = _HEAD.fullmatch(text)
    if found is None:
        msg = "Give --head as POSITION:DIGEST, as an earlier verification printed it."
        raise CommandError(msg)
    return int(found[1]), found[2]
