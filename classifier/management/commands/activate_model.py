"""``manage.py activate_model``: choose which network answers, or go back to the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from classifier.models import LabelSet, ModelVersion
from classifier.services.errors import RuleError
from classifier.services.model_versions import activate_version, roll_back

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Switch the network of one label set; workers follow with their next batch."""

    help = "Let a registered model version answer, or roll a label set back to the one before."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("label_set", choices=LabelSet.values, help="Which label set.")
        parser.add_argument("version", nargs="?", default="", help="The version, like 1.0.0.")
        parser.add_argument(
            "--roll-back",
            action="store_true",
            help="Return to the version that answered before; give no version then.",
        )
        parser.add_argument("--reason", default="", help="Why; kept with the switch.")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Switch and say so, or say plainly why not."""
        label_set: str = options["label_set"]
        name: str = options["version"]
        if bool(name) == bool(options["roll_back"]):
            msg = "Give a version, or --roll-back, not both."
            raise CommandError(msg)
        try:
            if name:
                version = _activated(label_set, name, options["reason"])
            else:
                version = roll_back(label_set=label_set, reason=options["reason"])
        except RuleError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{version} answers for {label_set} from the next batch on.")


def _activated(label_set: str, name: str, reason: str) -> ModelVersion:
    versions = ModelVersion.objects.filter(label_set=label_set)
    version = versions.filter(version=name).first()
    if version is None:
        known = ", ".join(sorted(versions.values_list("version", flat=True))) or "none"
        msg = (
            f"{label_set} {name} is not registered (known: {known}). "
            "Put its folder under the releases and run register_models."
        )
        raise CommandError(msg)
    activate_version(version=version, reason=reason)
    return version
