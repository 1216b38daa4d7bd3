"""``manage.py fill_embeddings``: let similar cases know those from before embeddings were kept."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from classifier.models import Clinic, ModelVersion
from classifier.selectors.workplace import fresh_waits
from classifier.services import embedding_fill
from classifier.services.embedding_fill import batches, place, unplaced
from classifier.services.model_versions import verified_release
from mlcore.bundle import ReleaseError
from mlcore.predictor import Predictor

if TYPE_CHECKING:
    from django.core.management.base import CommandParser
    from django.db.models import QuerySet

    from classifier.models import Prediction

_PAUSE_SECONDS = 1.0
_TELL_SECONDS = 10.0
_WHY = {
    embedding_fill.NO_FEATURES: "the network gives no features, or more than can be kept",
    embedding_fill.OTHER_ANSWER: "the release says something else now than what is on record",
    embedding_fill.OTHER_INPUT: "the picture is not the one that was judged",
    embedding_fill.UNREADABLE: "the picture could not be read now",
    embedding_fill.BROKEN: "the network broke on the picture",
    embedding_fill.ERASED: "erased meanwhile",
    "input_missing": "the picture's file is missing",
    "input_changed": "the picture's file was changed",
    "release": "the release's files are missing or were changed",
}


class Command(BaseCommand):
    """Compute the missing embeddings with the releases that answered; nothing else is written.

    Fresh uploads go first. Stopped and called again, it goes on with what is still missing.
    """

    help = "Compute missing embeddings of confirmed cases, for the similar cases beside an answer."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--all", action="store_true", help="Of every prediction, not of confirmed cases only."
        )
        parser.add_argument("--clinic", default="", help="Name of a clinic; all without it.")
        parser.add_argument("--dry-run", action="store_true", help="Count only; write nothing.")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Count, and unless that was all, place version by version.

        Raises:
            CommandError: there is no such clinic.
        """
        clinic = Clinic.objects.filter(name=options["clinic"]).first()
        if options["clinic"] and clinic is None:
            msg = f"There is no clinic named {options['clinic']}."
            raise CommandError(msg)
        found = unplaced(every=options["all"], clinic=clinic)
        answered = ModelVersion.objects.filter(predictions__isnull=False).distinct()
        missing = {
            version: count
            for version in answered.order_by("label_set", "registered_at")
            if (count := found.filter(model_version=version).count())
        }
        for version, count in missing.items():
            self.stdout.write(f"{version}: {count} without an embedding")
        self.stdout.write(f"{sum(missing.values())} in all.")
        if options["dry_run"]:
            return
        told: Counter[str] = Counter()
        for version, count in missing.items():
            told += self._fill(version, found, count)
        self.stdout.write(f"Computed: {told.pop(embedding_fill.PLACED, 0)}")
        for reason, count in told.most_common():
            self.stdout.write(f"Left out: {count} ({_WHY[reason]})")

    def _fill(self, version: ModelVersion, found: QuerySet[Prediction], count: int) -> Counter[str]:
        try:
            release = verified_release(version)
        except ReleaseError as error:
            self.stderr.write(f"{version}: {error}")
            return Counter({"release": count})
        # One core, like everything that is in no hurry.
        predictor = Predictor(release, engine=settings.MLCORE_ENGINE, threads=1)
        told: Counter[str] = Counter()
        spoke = time.monotonic()
        for keys in batches(found, version):
            while fresh_waits():
                time.sleep(_PAUSE_SECONDS)
            told += place(keys, predictor)
            if time.monotonic() - spoke >= _TELL_SECONDS:
                spoke = time.monotonic()
                self.stdout.write(f"{version}: {told.total()} of {count}")
        return told
