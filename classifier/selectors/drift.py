"""Whether a network still is shown what it was released on, and still says the like of it.

The figures page, ``manage.py drift_report`` and the task of the night all ask here. Compared are
the measures that are stored with every prediction and those that the release keeps as its
reference; how is told in :mod:`mlcore.drift`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db.models import BooleanField, ExpressionWrapper, F
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from classifier.choices import BodySite
from classifier.models import Analysis, ModelVersion
from mlcore.drift import CONFIDENCE, GATE_PREFIX, INPUTS, SUSPICION, Shift, shifts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from classifier.models import Clinic

# The newest so many are compared: a shift that matters moves a tenth of them, and more pictures
# would only cost more time.
MOST_PICTURES = 2000
# A month has pictures enough in most departments, and is soon enough to act.
DAYS = 30


@dataclass(frozen=True)
class Seen:
    """One recent picture.

    Attributes:
        measures: what is compared; without what the network said where that is left out.
        skin_type: of the patient.
        sex: likewise.
        age: in whole years when the picture was taken; None where no birthday is known, or a later
            one.
        site: of the lesion; "unknown" without one.
    """

    measures: dict[str, float]
    skin_type: str
    sex: str
    age: int | None
    site: str


@dataclass(frozen=True)
class Drift:
    """How the recent pictures of one version compare with its release's reference.

    Attributes:
        version: which network; its ``metrics`` and ``manifest`` are not read.
        since: from when on pictures count.
        until: up to when.
        seen: the recent pictures that have measures.
        unmeasured: how many were answered before measures were stored.
        reference: what the release carries to compare with, or None.
        shifts: one row a measure of the reference; empty without one.
    """

    version: ModelVersion
    since: datetime
    until: datetime
    seen: list[Seen]
    unmeasured: int
    reference: dict[str, Any] | None
    shifts: list[Shift] = field(default_factory=list)

    @property
    def pictures(self) -> int:
        """How many recent pictures have measures."""
        return len(self.seen)

    @property
    def has_reference(self) -> bool:
        """Whether there is something to compare with."""
        return bool(self.reference)

    @property
    def alarms(self) -> list[Shift]:
        """The measures that have shifted."""
        return [row for row in self.shifts if row.shifted]

    @property
    def enough(self) -> bool:
        """Whether any measure was taken of pictures enough to say something."""
        return any(row.enough for row in self.shifts)

    @property
    def state(self) -> str:
        """``no_reference``, ``too_few``, ``alarm`` or ``calm``."""
        if not self.has_reference:
            return "no_reference"
        if not self.enough:
            return "too_few"
        return "alarm" if self.alarms else "calm"

    def facts(self) -> dict[str, Any]:
        """Return everything as JSON can say it; what is not defined is null."""
        return {
            "label_set": self.version.label_set,
            "version": self.version.version,
            "active": self.version.active,
            "state": self.state,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "pictures": self.pictures,
            "unmeasured": self.unmeasured,
            "measures": [
                {
                    "measure": row.measure,
                    "pictures": row.pictures,
                    "reference_median": row.reference_median,
                    "median": row.median if row.pictures else None,
                    "distance": round(row.distance, 4),
                    "chance": row.chance,
                    "enough": row.enough,
                    "shifted": row.shifted,
                }
                for row in self.shifts
            ],
        }


def watched_versions(*, name: str = "") -> QuerySet[ModelVersion]:
    """Return the versions to compare, with what drift needs of them and nothing heavy.

    Args:
        name: a version's own ("1.1.0"), or with its label set ("isic9 1.1.0", "isic9/1.1.0");
            empty: those that answer now.
    """
    versions = (
        ModelVersion.objects.defer("manifest", "metrics")
        .annotate(reference=KeyTransform("reference", "metrics"))
        .order_by("label_set", "version")
    )
    if not name:
        return versions.filter(active=True)
    label_set, _slash, version = name.replace("/", " ").rpartition(" ")
    found = versions.filter(version=version)
    return found.filter(label_set=label_set) if label_set else found


def drifts_of(
    versions: Iterable[ModelVersion],
    *,
    until: datetime,
    clinic: Clinic | None = None,
    days: int = DAYS,
    hiding: bool = False,
) -> list[Drift]:
    """Compare recent pictures of each version with its reference: one query for all.

    Pictures whose kind was corrected later are left out: the network was shown them by mistake.

    Args:
        versions: from :func:`watched_versions`.
        until: the end of the time that is looked at.
        clinic: whose pictures; None for all clinics together.
        days: how long that time is, 1 or more.
        hiding: whether what the network said is compared only where its answer is hidden from
            nobody, as a page must that people see who have yet to read some of the images.
    """
    versions = list(versions)
    since = until - timedelta(days=days)
    rows = _newest(versions, clinic, since, until)
    found = []
    for version in versions:
        reference: dict[str, Any] | None = version.reference  # type: ignore[attr-defined]  # annotated
        seen = [
            _seen(measures if is_open or not hiding else _of_picture(measures), *row)
            for measures, *row, is_open in rows[version.pk]
            if measures is not None
        ]
        drift = Drift(
            version=version,
            since=since,
            until=until,
            seen=seen,
            unmeasured=len(rows[version.pk]) - len(seen),
            reference=reference,
            shifts=compared(reference, seen) if reference else [],
        )
        found.append(drift)
    return found


def compared(reference: dict[str, Any], seen: Sequence[Seen]) -> list[Shift]:
    """Compare pictures with a reference: one row a measure, pictures first, then answers, gates."""
    values: dict[str, list[float]] = defaultdict(list)
    for one in seen:
        for name, value in one.measures.items():
            values[name].append(value)
    recent = {name: np.asarray(them, np.float64) for name, them in values.items()}
    return sorted(shifts(reference, recent), key=_place)


def measure_name(measure: str) -> str:
    """Return what a measure is called on a page."""
    names = {
        **dict(
            zip(
                INPUTS,
                (
                    _("Spread of brightness"),
                    _("Brightest parts"),
                    _("Darkest parts"),
                    _("Sharpness"),
                    _("Fine detail"),
                    _("Contrast of the lesion"),
                ),
                strict=True,
            )
        ),
        CONFIDENCE: _("Highest probability"),
        SUSPICION: _("Probability of anything malignant"),
        f"{GATE_PREFIX}not_skin": _("Gate: not skin"),
        f"{GATE_PREFIX}other_kind": _("Gate: another kind of picture"),
        f"{GATE_PREFIX}labels": _("Gate: none of the labels"),
    }
    return names.get(measure, measure)


def _place(row: Shift) -> tuple[int, str]:
    """Return where a measure stands in a report: pictures, answers, gates; JSON keeps no order."""
    known = (*INPUTS, CONFIDENCE, SUSPICION)
    return (known.index(row.measure) if row.measure in known else len(known), row.measure)


def _newest(
    versions: Sequence[ModelVersion], clinic: Clinic | None, since: datetime, until: datetime
) -> dict[UUID, list[tuple[Any, ...]]]:
    """Return the measures of the newest pictures of each version, and whose they are.

    Last of each row: whether the answer is hidden from nobody.
    """
    found = Analysis.objects.filter(
        prediction__isnull=False,
        created_at__gte=since,
        created_at__lt=until,
        modality=F("image__modality"),
    )
    if clinic is not None:
        found = found.filter(clinic=clinic)
    newest = [
        found.filter(model_version=version)
        .order_by("-created_at", "-id")
        .values_list(
            "model_version_id",
            "prediction__measures",
            "patient__skin_type",
            "patient__sex",
            "patient__date_of_birth",
            Coalesce("image__taken_at", "created_at"),
            "image__lesion__body_site",
            ExpressionWrapper(Analysis.objects.open_to_everybody(), output_field=BooleanField()),
        )[:MOST_PICTURES]
        for version in versions
    ]
    rows: dict[UUID, list[tuple[Any, ...]]] = {one.pk: [] for one in versions}
    if newest:
        for key, *row in newest[0].union(*newest[1:], all=True):
            rows[key].append(tuple(row))
    return rows


def _of_picture(measures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in measures.items() if name in INPUTS}


def _seen(
    measures: dict[str, float],
    skin_type: str,
    sex: str,
    born: date | None,
    taken: datetime,
    site: str | None,
) -> Seen:
    age = None
    if born is not None and born <= taken.date():
        age = taken.year - born.year - ((taken.month, taken.day) < (born.month, born.day))
    return Seen(measures, skin_type, sex, age, site or BodySite.UNKNOWN.value)
