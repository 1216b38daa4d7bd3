"""``manage.py register_models``: make the shipped releases known."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from classifier.models import ModelVersion
from classifier.services.errors import RuleError
from classifier.services.model_versions import activate_version, register_release
from mlcore.bundle import ReleaseError, list_releases


class Command(BaseCommand):
    """Register every release folder; where nothing answers yet, the newest one does from now on."""

    help = "Verify and register the releases under MLCORE_RELEASES."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Register, activate where nothing is active, and say so."""
        folders = list_releases(Path(settings.MLCORE_RELEASES))
        if not folders:
            msg = f"There is no release under {settings.MLCORE_RELEASES}."
            raise CommandError(msg)
        newest: dict[str, ModelVersion] = {}
        try:
            for folder in folders:
                version, new = register_release(folder=folder)
                newest[version.label_set] = version
                self.stdout.write(f"{version}: {'registered' if new else 'known'}")
            for label_set, version in newest.items():
                if not ModelVersion.objects.filter(label_set=label_set, active=True).exists():
                    activate_version(version=version)
                    self.stdout.write(f"{version} answers for {label_set}")
        except (ReleaseError, RuleError) as error:
            raise CommandError(str(error)) from error
