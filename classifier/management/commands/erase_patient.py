"""``manage.py erase_patient``: erase one patient in the name of a superuser."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from classifier.models import Patient, User
from classifier.services.erasure import erase_patient
from classifier.services.errors import RuleError

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Erase one patient, for ever."""

    help = "Erase one patient with all pictures; a tombstone of identifiers and dates stays."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("patient", type=uuid.UUID, help="The patient's identifier.")
        parser.add_argument("--by", required=True, help="E-mail address of a superuser.")
        parser.add_argument("--reason", required=True, help="For the audit trail; no names.")
        parser.add_argument(
            "--confirm", required=True, help="The patient's record number, typed anew."
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Erase, or say why not."""
        by = User.objects.filter(email__iexact=options["by"], is_active=True).first()
        if by is None:
            msg = "Nobody active signs in with this address."
            raise CommandError(msg)
        try:
            tombstone = erase_patient(
                patient_key=options["patient"],
                by=by,
                reason=options["reason"],
                confirmation=options["confirm"],
            )
        except (RuleError, Patient.DoesNotExist) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Erased. Tombstone {tombstone.pk}.")
