"""Placing images that were judged before embeddings were kept, so that similar cases know them.

Only rows of :class:`Embedding` are added: no prediction, analysis or transition is touched. Each is
made by the release that gave the answer, and only where that release still says what it said.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef

from classifier.models import Analysis, Embedding, Patient, Prediction
from classifier.selectors.similar import is_confirmed
from classifier.services.answers import place_of
from classifier.services.network_inputs import InputFaultError, stored_input

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from django.db.models import QuerySet
    from PIL import Image as Pillow

    from classifier.models import Clinic, ModelVersion
    from mlcore.predictor import Predictor, Result
    from mlcore.quality import Quality

logger = logging.getLogger(__name__)

# A fresh upload waits for so many pictures at most, and so many are in memory together.
AT_ONCE = 8
# Keys that are read together: sixteen bytes each.
_KEYS = 1000
# Engines of one release agree within 1e-3; what lies further away is not the same answer.
_SAME = 0.01

PLACED = "placed"
NO_FEATURES = "no_features"
OTHER_ANSWER = "other_answer"
OTHER_INPUT = "other_input"
UNREADABLE = "unreadable"
BROKEN = "broken"
ERASED = "erased"


@dataclass(frozen=True)
class _Case:
    row: Prediction
    picture: Pillow.Image
    quality: Quality | None


def unplaced(*, every: bool, clinic: Clinic | None = None) -> QuerySet[Prediction]:
    """Return the predictions without an embedding, in no order.

    Args:
        every: all of them; else those of confirmed cases, which similar cases show.
        clinic: whose; None for all.
    """
    found = Prediction.objects.filter(embedding__isnull=True).order_by()
    if clinic is not None:
        found = found.filter(clinic=clinic)
    if not every:
        known = Analysis.objects.filter(is_confirmed(), prediction=OuterRef("pk"))
        found = found.filter(Exists(known))
    return found


def batches(found: QuerySet[Prediction], version: ModelVersion) -> Iterator[list[UUID]]:
    """Yield the keys of a version's predictions, a few at a time, each once."""
    keys = found.filter(model_version=version).order_by("pk").values_list("pk", flat=True)
    last: UUID | None = None
    while True:
        chunk = list((keys if last is None else keys.filter(pk__gt=last))[:_KEYS])
        if not chunk:
            return
        for start in range(0, len(chunk), AT_ONCE):
            yield chunk[start : start + AT_ONCE]
        last = chunk[-1]


def place(keys: Sequence[UUID], predictor: Predictor) -> Counter[str]:
    """Compute and keep the embeddings of some predictions of one version.

    Safe to run twice, and beside workers and itself: what is there already stays.

    Args:
        keys: of predictions of the release's version.
        predictor: the release that gave them, loaded.

    Returns:
        How many were placed, and how many not, by reason.
    """
    cases, told = _read(keys)
    kept: list[Embedding] = []
    for row, result in _judge(cases, predictor):
        vector = place_of(result) if result else None
        if result is None:
            told[BROKEN] += 1
        elif not _same(row, result):
            told[OTHER_ANSWER] += 1
        elif vector is None:
            told[NO_FEATURES] += 1
        else:
            kept.append(
                Embedding(
                    prediction=row,
                    clinic_id=row.clinic_id,
                    patient_id=row.image.patient_id,
                    model_version_id=row.model_version_id,
                    vector=vector,
                )
            )
    stored = _keep(kept)
    told[PLACED] += stored
    told[ERASED] += len(kept) - stored
    return +told


def _read(keys: Sequence[UUID]) -> tuple[list[_Case], Counter[str]]:
    """Return what can be judged, and how many cannot, by reason."""
    told: Counter[str] = Counter()
    cases: list[_Case] = []
    rows = Prediction.objects.filter(pk__in=keys, embedding__isnull=True).select_related("image")
    for row in rows.defer("evidence_maps", "timings_ms", "measures"):
        if row.input_sha256 != row.image.network_source_sha256:
            told[OTHER_INPUT] += 1
            continue
        try:
            cases.append(_Case(row, *stored_input(row.image)))
        except InputFaultError as fault:
            told[fault.code] += 1
        except Exception:  # whatever storage or decoder raise, the others are placed
            logger.exception("The picture of prediction %s could not be read now.", row.pk)
            told[UNREADABLE] += 1
    return cases, told


def _judge(
    cases: Sequence[_Case], predictor: Predictor
) -> Iterator[tuple[Prediction, Result | None]]:
    """Yield what the network says of each; nothing of one that breaks it."""
    if not cases:
        return
    try:
        results = predictor.predict([c.picture for c in cases], [c.quality for c in cases])
    except Exception:  # whatever an engine raises, the others are placed
        if len(cases) == 1:
            logger.exception("The picture of prediction %s broke the network.", cases[0].row.pk)
            yield cases[0].row, None
        else:
            for case in cases:
                yield from _judge([case], predictor)
        return
    yield from zip([case.row for case in cases], results, strict=True)


@transaction.atomic
def _keep(rows: Sequence[Embedding]) -> int:
    # Who erases one of these patients waits for us, or has erased them already.
    patients = Patient.objects.filter(pk__in={row.patient_id for row in rows})
    there = set(patients.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))
    rows = [row for row in rows if row.patient_id in there]
    Embedding.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _same(row: Prediction, result: Result) -> bool:
    said = row.probabilities
    return said.keys() == result.probabilities.keys() and all(
        abs(said[key] - chance) <= _SAME for key, chance in result.probabilities.items()
    )
