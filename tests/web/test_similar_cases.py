"""Similar cases: the nearest confirmed ones of the clinic, by one network, of other patients."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.contrib.postgres.operations import CreateExtension
from django.core.management import CommandError
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from classifier import schema_changes
from classifier.choices import Decision
from classifier.models import Analysis, Embedding, Image, Lesion, ModelVersion
from classifier.models.embeddings import DIMENSIONS
from classifier.selectors import similar
from classifier.selectors.similar import similar_cases, words_of
from classifier.services.erasure import erase_patient
from classifier.services.outcomes import record_outcome, withdraw_outcome
from classifier.services.patients import add_lesion
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from tests import factories
from tests.web import answered as make
from tests.web.answers import text_of
from tests.web.test_markup import faults_of

if TYPE_CHECKING:
    from classifier.models import Clinic, Patient, User
    from tests.conftest import Cast


def place(angle: float) -> list[float]:
    """Return a place so many degrees away from that of angle 0, seen from the middle."""
    turned = np.deg2rad(angle)
    return [float(np.cos(turned)), float(np.sin(turned)), *[0.0] * (DIMENSIONS - 2)]


def placed(analysis: Analysis, angle: float, *, version: ModelVersion | None = None) -> Analysis:
    """Keep where the network places the image of an analysis."""
    assert analysis.prediction is not None
    Embedding.objects.create(
        prediction=analysis.prediction,
        clinic=analysis.clinic,
        patient=analysis.patient,
        model_version=version or analysis.prediction.model_version,
        vector=place(angle),
    )
    return analysis


def case(
    clinic: Clinic,
    by: User,
    angle: float,
    *,
    patient: Patient | None = None,
    verdict: str = "agree",
    version: ModelVersion | None = None,
    **facts: Any,
) -> Analysis:
    """Make a case that a clinician has judged."""
    patient = patient or factories.make_patient(clinic, by)
    analysis = placed(
        make.answered(make.bare_image(patient, by), by, **facts), angle, version=version
    )
    if verdict:
        save_reading(analysis=analysis, by=by, diagnosis="nevus")
        told = {"diagnosis": "nevus", "reason": "Seen before"} if verdict == "overrule" else {}
        save_review(analysis=analysis, by=by, verdict=verdict, expected_number=0, **told)
    return analysis


@pytest.fixture
def asked(cast: Cast) -> Analysis:
    """Return the case whose neighbours are looked for; its owner has read it."""
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    placed(analysis, 0)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    return analysis


def found(analysis: Analysis, by: User) -> list[Analysis]:
    """Return the similar cases, the nearest first."""
    return [one.analysis for one in similar_cases(analysis, by) or []]


def test_the_nearest_confirmed_cases_of_other_patients_in_the_clinic(
    cast: Cast, asked: Analysis
) -> None:
    north, owner = cast.clinic, cast.owner
    angles = (50, 10, 40, 20, 70, 30, 60, 80)
    cases = {angle: case(north, owner, angle) for angle in angles}
    # Nearer than all of them, and none of them one: the same patient's, undecided, deferred,
    # another clinic's, by another network, corrected to another modality, and rejected.
    case(north, owner, 1, patient=cast.patient)
    case(north, owner, 2, verdict="")
    case(north, owner, 3, verdict="defer")
    case(cast.other_clinic, cast.stranger, 4)
    strange = case(north, owner, 5, version=factories.make_model_version(active=False))
    corrected = case(north, owner, 6)
    corrected.image.modality = "clinical"
    corrected.image.save()
    case(north, owner, 7, decision=Decision.REJECTED, verdict="overrule")
    assert found(asked, owner) == [cases[angle] for angle in (10, 20, 30, 40, 50, 60)]
    assert found(strange, owner) == []
    # Nobody else's clinic, and no clinic, opens any.
    assert found(asked, cast.stranger) == []
    assert found(asked, cast.superuser) == []
    assert found(asked, cast.read_only) != []


def test_the_six_are_found_among_many_nearer_ones_of_other_clinics(
    cast: Cast, asked: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [case(cast.clinic, cast.owner, 60 + angle) for angle in range(7)]
    rng = np.random.default_rng(5)
    patient = factories.make_patient(cast.other_clinic, cast.stranger)
    rows = [
        make.predict(make.bare_image(patient, cast.stranger), top="nevus") for _number in range(120)
    ]
    Embedding.objects.bulk_create(
        Embedding(
            prediction=row,
            clinic=cast.other_clinic,
            patient=patient,
            model_version=row.model_version,
            vector=(np.array(place(0)) + rng.normal(0, 0.002, DIMENSIONS)).tolist(),
        )
        for row in rows
    )
    with connection.cursor() as cursor:
        # Of what other tests took back, the index keeps the places.
        cursor.execute("REINDEX INDEX embedding_nearest")
        # So few rows are faster sorted than looked up: the index is to be tried.
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute("SET LOCAL enable_seqscan = off")
    monkeypatch.setattr(similar, "_EF_SEARCH", 10)
    # The index goes on until six are left over; where it gives up, all of the clinic's are asked.
    for most, asked_for in ((20_000, 1), (1, 2)):
        monkeypatch.setattr(similar, "_MOST_SCANNED", most)
        with CaptureQueriesContext(connection) as queries:
            assert found(asked, cast.owner) == cases[:6]
        assert sum("<=>" in query["sql"] for query in queries) == asked_for


def test_a_diagnosis_is_the_clinicians_last_word(cast: Cast, asked: Analysis) -> None:
    agreed = case(cast.clinic, cast.owner, 10, top="melanoma")
    overruled = case(cast.clinic, cast.owner, 40, top="melanoma", verdict="overrule")
    told = {one.analysis: one for one in similar_cases(asked, cast.owner) or []}
    assert told[agreed].diagnosis == "Melanoma"
    assert told[overruled].diagnosis == "Nevus"
    assert told[agreed].words == "very much alike"
    assert told[overruled].words == "alike"
    assert [words_of(far) for far in (0.5, 0.7)] == ["a little alike", "hardly alike"]


def test_what_a_lesion_turned_out_to_be_counts_more(cast: Cast, asked: Analysis) -> None:
    decided = case(cast.clinic, cast.owner, 10)
    unread = case(cast.clinic, cast.owner, 20, verdict="")
    save_reading(analysis=unread, by=cast.owner, diagnosis="nevus")
    for analysis in (decided, unread):
        lesion = add_lesion(patient=analysis.patient, by=cast.owner, label="Mole")
        Image.objects.filter(pk=analysis.image_id).update(lesion=lesion)
        record_outcome(
            lesion=lesion,
            by=cast.owner,
            kind="histopathology",
            diagnosis="basal_cell_carcinoma",
            found_on=timezone.localdate(),
            expected_number=0,
        )
    told = {one.analysis: one for one in similar_cases(asked, cast.owner) or []}
    assert {one.diagnosis for one in told.values()} == {"Basal cell carcinoma"}
    assert {one.confirmed for one in told.values()} == {"Histopathology"}
    assert told.keys() == {decided, unread}
    withdraw_outcome(
        lesion=Lesion.objects.get(patient=unread.patient),
        by=cast.owner,
        expected_number=1,
        reason="Of another lesion",
    )
    assert found(asked, cast.owner) == [decided]


def test_a_picture_taken_after_the_outcome_is_no_picture_of_it(cast: Cast, asked: Analysis) -> None:
    scar = case(cast.clinic, cast.owner, 10, verdict="")
    save_reading(analysis=scar, by=cast.owner, diagnosis="nevus")
    before = case(cast.clinic, cast.owner, 20, verdict="")
    save_reading(analysis=before, by=cast.owner, diagnosis="nevus")
    today = timezone.now()
    for analysis, days_ago in ((scar, 1), (before, 5)):
        lesion = add_lesion(patient=analysis.patient, by=cast.owner, label="Mole")
        Image.objects.filter(pk=analysis.image_id).update(
            lesion=lesion, taken_at=today - timedelta(days=days_ago)
        )
        record_outcome(
            lesion=lesion,
            by=cast.owner,
            kind="histopathology",
            diagnosis="melanoma",
            found_on=timezone.localdate(today - timedelta(days=5)),
            expected_number=0,
        )
    assert found(asked, cast.owner) == [before]
    # What a clinician decides of the later picture is told as that, and not as what was found.
    save_review(analysis=scar, by=cast.owner, verdict="agree", expected_number=0)
    told = {one.analysis: one for one in similar_cases(asked, cast.owner) or []}
    assert told[scar].confirmed == "decided by a clinician"
    assert told[before].confirmed == "Histopathology"


def test_nothing_is_shown_before_the_own_reading(cast: Cast, asked: Analysis) -> None:
    near = case(cast.clinic, cast.owner, 10)
    address = reverse("analysis_similar", args=[asked.pk])
    blind = cast.client_of(cast.colleague)
    assert blind.get(address).status_code == 404
    assert address not in blind.get(asked.get_absolute_url()).content.decode()
    reader = cast.client_of(cast.owner)
    shown = reader.get(asked.get_absolute_url()).content.decode()
    # Each case that is shown counts as seen: they come when asked for, not when scrolled past.
    assert re.search(rf'<a href="{address}"[^>]* hx-get="{address}"', shown)
    assert 'hx-trigger="revealed"' not in shown
    page = reader.get(address)
    assert faults_of(page.content.decode()) == []
    assert near.get_absolute_url() in page.content.decode()
    assert "Looking alike is no evidence" in text_of(page)
    with CaptureQueriesContext(connection) as queries:
        part = reader.get(address, headers={"HX-Request": "true"})
    assert len(queries) <= 12
    assert "<html" not in part.content.decode()
    # Pictures leave by the signed addresses of this person alone.
    assert f"/images/{near.image_id}/thumbnail/" in part.content.decode()


def test_an_image_without_a_place_says_so(cast: Cast) -> None:
    cast.clinic.blinded_first = False
    cast.clinic.save()
    old = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    reader = cast.client_of(cast.owner)
    assert "judged before" in text_of(reader.get(reverse("analysis_similar", args=[old.pk])))
    placed(old, 0)
    assert "There is none yet" in text_of(reader.get(reverse("analysis_similar", args=[old.pk])))


def test_an_erased_patients_place_is_gone(cast: Cast, asked: Analysis) -> None:
    gone = case(cast.clinic, cast.owner, 10)
    stays = case(cast.clinic, cast.owner, 20)
    erase_patient(
        patient_key=gone.patient_id,
        by=cast.administrator,
        reason="Asked for it",
        confirmation=gone.patient.record_number,
    )
    assert found(asked, cast.owner) == [stays]
    assert set(Embedding.objects.values_list("patient", flat=True)) == {
        asked.patient_id,
        stays.patient_id,
    }


def test_a_database_without_pgvector_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_how: Any) -> None:
        raise DatabaseError("permission denied to create extension")

    monkeypatch.setattr(CreateExtension, "database_forwards", refuse)
    with pytest.raises(CommandError, match=r"permission denied .* CREATE EXTENSION vector"):
        schema_changes.VectorExtension().database_forwards("classifier", None, None, None)
