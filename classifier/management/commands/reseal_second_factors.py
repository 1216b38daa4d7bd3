"""``manage.py reseal_second_factors``: encrypt their secrets with the newest key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from classifier.services.sealing import SealError, reseal_all


class Command(BaseCommand):
    """Run it after a new key was put first, before the old one is taken out."""

    help = "Encrypts the secrets of second factors with the newest key."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        try:
            changed = reseal_all()
        except SealError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{changed} secrets were encrypted anew.")
