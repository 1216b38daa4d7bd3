"""What the demo clinic did before the visitor came: images read and reviewed, lesions known.

It needs answers, and so a worker: ``make run`` lets it happen beside everything else when the pages
are there. Everything goes through the services, as a clinician's own work does.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.choices import (
    BodySite,
    Decision,
    Modality,
    OutcomeKind,
    Sex,
    SkinType,
    State,
    Verdict,
)
from classifier.models import Analysis, Clinic, ModelVersion, Patient, User
from classifier.services.demo import DEMO_CLINIC, DEMO_PEOPLE, as_upload
from classifier.services.errors import RuleError
from classifier.services.images import add_image
from classifier.services.outcomes import record_outcome
from classifier.services.patients import add_lesion, register_patient
from classifier.services.readings import save_reading
from classifier.services.results import record_answer_viewed
from classifier.services.reviews import save_review
from classifier.services.second_readings import request_second_reading
from mlcore.drawing import draw_dermoscopy
from mlcore.labels import label_set

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

# (name, year of birth, sex, skin type). Three lesions each: of fewer than thirty decisions the
# figures would say nothing.
_PATIENTS = (
    ("Elena Fuchs", 1949, Sex.FEMALE, SkinType.II),
    ("Tomas Berg", 1963, Sex.MALE, SkinType.I),
    ("Ngozi Adeyemi", 1988, Sex.FEMALE, SkinType.V),
    ("Karl Hoffmann", 1951, Sex.MALE, SkinType.III),
    ("Ines Duarte", 1979, Sex.FEMALE, SkinType.III),
    ("Otto Lang", 1938, Sex.MALE, SkinType.II),
    ("Priya Nair", 1995, Sex.FEMALE, SkinType.IV),
    ("Hugo Martin", 1958, Sex.MALE, SkinType.II),
    ("Clara Roth", 1967, Sex.FEMALE, SkinType.I),
    ("Samir Haddad", 1974, Sex.MALE, SkinType.IV),
    ("Ruth Keller", 1944, Sex.FEMALE, SkinType.II),
    ("Jon Aasen", 2001, Sex.MALE, SkinType.I),
    ("Mei Tanaka", 1983, Sex.FEMALE, SkinType.III),
    ("Leo Brandt", 1970, Sex.MALE, SkinType.II),
)
PAST_PATIENTS = len(_PATIENTS)
_LESIONS_EACH = 3
# What is drawn in turn, and what the team calls it.
_DRAWN = (
    ("nevus", "Brown mole"),
    ("melanoma", "Dark patch"),
    ("vascular_lesion", "Red spot"),
    ("dermatofibroma", "Firm bump"),
    ("seborrheic_keratosis", "Waxy spot"),
    ("vascular_lesion", "Red dot"),
    ("squamous_cell_carcinoma", "Scaly patch"),
    ("nevus", "Small mole"),
)
# What else it could be taken for.
_ALIKE = {"nevus": "melanoma", "melanoma": "nevus", "vascular_lesion": "nevus"}
_ELSE = "seborrheic_keratosis"
_SITES = (
    BodySite.BACK,
    BodySite.FOREARM,
    BodySite.CHEST,
    BodySite.FACE,
    BodySite.THIGH,
    BodySite.ABDOMEN,
    BodySite.LOWER_LEG,
    BodySite.UPPER_ARM,
)
_REASONS = (
    "The dermoscopic pattern says otherwise.",
    "Unchanged for years by the patient's account.",
    "The pattern is asymmetrical; it is excised.",
)
# The colleague is asked about one of them and reads it otherwise; nobody has decided.
_DIFFERS = 4
# The administrator asks the clinician for a second reading of another.
_ASKED = 9
# Every so often the clinician differs from the network and stays with it, which is right every
# other time; and every so often they change their mind when they see the answer.
_OVERRULES_EVERY, _CHANGES_MIND_EVERY = 6, 9
# Smaller than a dermatoscope's: half a minute of drawing would be felt.
_SIZE = (480, 360)
_FIRST_SEED = 4000
_POLL_SECONDS = 0.5
# Two runs at the same time: the second waits for the first. A number of no meaning.
_LOCK = 60_227_841
_WAITING = (State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class PastCounts:
    """What a run of :func:`seed_past` made.

    Attributes:
        images: how many were added.
        cases: how many were read, and mostly decided.
        left: how many have no answer yet.
    """

    images: int
    cases: int
    left: int


def seed_past(*, patients: int = PAST_PATIENTS, wait_seconds: float = 120.0) -> PastCounts:
    """Make whatever of the demo clinic's past is missing; safe to run twice, and beside itself.

    Args:
        patients: how many patients of the past, at most ``PAST_PATIENTS``.
        wait_seconds: how long to wait for a worker's answers. What has none then is left.

    Raises:
        RuleError: the settings allow no demo clinic here, or there is none yet.
    """
    clinic = Clinic.objects.filter(name=DEMO_CLINIC).first()
    if not settings.DEMO_CLINIC or clinic is None:
        raise RuleError(_("There is no demo clinic here."))
    with _alone():
        clinician, _reader, colleague = (User.objects.get(email=p.email) for p in DEMO_PEOPLE)
        images = sum(_seed_patient(clinic, clinician, index) for index in range(patients))
        if ModelVersion.objects.filter(active=True).exists():
            _await_answers(clinic, time.monotonic() + wait_seconds)
        cases = sum(_work_on(one, clinician, colleague) for one in _cases(clinic))
        return PastCounts(images=images, cases=cases, left=_waiting(clinic).count())


@contextmanager
def _alone() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


@transaction.atomic
def _seed_patient(clinic: Clinic, clinician: User, index: int) -> int:
    number = _number_of(index)
    if Patient.objects.filter(clinic=clinic, record_number=number).exists():
        return 0
    name, born, sex, skin_type = _PATIENTS[index]
    patient = register_patient(
        clinic=clinic,
        by=clinician,
        record_number=number,
        name=name,
        date_of_birth=date(born, 1 + index % 12, 1 + index % 28),
        sex=sex,
        skin_type=skin_type,
    )
    for case in range(index * _LESIONS_EACH, (index + 1) * _LESIONS_EACH):
        kind, words = _DRAWN[case % len(_DRAWN)]
        site = _SITES[case % len(_SITES)]
        label = f"{words} {case + 1}"
        lesion = add_lesion(patient=patient, by=clinician, label=label, body_site=site)
        drawn = draw_dermoscopy(kind, seed=_FIRST_SEED + case, size=_SIZE)
        add_image(
            patient=patient,
            by=clinician,
            upload=as_upload(drawn),
            modality=Modality.DERMOSCOPY,
            lesion=lesion,
            taken_at=timezone.now() - timedelta(days=1 + case * 2),
        )
    return _LESIONS_EACH


def _number_of(index: int) -> str:
    # Far from those of ``seed_demo``.
    return f"DEMO-{index + 101}"


@dataclass(frozen=True)
class _Case:
    """One analysis of the past, and its place in the row of them."""

    number: int
    analysis: Analysis


def _cases(clinic: Clinic) -> list[_Case]:
    """Return what has an answer and was touched by nobody."""
    found = Analysis.objects.filter(
        clinic=clinic,
        patient__record_number__in=[_number_of(index) for index in range(PAST_PATIENTS)],
        state__in=(State.SUCCEEDED, State.REJECTED),
        readings__isnull=True,
        review_count=0,
        image__lesion__isnull=False,
    ).select_related("image__lesion__patient", "prediction", "patient", "clinic")
    # The label ends with the number that the case had when it was drawn.
    return [
        _Case(int(one.image.lesion.label.rpartition(" ")[2]) - 1, one)
        for one in found.order_by("image__lesion__created_at", "id")
        if one.image.lesion is not None
    ]


def _waiting(clinic: Clinic) -> QuerySet[Analysis]:
    return Analysis.objects.filter(
        clinic=clinic,
        patient__record_number__in=[_number_of(index) for index in range(PAST_PATIENTS)],
        state__in=_WAITING,
    )


def _await_answers(clinic: Clinic, deadline: float) -> None:
    while _waiting(clinic).exists() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _work_on(case: _Case, clinician: User, colleague: User) -> bool:
    """Read and decide a case; all of it, or nothing where somebody else has begun meanwhile."""
    analysis, seen = case.analysis, _seen_in(case)
    try:
        with transaction.atomic():
            if case.number == _ASKED:
                save_reading(analysis=analysis, by=colleague, diagnosis=seen)
                request_second_reading(analysis=analysis, by=colleague, asked=clinician)
            elif case.number == _DIFFERS:
                save_reading(analysis=analysis, by=clinician, diagnosis=seen)
                request_second_reading(analysis=analysis, by=clinician, asked=colleague)
                other = "nevus" if seen == "melanoma" else "melanoma"
                save_reading(analysis=analysis, by=colleague, diagnosis=other)
            else:
                _decide(case, clinician, seen)
    except RuleError:
        return False
    return True


def _seen_in(case: _Case) -> str:
    """Return what a picture shows: a drawing has no diagnosis, so it is what the network sees."""
    if case.analysis.decision == Decision.ANSWER:
        return case.analysis.top_label
    return _DRAWN[case.number % len(_DRAWN)][0]


def _decide(case: _Case, clinician: User, seen: str) -> None:
    """Read a picture, look at the answer, review it, and record what the lesion was."""
    analysis, turn = case.analysis, case.number + 1
    alike = _ALIKE.get(seen, _ELSE)
    overrules = turn % _OVERRULES_EVERY == 0
    first = alike if overrules or turn % _CHANGES_MIND_EVERY == 0 else seen
    final = alike if overrules else seen
    save_reading(analysis=analysis, by=clinician, diagnosis=first)
    record_answer_viewed(analysis=analysis, by=clinician)
    agrees = analysis.decision != Decision.ANSWER or analysis.top_label == final
    save_review(
        analysis=analysis,
        by=clinician,
        verdict=Verdict.AGREE if agrees else Verdict.OVERRULE,
        expected_number=0,
        diagnosis=final,
        reason="" if agrees else _REASONS[turn % len(_REASONS)],
    )
    lesion = analysis.image.lesion
    if lesion is None:
        return
    was = final if turn % (2 * _OVERRULES_EVERY) == 0 else seen
    excised = label_set(analysis.label_set).label(was).malignant or overrules
    record_outcome(
        lesion=lesion,
        by=clinician,
        kind=OutcomeKind.HISTOPATHOLOGY if excised else OutcomeKind.FOLLOW_UP,
        diagnosis=was,
        found_on=timezone.localdate(),
        expected_number=0,
        reference=f"H-{turn:04}" if excised else "",
    )
