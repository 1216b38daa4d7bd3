"""What a lesion turned out to be: recorded, corrected, and every past prediction against it."""

from __future__ import annotations

import json
import re
import uuid
import zipfile
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.base import ContentFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from classifier.choices import Decision
from classifier.models import (
    Analysis,
    AuditEvent,
    Clinic,
    LabelSet,
    Lesion,
    ModelVersion,
    Outcome,
)
from classifier.selectors.accuracy import outcome_figures
from classifier.selectors.outcomes import scored_predictions, standing_outcomes
from classifier.services.errors import ConflictError, RuleError
from classifier.services.exports import export_patient
from classifier.services.outcomes import record_outcome, withdraw_outcome
from classifier.services.patients import FieldRuleError
from classifier.services.readings import save_reading
from classifier.services.second_readings import request_second_reading
from tests import factories
from tests.web import answered as make
from tests.web.answers import text_of

if TYPE_CHECKING:
    from tests.conftest import Cast

TODAY = timezone.localdate
FIGURES = reverse("outcome_figures")


@pytest.fixture
def lesion(cast: Cast) -> Lesion:
    """Return a lesion of the first clinic's patient."""
    return lesion_of(cast, "mole")


def lesion_of(cast: Cast, label: str) -> Lesion:
    """Make a lesion."""
    return Lesion.objects.create(
        clinic=cast.clinic, patient=cast.patient, label=label, created_by=cast.owner
    )


def answered(cast: Cast, lesion: Lesion, days_ago: int = 10, **extra: Any) -> Analysis:
    """Make a finished analysis of a picture of the lesion, taken so many days ago."""
    image = make.bare_image(cast.patient, cast.owner)
    image.lesion = lesion
    image.taken_at = timezone.now() - timedelta(days=days_ago)
    image.save()
    return make.answered(image, cast.owner, **extra)


def found(cast: Cast, lesion: Lesion, diagnosis: str = "melanoma", **extra: Any) -> Outcome:
    """Record an outcome as the owner would."""
    facts: dict[str, Any] = {
        "kind": "histopathology",
        "found_on": TODAY(),
        "expected_number": Outcome.objects.filter(lesion=lesion).count(),
        "by": cast.owner,
    } | extra
    return record_outcome(lesion=lesion, diagnosis=diagnosis, **facts)


def test_a_correction_is_another_row_and_the_newest_counts(cast: Cast, lesion: Lesion) -> None:
    first = found(cast, lesion, "nevus", reference=" H-17 ")
    assert (first.number, first.behaviour, first.reference) == (1, "benign", "H-17")
    with pytest.raises(FieldRuleError, match="Say why"):
        found(cast, lesion)
    second = found(cast, lesion, reason="Second slide.")
    assert standing_outcomes([lesion]) == {lesion.pk: second}
    withdraw_outcome(lesion=lesion, by=cast.owner, expected_number=2, reason="Another lesion's.")
    assert standing_outcomes([lesion]) == {}
    with pytest.raises(RuleError, match="no outcome that"):
        withdraw_outcome(lesion=lesion, by=cast.owner, expected_number=3, reason="Again.")
    found(cast, lesion, "other", diagnosis_text="Wart", behaviour="benign", reason="Right one.")
    said = list(Outcome.objects.values_list("number", "diagnosis", "withdrawn"))
    assert said == [
        (1, "nevus", False),
        (2, "melanoma", False),
        (3, "melanoma", True),
        (4, "other", False),
    ]
    actions = AuditEvent.objects.filter(action__startswith="outcome.").order_by("at")
    assert [event.action.removeprefix("outcome.") for event in actions] == [
        "recorded",
        "corrected",
        "withdrawn",
        "corrected",
    ]
    assert "melanoma" not in str(list(actions.values_list("details", "reason")))


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"kind": "hearsay"}, "kind"),
        ({"diagnosis": "measles"}, "diagnosis"),
        ({"diagnosis": "other", "behaviour": "benign"}, "diagnosis_text"),
        ({"diagnosis": "other", "diagnosis_text": " ", "behaviour": "benign"}, "diagnosis_text"),
        ({"diagnosis": "other", "diagnosis_text": "Wart"}, "behaviour"),
        ({"found_on": date(2999, 1, 1)}, "found_on"),
        ({"found_on": date(1960, 1, 1)}, "found_on"),
        ({"found_on": date(1, 1, 1)}, "found_on"),
    ],
)
def test_what_cannot_be_an_outcome(
    cast: Cast, lesion: Lesion, facts: dict[str, Any], field: str
) -> None:
    cast.patient.date_of_birth = date(1980, 5, 1)
    cast.patient.save()
    lesion.refresh_from_db()
    with pytest.raises(FieldRuleError) as error:
        found(cast, lesion, **({"diagnosis": "nevus"} | facts))
    assert error.value.field == field
    assert not Outcome.objects.exists()


def test_the_slower_of_two_and_who_may_only_look(cast: Cast, lesion: Lesion) -> None:
    found(cast, lesion)
    with pytest.raises(ConflictError, match="while you were writing"):
        found(cast, lesion, "nevus", expected_number=0)
    for user in (cast.read_only, cast.stranger, cast.superuser):
        with pytest.raises(RuleError, match="lets you look"):
            found(cast, lesion, by=user, reason="No.")


def test_every_prediction_is_scored_as_far_as_it_may_be_seen(cast: Cast, lesion: Lesion) -> None:
    seen = answered(cast, lesion, top="basal_cell_carcinoma")
    save_reading(analysis=seen, by=cast.owner, diagnosis="melanoma")
    save_reading(analysis=seen, by=cast.colleague, diagnosis="other", diagnosis_text="Burn")
    hidden = answered(cast, lesion, days_ago=5, top="nevus")
    silent = answered(cast, lesion, days_ago=3, decision=Decision.CANNOT_SAY)
    save_reading(analysis=silent, by=cast.owner, diagnosis="nevus")
    # One that was made for another modality is left out.
    wrong = answered(cast, lesion, days_ago=2)
    wrong.image.modality = "clinical"
    wrong.image.save()
    rows = scored_predictions(lesion, found(cast, lesion), cast.owner)
    assert [row.analysis for row in rows] == [silent, hidden, seen]
    last, dark, first = rows
    assert (last.said, last.score) == ("", None)
    assert dark.prediction is None
    assert first.said == "Basal cell carcinoma"
    assert first.score is not None
    assert (first.score.exact, first.score.group, first.score.behaviour) == (False, True, True)
    (mine, words) = first.readings
    assert mine.score is not None
    assert mine.score.exact
    assert (words.diagnosis, words.score) == ("Burn", None)
    with translation.override("de"):
        german = scored_predictions(lesion, Outcome.objects.get(), cast.owner)[-1]
    assert [row.diagnosis for row in german.readings] == ["Melanom", "Burn"]


def many(cast: Cast, count: int, top: str, diagnosis: str, **extra: Any) -> list[Analysis]:
    """Make lesions with one answered picture and one outcome each."""
    made = []
    for number in range(count):
        one = lesion_of(cast, f"{top} {diagnosis} {number} {extra}")
        made.append(answered(cast, one, top=top, **extra))
        found(cast, one, diagnosis)
    return made


def test_figures_count_each_lesion_once_by_the_newest_picture_before_the_outcome(
    cast: Cast,
) -> None:
    one = lesion_of(cast, "one")
    answered(cast, one, days_ago=30, top="nevus")
    counted = answered(cast, one, days_ago=20, top="melanoma")
    # A picture of the scar, and one of another kind, say nothing of what was excised.
    answered(cast, one, days_ago=1, top="dermatofibroma")
    save_reading(analysis=counted, by=cast.owner, diagnosis="nevus")
    # From now on nobody has to read first, and the other pictures count too.
    Clinic.objects.update(blinded_first=False)
    found(cast, one, found_on=TODAY() - timedelta(days=5))
    dermoscopic = outcome_figures(cast.clinic, cast.owner)[0]
    (version,) = dermoscopic.versions
    assert version.lesions == 1
    assert version.malignant.sensitivity.counts == "1 of 1"
    assert version.melanoma.sensitivity.counts == "1 of 1"
    assert version.melanoma.specificity.counts == "0 of 0"
    # The reading came after the outcome was found: the reader may have known it.
    assert dermoscopic.readers.lesions == 0
    found(cast, one, reason="Reported today.")
    readers = outcome_figures(cast.clinic, cast.owner)[0].readers
    # Of the pictures that somebody read, the newest counts: it was read before this outcome.
    assert readers.melanoma.sensitivity.counts == "0 of 1"


def test_figures_leave_out_what_the_person_must_read_first(cast: Cast, lesion: Lesion) -> None:
    analysis = answered(cast, lesion, top="melanoma")
    found(cast, lesion)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    for user, counted in ((cast.owner, 1), (cast.colleague, 0)):
        figures = outcome_figures(cast.clinic, user)[0]
        assert [each.lesions for each in figures.versions] == [counted]
        assert figures.readers.lesions == counted


def test_figures_by_version_with_intervals_and_what_was_left_unsaid(cast: Cast) -> None:
    Clinic.objects.update(blinded_first=False)
    many(cast, 27, "melanoma", "melanoma")
    many(cast, 3, "nevus", "basal_cell_carcinoma")
    many(cast, 4, "melanoma", "melanoma", decision=Decision.REJECTED)
    many(cast, 5, "nevus", "nevus")
    unsure = lesion_of(cast, "unsure")
    answered(cast, unsure, top="melanoma")
    found(cast, unsure, "other", diagnosis_text="STUMP", behaviour="uncertain")
    # The same pictures judged by another version, which takes everything for a nevus.
    old = factories.make_model_version(LabelSet.ISIC9, active=False)
    for prediction in list(ModelVersion.objects.get(active=True).predictions.all()):
        prediction.pk, prediction.model_version = uuid.uuid4(), old
        prediction.top_label, prediction.decision = "nevus", Decision.ANSWER
        prediction.save(force_insert=True)
    scorers = {each.version: each for each in outcome_figures(cast.clinic, cast.owner)[0].versions}
    now = scorers[ModelVersion.objects.get(active=True)]
    assert now.lesions == 40
    assert now.malignant.sensitivity.counts == "27 of 30"
    assert now.malignant.sensitivity.percent == "90 %"
    # Wilson's interval of 27 of 30, by the formula by hand: 74.4 to 96.5 %.
    assert now.malignant.sensitivity.percent_interval == "74 to 97 %"
    assert now.malignant.specificity.percent == "too few to say"
    assert now.malignant.silent == 4
    assert now.melanoma.specificity.counts == "8 of 9"
    assert scorers[old].malignant.sensitivity.counts == "0 of 34"
    assert scorers[old].malignant.sensitivity.percent_interval == "0 to 10 %"
    page = text_of(cast.client_of(cast.read_only).get(FIGURES))
    assert "90 %" in page
    assert "74 to 97 %" in page
    # Of few lesions not even the count of those that were right is told.
    assert "8 of 9" not in page
    assert "too few to say" in page


def test_the_pages_of_a_lesion(cast: Cast, lesion: Lesion) -> None:
    analysis = answered(cast, lesion, top="melanoma")
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    address = reverse("lesion_outcome", args=[lesion.pk])
    client = cast.client_of(cast.owner)
    assert "Record what it turned out to be" in text_of(client.get(address))
    send = reverse("outcome_record", args=[lesion.pk])
    form = {
        "kind": "histopathology",
        "diagnosis": "melanoma",
        "found_on": TODAY().isoformat(),
        "reference": "H-2026-17",
        "expected_number": "0",
    }
    wrong = client.post(send, form | {"found_on": "2999-01-01"})
    assert wrong.status_code == 422
    assert "yet to come" in text_of(wrong)
    assert client.post(send, form)["Location"] == address
    page = text_of(client.get(address))
    for words in ("H-2026-17", "Correct it, or add a newer result"):
        assert words in page
    # What the network said and what the reader did, each with its badge and not in a head.
    assert re.findall(r">\s*(Right|Wrong)\s*<", page) == ["Right", "Wrong"]
    # A colleague's form, made before, is a conflict; nothing is lost or overwritten.
    late = cast.client_of(cast.colleague).post(send, form | {"diagnosis": "nevus"})
    assert late.status_code == 409
    assert "while you were writing" in text_of(late)
    assert "Why it is changed" in text_of(late)
    assert Outcome.objects.get().diagnosis == "melanoma"
    away = reverse("outcome_withdraw", args=[lesion.pk])
    assert client.post(away, {"reason": " ", "expected_number": "1"}).status_code == 422
    late = client.post(away, {"reason": "Wrong mole.", "expected_number": "7"})
    assert late.status_code == 409
    # The form that comes back answers to what is on record now: sent again, it goes through.
    again = {bound.name: bound.value() for bound in late.context["withdrawal"]}
    assert again == {"reason": "Wrong mole.", "expected_number": "1"}
    client.post(away, again)
    page = text_of(client.get(address))
    # Pressed twice, the page says why nothing more was done.
    assert "no outcome that could be" in text_of(client.post(away, again, follow=True))
    assert "Wrong mole." in page
    assert "What was recorded when" in page
    looker = text_of(cast.client_of(cast.read_only).get(address))
    assert "No outcome is recorded." in looker


def test_a_picture_taken_after_the_outcome_is_not_scored(cast: Cast, lesion: Lesion) -> None:
    analysis = answered(cast, lesion, days_ago=1, top="nevus")
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    found(cast, lesion, found_on=TODAY() - timedelta(days=5))
    page = text_of(cast.client_of(cast.owner).get(reverse("lesion_outcome", args=[lesion.pk])))
    assert "taken after the outcome" in page
    assert re.findall(r">\s*(Right|Wrong)\s*<", page) == []


def test_the_outcome_hides_with_the_answer_and_shows_with_it(cast: Cast, lesion: Lesion) -> None:
    analysis = answered(cast, lesion, top="melanoma")
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    found(cast, lesion, "other", diagnosis_text="Angioma of Lister", behaviour="benign")
    request_second_reading(analysis=analysis, by=cast.owner, asked=cast.colleague)
    words = "Angioma of Lister"
    history = reverse("history_csv")
    for user, told in ((cast.owner, True), (cast.colleague, False)):
        client = cast.client_of(user)
        assert (words in text_of(client.get(analysis.get_absolute_url()))) == told
        csv = client.get(history)
        assert (words in b"".join(csv).decode()) == told
    # The lesion's own page is the patient's record, and shows it.
    assert words in text_of(cast.client_of(cast.owner).get(lesion.get_absolute_url()))


def test_what_the_pages_cost(cast: Cast, lesion: Lesion) -> None:
    client = cast.client_of(cast.owner)
    client.get(FIGURES)
    found(cast, lesion)
    page = reverse("lesion_outcome", args=[lesion.pk])
    costs = []
    for count in (2, 6):
        for number in range(count):
            analysis = answered(cast, lesion, days_ago=number)
            save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
        many(cast, count, "nevus", "nevus", confidence=count / 10)
        for address in (page, FIGURES):
            with CaptureQueriesContext(connection) as queries:
                assert client.get(address).status_code == 200
            costs.append(len(queries))
    assert costs[:2] == costs[2:]
    assert max(costs) <= 12


def test_the_record_that_is_handed_out_holds_it_all(cast: Cast, lesion: Lesion) -> None:
    analysis = answered(cast, lesion)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    request_second_reading(analysis=analysis, by=cast.owner, asked=cast.colleague)
    found(cast, lesion, reference="H-2026-17")
    for copy in ("display", "thumbnail", "network_source"):
        getattr(analysis.image, copy).save("", ContentFile(b"drawn"))
    with (
        export_patient(patient=cast.patient, by=cast.administrator, reason="Asked for.") as pack,
        zipfile.ZipFile(pack) as archive,
    ):
        record = json.loads(archive.read("record.json"))
    assert [row["reference"] for row in record["outcomes"]] == ["H-2026-17"]
    assert [row["asked_id"] for row in record["reading_requests"]] == [str(cast.colleague.pk)]
    assert [row["difference"] for row in record["disagreements"]] == ["group"]
    assert str(cast.colleague.pk) in record["people"]


def test_the_figures_ask_for_a_clinic_of_ones_own(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    assert client.get(f"{FIGURES}?clinic={cast.clinic.pk}").status_code == 200
    for wrong in (str(cast.other_clinic.pk), "nonsense"):
        assert client.get(f"{FIGURES}?clinic={wrong}").status_code == 400
    nobody = cast.client_of(cast.superuser).get(FIGURES)
    assert nobody.status_code == 200
    assert not Clinic.objects.visible_to(cast.superuser).exists()
