"""Sensitivity and specificity by model version, against what lesions turned out to be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import Exists, F, OuterRef, Subquery
from django.db.models.functions import Coalesce

from classifier.choices import Behaviour, Decision
from classifier.models import Analysis, ModelVersion, Outcome, Prediction, Reading
from classifier.selectors.outcomes import LABELS, RIGHT_MODALITY, day_of_picture
from classifier.selectors.rates import TOO_FEW, Share
from classifier.wording import term
from mlcore.labels import LABEL_SETS

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from classifier.models import Clinic, User

_MELANOMA = "melanoma"


@dataclass(frozen=True)
class Accuracy:
    """How often something was found where it was, and not said where it was not.

    Attributes:
        sensitivity: of the lesions that were it, the share that was called so.
        specificity: of those that were not, the share that was not called so.
        silent: lesions with an outcome of which nothing was said (it could not, or the picture was
            rejected); they are in neither share.
    """

    sensitivity: Share
    specificity: Share
    silent: int


@dataclass(frozen=True)
class Scorer:
    """One model version, or the readers, over all lesions with an outcome.

    Attributes:
        name: of the version; empty for the readers.
        version: None for the readers.
        lesions: how many lesions are counted.
        malignant: malignant or pre-malignant against benign, by the first label.
        melanoma: melanoma against everything else, by the first label.
    """

    name: str
    version: ModelVersion | None
    lesions: int
    malignant: Accuracy
    melanoma: Accuracy

    @property
    def enough(self) -> bool:
        """Whether counts may be told: of few lesions they would tell single, hidden answers."""
        return self.lesions >= TOO_FEW


@dataclass(frozen=True)
class OutcomeFigures:
    """What the page of figures shows for one clinic and one label set."""

    label_set: str
    name: str
    versions: list[Scorer]
    readers: Scorer


def outcome_figures(clinic: Clinic, user: User) -> list[OutcomeFigures]:
    """Return sensitivity and specificity by model version, for each label set.

    Every lesion counts once for a version: of the lesion's pictures that the version judged and
    that were not taken after the outcome was found, the newest counts, because that is what a
    decision rested on. When the version judged it does not matter, so that a version that is run
    again over old pictures is measured by the same rule; a picture taken later may show the scar.
    The readers are counted likewise, by the newest picture that somebody read without knowing the
    answer, and of this by the first such reading.

    What the person must read first is left out, or one lesion more would tell its answer.

    Args:
        clinic: whose lesions; that the person works there is the caller's to check.
        user: who looks.
    """
    versions = ModelVersion.objects.filter(
        pk__in=Prediction.objects.filter(clinic=clinic).values("model_version")
    ).defer("manifest", "metrics")
    by_key = {version.pk: version for version in versions.order_by("-registered_at")}
    said: dict[Any, Counter[_Case]] = {key: Counter() for key in by_key}
    for key, decision, label, diagnosis, behaviour in _predicted(clinic, user):
        called = label if decision == Decision.ANSWER else ""
        said[key][_Case(called, diagnosis, behaviour)] += 1
    read: dict[str, Counter[_Case]] = {key: Counter() for key in LABEL_SETS}
    for key, label, diagnosis, behaviour in _read(clinic, user):
        read[key][_Case(label if label in LABELS else "", diagnosis, behaviour)] += 1
    return [
        OutcomeFigures(
            label_set=key,
            name=term(each.name),
            versions=[
                _scorer(version.version, version, said[version.pk])
                for version in by_key.values()
                if version.label_set == key
            ],
            readers=_scorer("", None, read[key]),
        )
        for key, each in LABEL_SETS.items()
    ]


@dataclass(frozen=True)
class _Case:
    """What was said of a lesion (a label, or nothing), and what it was."""

    called: str
    diagnosis: str
    behaviour: str


def _scorer(name: str, version: ModelVersion | None, cases: Counter[_Case]) -> Scorer:
    clear = Counter({case: n for case, n in cases.items() if case.behaviour != Behaviour.UNCERTAIN})
    return Scorer(
        name=name,
        version=version,
        lesions=cases.total(),
        malignant=_accuracy(
            clear,
            was=lambda case: case.behaviour == Behaviour.MALIGNANT,
            called=lambda case: LABELS[case.called].malignant,
        ),
        melanoma=_accuracy(
            cases,
            was=lambda case: case.diagnosis == _MELANOMA,
            called=lambda case: case.called == _MELANOMA,
        ),
    )


def _accuracy(cases: Counter[_Case], *, was: Any, called: Any) -> Accuracy:
    told: Counter[tuple[bool, bool]] = Counter()
    silent = 0
    for case, n in cases.items():
        if case.called:
            told[was(case), called(case)] += n
        else:
            silent += n
    return Accuracy(
        sensitivity=Share(told[True, True], told[True, True] + told[True, False]),
        specificity=Share(told[False, False], told[False, False] + told[False, True]),
        silent=silent,
    )


def _of_lesion(name: str, lesion: str) -> Subquery:
    """Return a column of the outcome that counts of a row's lesion."""
    standing = Outcome.objects.standing().filter(lesion=OuterRef(lesion)).order_by()
    return Subquery(standing.values(name)[:1])


def _known(clinic: Clinic) -> QuerySet[Any, Any]:
    """Return the lesions that have an outcome: few of all, so they are where to begin."""
    return Outcome.objects.standing().filter(clinic=clinic).order_by().values("lesion")


def _predicted(clinic: Clinic, user: User) -> QuerySet[Any, Any]:
    """Return (version, decision, first label, outcome, behaviour), a row a lesion and version."""
    judged = Analysis.objects.filter(image=OuterRef("image"), prediction__isnull=False)
    hidden = judged.exclude(Analysis.objects.open_to(user))
    return (
        Prediction.objects.filter(
            ~Exists(hidden), RIGHT_MODALITY, clinic=clinic, image__lesion__in=_known(clinic)
        )
        .annotate(
            found_on=_of_lesion("found_on", "image__lesion"),
            outcome=_of_lesion("diagnosis", "image__lesion"),
            behaviour=_of_lesion("behaviour", "image__lesion"),
            moment=Coalesce("image__taken_at", "image__created_at"),
        )
        .filter(found_on__isnull=False, found_on__gte=day_of_picture("image"))
        .order_by("image__lesion_id", "model_version_id", "-moment", "-created_at", "-id")
        .distinct("image__lesion_id", "model_version_id")
        .values_list("model_version", "decision", "top_label", "outcome", "behaviour")
    )


def _read(clinic: Clinic, user: User) -> QuerySet[Any, Any]:
    """Return (label set, reading, outcome, behaviour), a row a lesion and label set."""
    opened = Analysis.objects.filter(Analysis.objects.open_to(user))
    return (
        Reading.objects.filter(
            Exists(opened.filter(pk=OuterRef("analysis"))),
            clinic=clinic,
            blinded=True,
            analysis__image__lesion__in=_known(clinic),
            analysis__modality=F("analysis__image__modality"),
        )
        .annotate(
            found_on=_of_lesion("found_on", "analysis__image__lesion"),
            outcome=_of_lesion("diagnosis", "analysis__image__lesion"),
            behaviour=_of_lesion("behaviour", "analysis__image__lesion"),
            moment=Coalesce("analysis__image__taken_at", "analysis__image__created_at"),
        )
        # Who read it after the outcome was found may have known it.
        .filter(
            found_on__isnull=False,
            found_on__gte=day_of_picture("analysis__image"),
            created_at__date__lte=F("found_on"),
        )
        .order_by(
            "analysis__image__lesion_id", "analysis__label_set", "-moment", "created_at", "id"
        )
        .distinct("analysis__image__lesion_id", "analysis__label_set")
        .values_list("analysis__label_set", "diagnosis", "outcome", "behaviour")
    )
