"""Second readings through the pages and the API: nothing hidden comes along by another door."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from classifier.choices import Decision
from classifier.models import Analysis, AuditEvent, Disagreement, ReadingRequest
from classifier.selectors.second_readings import possible_readers
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from classifier.services.second_readings import request_second_reading
from classifier.services.tokens import create_token
from tests import factories
from tests.web import answered as make
from tests.web.answers import signed, text_of

if TYPE_CHECKING:
    from tests.conftest import Cast

LIST = reverse("second_reading_list")


@pytest.fixture
def decided(cast: Cast) -> Analysis:
    """Return an analysis that the owner read and overruled, with a word nobody else has."""
    image = factories.make_image(cast.patient, cast.owner)
    analysis = make.answered(image, cast.owner, confidence=0.6712)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="vascular_lesion")
    save_review(
        analysis=analysis,
        by=cast.owner,
        verdict="overrule",
        expected_number=0,
        diagnosis="other",
        diagnosis_text="Angioma of Lister",
        reason="Blanches under pressure.",
    )
    return Analysis.objects.get(pk=analysis.pk)


def post(cast: Cast, user: Any, name: str, pk: Any, **facts: str) -> Any:
    """Send a form of the page."""
    return cast.client_of(user).post(reverse(name, args=[pk]), facts)


def test_a_colleague_is_asked_reads_and_the_disagreement_is_settled(
    cast: Cast, decided: Analysis
) -> None:
    """The whole way through the forms, with what each page shows to whom."""
    page = cast.client_of(cast.owner).get(decided.get_absolute_url())
    assert "Ask for a second reading" in text_of(page)
    sent = post(
        cast, cast.owner, "second_reading_request", decided.pk, asked=str(cast.colleague.pk)
    )
    assert sent["Location"] == decided.get_absolute_url()

    colleague = cast.client_of(cast.colleague)
    listed = text_of(colleague.get(LIST))
    assert cast.patient.name in listed
    assert 'class="count">1' in listed
    shown = text_of(colleague.get(decided.get_absolute_url()))
    assert f"{cast.owner} asked on" in shown
    assert "Ask for a second reading" not in shown
    post(cast, cast.colleague, "reading_create", decided.pk, diagnosis="melanoma")
    shown = text_of(colleague.get(decided.get_absolute_url()))
    assert "Angioma of Lister" in shown
    assert "The readers do not agree" in shown
    assert "Why you decide so" in shown

    queue = text_of(colleague.get(LIST + "?tab=differ"))
    assert "Angioma of Lister" in queue or "Vascular lesion" in queue
    assert str(cast.colleague) in queue
    mine = text_of(cast.client_of(cast.owner).get(LIST + "?tab=mine"))
    assert f"read by {cast.colleague}" in mine

    seen = colleague.get(decided.get_absolute_url()).context["page"].mark
    verdict = {"verdict": "agree", "expected_number": "1", "seen": seen}
    refused = post(cast, cast.colleague, "review_create", decided.pk, **verdict)
    assert refused.status_code == 422
    assert "The readers differ. Say why you decide so." in text_of(refused)
    # The field for it is there, though the verdict is to agree.
    assert "Why you decide so" in text_of(refused)
    post(cast, cast.colleague, "review_create", decided.pk, **verdict, reason="Streaks.")
    assert not Disagreement.objects.filter(settled_by__isnull=True).exists()
    assert "No disagreement is open" in text_of(colleague.get(LIST + "?tab=differ"))
    # The owner held something else before the answer than after it, and that is shown.
    assert "changed their mind" in text_of(colleague.get(decided.get_absolute_url()))


def test_whoever_is_asked_gets_nothing_by_any_door(cast: Cast, decided: Analysis) -> None:
    request_second_reading(analysis=decided, by=cast.owner, asked=cast.colleague)
    client = cast.client_of(cast.colleague)
    _token, secret = create_token(
        by=cast.colleague,
        clinic=cast.clinic,
        name="Program",
        scopes=["read", "export", "review"],
        days=1,
        key=uuid.uuid4(),
    )
    program = {"HTTP_AUTHORIZATION": f"Bearer {secret}"}
    doors = {
        "page": decided.get_absolute_url(),
        "list": LIST,
        "disagreements": LIST + "?tab=differ",
        "history": reverse("history"),
        "found": reverse("history") + "?patient=" + str(cast.patient.pk),
        "csv": reverse("history_csv"),
        "patient": cast.patient.get_absolute_url(),
        "changes": reverse("patient_changes", args=[cast.patient.pk]),
        "letter": reverse("analysis_letter", args=[decided.pk]),
        "fhir": reverse("analysis_fhir", args=[decided.pk]),
        "dicom": reverse("analysis_dicom_report", args=[decided.pk]),
        "map": signed(reverse("analysis_map", args=[decided.pk, "melanoma"]), cast.colleague),
        "api result": reverse("api:result", args=[decided.pk]),
        "api analysis": reverse("api:analysis", args=[decided.pk]),
        "api register": reverse("api:register"),
    }
    for name, address in doors.items():
        extra: Any = program if name.startswith("api") else {}
        response = client.get(address, **extra)
        body = b"".join(response) if response.streaming else response.content
        text = body.decode(errors="replace").lower()
        for word in ("angioma", "67 %", "0.67", "skin cancer", "blanches", "overruled"):
            assert word not in text, (name, word)
        if name in {"csv", "patient", "list", "disagreements", "changes"} or "api" in name:
            assert "melanoma" not in text, name
            assert "vascular" not in text, name
        if name in {"letter", "fhir", "dicom", "map"}:
            assert response.status_code in {302, 404, 409}, (name, response.status_code)
    found = text_of(client.get(reverse("history") + "?label=melanoma"))
    assert cast.patient.record_number not in found
    result = client.get(doors["api result"], **program)  # type: ignore[arg-type]
    told = json.loads(result.content)
    assert (told["hidden"], told["answer"], told["readings"], told["reviews"]) == (
        True,
        None,
        [],
        [],
    )


def test_the_request_is_withdrawn_from_the_page_or_the_list(cast: Cast, decided: Analysis) -> None:
    post(cast, cast.owner, "second_reading_request", decided.pk)
    request = ReadingRequest.objects.get()
    assert request.asked is None
    page = text_of(cast.client_of(cast.owner).get(decided.get_absolute_url()))
    assert "asked the clinic on" in page
    assert "Withdraw the request" in page
    sent = post(cast, cast.owner, "second_reading_withdraw", request.pk, back="list")
    assert sent["Location"] == LIST + "?tab=mine"
    assert "withdrawn" in text_of(cast.client_of(cast.owner).get(sent["Location"]))
    again = post(cast, cast.administrator, "second_reading_withdraw", request.pk)
    told = cast.client_of(cast.administrator).get(again["Location"])
    assert told.status_code == 200
    request.refresh_from_db()
    assert request.withdrawn_by == cast.owner


@pytest.mark.parametrize("asked", ["nonsense", "stranger", "owner"])
def test_who_cannot_be_asked_is_no_choice(cast: Cast, decided: Analysis, asked: str) -> None:
    chosen = asked if asked == "nonsense" else str(getattr(cast, asked).pk)
    sent = post(cast, cast.owner, "second_reading_request", decided.pk, asked=chosen)
    assert sent.status_code == 422
    assert "valid" in text_of(sent)
    assert not ReadingRequest.objects.exists()


def test_who_has_not_read_cannot_ask(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    sent = post(cast, cast.owner, "second_reading_request", analysis.pk)
    assert sent["Location"] == analysis.get_absolute_url()
    assert not ReadingRequest.objects.exists()


def test_without_a_clinic_the_list_says_what_to_do(cast: Cast) -> None:
    page = cast.client_of(cast.superuser).get(LIST)
    assert page.status_code == 200
    for tab in ("asked", "mine", "differ", "nonsense"):
        assert cast.client_of(cast.owner).get(f"{LIST}?tab={tab}").status_code == 200


def test_a_form_from_before_another_reading_settles_nothing(cast: Cast) -> None:
    cast.clinic.blinded_first = False
    cast.clinic.save()
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner, top="nevus")
    client = cast.client_of(cast.owner)
    opened = client.get(analysis.get_absolute_url()).context["review_form"].initial
    form = {"verdict": "agree"} | {
        name: str(opened[name]) for name in ("expected_number", "seen") if name in opened
    }
    request_second_reading(analysis=analysis, by=cast.owner, asked=cast.colleague)
    save_reading(analysis=analysis, by=cast.colleague, diagnosis="melanoma")
    late = post(cast, cast.owner, "review_create", analysis.pk, **form)
    assert late.status_code == 409
    told = text_of(late)
    assert "The analysis has moved on meanwhile" in told
    assert str(cast.colleague) in told
    assert Disagreement.objects.get().settled_by is None
    # Sent again from that page, it answers to what is on record now.
    again = form | {"seen": late.context["review_form"]["seen"].value()}
    assert post(cast, cast.owner, "review_create", analysis.pk, **again).status_code == 302
    assert Disagreement.objects.get().settled_by is not None


def test_a_form_from_before_another_answer_reviews_nothing(cast: Cast) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    analysis = make.answered(image, cast.owner, decision=Decision.REJECTED)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    client = cast.client_of(cast.owner)
    seen = client.get(analysis.get_absolute_url()).context["review_form"].initial["seen"]
    other = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    Analysis.objects.filter(pk=analysis.pk).update(prediction=other.prediction)
    form = {"verdict": "agree", "diagnosis": "nevus", "expected_number": "0", "seen": seen}
    assert post(cast, cast.owner, "review_create", analysis.pk, **form).status_code == 409


def viewed(user: Any) -> int:
    """Count how often an answer was shown to somebody."""
    return AuditEvent.objects.filter(action="answer.viewed", actor=user).count()


def test_whoever_saw_the_answer_in_the_queue_reads_no_longer_blinded(
    cast: Cast, decided: Analysis
) -> None:
    save_reading(analysis=decided, by=cast.colleague, diagnosis="melanoma")
    assert viewed(cast.administrator) == 0
    page = cast.client_of(cast.administrator).get(LIST + "?tab=differ")
    assert str(cast.colleague) in text_of(page)
    assert viewed(cast.administrator) == 1
    assert not possible_readers(decided, cast.owner).filter(pk=cast.administrator.pk).exists()
    assert not save_reading(analysis=decided, by=cast.administrator, diagnosis="nevus").blinded
    # To whom nothing is listed, nothing was shown.
    cast.client_of(cast.stranger).get(LIST + "?tab=differ")
    cast.client_of(cast.administrator).get(LIST)
    assert (viewed(cast.stranger), viewed(cast.administrator)) == (0, 1)


@pytest.mark.parametrize(
    "form",
    [
        "review_create",
        "second_reading_request",
        "analysis_modality",
        "analysis_retry",
        "reading_create",
    ],
)
def test_a_page_that_comes_back_with_an_error_shows_the_answer_too(
    cast: Cast, decided: Analysis, form: str
) -> None:
    sent = post(cast, cast.administrator, form, decided.pk, asked="nonsense")
    assert sent.status_code == 422
    assert "Angioma of Lister" in text_of(sent)
    assert viewed(cast.administrator) == 1


def test_a_page_that_hides_the_answer_records_no_look(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    assert post(cast, cast.colleague, "reading_create", analysis.pk).status_code == 422
    assert viewed(cast.colleague) == 0


def test_the_queue_says_that_words_of_ones_own_belong_to_no_known_group(cast: Cast) -> None:
    cast.clinic.blinded_first = False
    cast.clinic.save()
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner, top="nevus")
    save_reading(
        analysis=analysis, by=cast.owner, diagnosis="other", diagnosis_text="Melanoma in situ"
    )
    page = cast.client_of(cast.owner).get("/readings/?tab=differ").content.decode()
    assert "Melanoma in situ" in page
    assert "unknown for a diagnosis in own words" in page
    assert "Triage group" in page
