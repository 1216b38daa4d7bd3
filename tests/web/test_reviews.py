"""Agree, overrule, defer: what a review needs, and two people who write at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.urls import reverse

from classifier.choices import Decision, ReviewState, State, Verdict
from classifier.models import OTHER_DIAGNOSIS, Analysis, AuditEvent, Review
from classifier.selectors.results import mark_of
from classifier.services.errors import ConflictError, RuleError
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from tests import factories
from tests.web import answered as make

if TYPE_CHECKING:
    from classifier.models import User
    from tests.conftest import Cast


@pytest.fixture
def analysis(cast: Cast) -> Analysis:
    """Return an answered analysis that the owner and a colleague have read."""
    made = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner, top="melanoma")
    for reader in (cast.owner, cast.colleague):
        save_reading(analysis=made, by=reader, diagnosis="nevus")
    return made


def send(cast: Cast, user: User, analysis: Analysis, **facts: Any) -> Any:
    """Send the review form."""
    analysis = Analysis.objects.get(pk=analysis.pk)
    seen = mark_of(analysis, analysis.readings.count())
    form = {"expected_number": str(analysis.review_count), "seen": seen} | facts
    return cast.client_of(user).post(reverse("review_create", args=[analysis.pk]), form)


def test_the_form_starts_with_the_persons_own_diagnosis(cast: Cast, analysis: Analysis) -> None:
    form = cast.client_of(cast.owner).get(analysis.get_absolute_url()).context["review_form"]
    assert form.initial["diagnosis"] == "nevus"
    assert form.initial["expected_number"] == 0


def test_to_agree_keeps_the_networks_first_label(cast: Cast, analysis: Analysis) -> None:
    # The form still holds the own reading: to agree is to give it up.
    response = send(cast, cast.owner, analysis, verdict="agree", diagnosis="nevus", notes="Clear")
    assert response["Location"] == analysis.get_absolute_url()
    review = analysis.reviews.get()
    assert (review.verdict, review.diagnosis, review.number) == (Verdict.AGREE, "melanoma", 1)
    assert (review.reviewer, review.notes) == (cast.owner, "Clear")
    assert review.prediction == analysis.prediction
    analysis.refresh_from_db()
    assert analysis.review_state == ReviewState.REVIEWED
    assert analysis.last_reviewer == cast.owner
    event = AuditEvent.objects.get(action="review.saved")
    assert (event.actor, event.subject_id) == (cast.owner, str(analysis.pk))


def test_to_overrule_takes_a_diagnosis_and_a_reason(cast: Cast, analysis: Analysis) -> None:
    send(cast, cast.owner, analysis, verdict="overrule", diagnosis="nevus", reason="Regular net")
    review = analysis.reviews.get()
    assert (review.verdict, review.diagnosis, review.reason) == ("overrule", "nevus", "Regular net")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, None),
        ({"verdict": "praise"}, None),
        ({"verdict": "overrule", "diagnosis": "nevus"}, "Say why"),
        ({"verdict": "overrule", "diagnosis": "nevus", "reason": "  "}, "Say why"),
        ({"verdict": "overrule", "reason": "No"}, "Choose the final diagnosis"),
        ({"verdict": "overrule", "diagnosis": "melanoma", "reason": "No"}, "Choose “Agree”"),
        ({"verdict": "overrule", "diagnosis": OTHER_DIAGNOSIS, "reason": "No"}, "Write the diag"),
        ({"verdict": "agree", "notes": "x" * 10_001}, None),
        ({"verdict": "overrule", "diagnosis": "nevus", "reason": "x" * 501}, None),
        ({"verdict": "agree", "expected_number": "-1"}, None),
        ({"verdict": "agree", "expected_number": "none"}, None),
        # One more than it would not fit into its column.
        ({"verdict": "agree", "expected_number": "2147483647"}, None),
    ],
)
def test_what_is_missing_is_told_and_nothing_is_saved(
    cast: Cast, analysis: Analysis, facts: dict[str, str], words: str | None
) -> None:
    response = send(cast, cast.owner, analysis, **facts)
    assert response.status_code == 422
    assert response.context["review_form"].errors
    if words:
        assert words in response.content.decode()
    assert not Review.objects.exists()
    analysis.refresh_from_db()
    assert analysis.review_state == ReviewState.PENDING


def test_to_defer_takes_nothing_and_stays_in_a_list_of_its_own(
    cast: Cast, analysis: Analysis
) -> None:
    send(cast, cast.owner, analysis, verdict="defer", diagnosis="nevus", notes="Ask pathology")
    review = analysis.reviews.get()
    assert (review.verdict, review.diagnosis) == ("defer", "")
    client = cast.client_of(cast.owner)
    assert not client.get(reverse("worklist")).context["listed"].rows
    rows = client.get(reverse("worklist") + "?tab=deferred").context["listed"].rows
    assert [row.analysis.pk for row in rows] == [analysis.pk]


@pytest.mark.parametrize("verdict", ["agree", "defer"])
def test_a_reason_that_the_page_hid_again_is_not_kept(
    cast: Cast, analysis: Analysis, verdict: str
) -> None:
    send(cast, cast.owner, analysis, verdict=verdict, reason="It is a nevus", notes="Ask again")
    review = analysis.reviews.get()
    assert (review.verdict, review.reason, review.notes) == (verdict, "", "Ask again")


@pytest.mark.parametrize("decision", [Decision.CANNOT_SAY, Decision.REJECTED])
def test_where_the_network_gave_no_answer_to_agree_takes_a_diagnosis(
    cast: Cast, decision: str
) -> None:
    analysis = make.answered(
        make.bare_image(cast.patient, cast.owner), cast.owner, decision=decision
    )
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    assert send(cast, cast.owner, analysis, verdict="agree").status_code == 422
    send(cast, cast.owner, analysis, verdict="agree", diagnosis="nevus")
    assert analysis.reviews.get().diagnosis == "nevus"


def test_own_words_are_kept_and_shown_as_text(cast: Cast, analysis: Analysis) -> None:
    facts = {"diagnosis": OTHER_DIAGNOSIS, "diagnosis_text": "<i>Spitz</i>", "reason": "<b>x</b>"}
    send(cast, cast.owner, analysis, verdict="overrule", **facts)
    page = cast.client_of(cast.owner).get(analysis.get_absolute_url()).content.decode()
    assert "&lt;i&gt;Spitz&lt;/i&gt;" in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<i>Spitz" not in page


def test_reviews_are_added_and_the_earlier_ones_stay(cast: Cast, analysis: Analysis) -> None:
    send(cast, cast.owner, analysis, verdict="defer")
    analysis.refresh_from_db()
    send(cast, cast.colleague, analysis, verdict="overrule", diagnosis="nevus", reason="Biopsy")
    analysis.refresh_from_db()
    send(cast, cast.owner, analysis, verdict="agree")
    shown = cast.client_of(cast.owner).get(analysis.get_absolute_url()).context["page"].reviews
    assert [(review.number, review.verdict, review.reviewer) for review in shown] == [
        (1, "defer", cast.owner),
        (2, "overrule", cast.colleague),
        (3, "agree", cast.owner),
    ]


def test_the_slower_of_two_gets_a_conflict_and_keeps_their_words(
    cast: Cast, analysis: Analysis
) -> None:
    late = {
        "expected_number": "0",
        "verdict": "overrule",
        "diagnosis": "nevus",
        "reason": "My carefully worded reason",
        "notes": "My long notes",
    }
    send(cast, cast.colleague, analysis, verdict="agree", notes="Faster")
    response = send(cast, cast.owner, analysis, **late)
    page = response.content.decode()
    assert response.status_code == 409
    assert "Somebody was faster" in page
    # Told once: no second alert above the form.
    assert page.count('role="alert"') == 1
    assert "My carefully worded reason" in page
    assert "My long notes" in page
    # What was saved meanwhile is on the page, by name.
    assert "Faster" in page
    assert str(cast.colleague) in page
    assert Review.objects.count() == 1

    # Sent again from that page it answers to what is on record now.
    form = response.context["review_form"]
    assert form["expected_number"].value() == "1"
    assert send(cast, cast.owner, analysis, **late | {"expected_number": "1"}).status_code == 302
    assert [review.number for review in analysis.reviews.all()] == [1, 2]
    assert analysis.reviews.get(number=2).reason == "My carefully worded reason"


def test_the_same_form_sent_twice_saves_one_review(cast: Cast, analysis: Analysis) -> None:
    facts = {"verdict": "agree", "expected_number": "0"}
    assert send(cast, cast.owner, analysis, **facts).status_code == 302
    assert send(cast, cast.owner, analysis, **facts).status_code == 409
    assert Review.objects.count() == 1


def test_a_form_from_the_future_is_a_conflict_too(cast: Cast, analysis: Analysis) -> None:
    response = send(cast, cast.owner, analysis, verdict="agree", expected_number="7")
    assert response.status_code == 409
    assert "The analysis has moved on meanwhile" in response.content.decode()
    assert not Review.objects.exists()


@pytest.mark.parametrize("state", ["queued", "running", "failed", "cancelled"])
def test_there_is_nothing_to_review_without_an_answer(cast: Cast, state: str) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    if state == "queued":
        analysis = factories.make_analysis(image, cast.owner)
    else:
        analysis = getattr(make, state)(image, cast.owner)
    client, address = cast.client_of(cast.owner), reverse("review_create", args=[analysis.pk])
    form = {"verdict": "agree", "expected_number": "0"}
    page = client.post(address, form, follow=True)
    assert "There is no answer to review yet." in page.content.decode()
    # What was written meanwhile stays, to be copied, and the page does not load itself anew.
    page = client.post(address, form | {"notes": "Ask <b>pathology</b>\nagain"})
    assert page.status_code == 422
    assert "There is no answer to review yet." in page.content.decode()
    assert "Ask &lt;b&gt;pathology&lt;/b&gt;<br>again" in page.content.decode()
    assert "data-poll" not in page.content.decode()
    assert not Review.objects.exists()


@pytest.mark.parametrize("already_read", [True, False])
def test_a_reading_that_comes_too_late_keeps_its_words(cast: Cast, *, already_read: bool) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    if already_read:
        save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    else:
        Analysis.objects.filter(pk=analysis.pk).update(state=State.QUEUED, finished_at=None)
    page = cast.client_of(cast.owner).post(
        reverse("reading_create", args=[analysis.pk]),
        {"diagnosis": OTHER_DIAGNOSIS, "diagnosis_text": "Spitz nevus"},
    )
    assert page.status_code == (409 if already_read else 422)
    sentence = "saved before and is locked" if already_read else "not finished yet"
    assert sentence in page.content.decode()
    assert "Spitz nevus" in page.content.decode()


def test_an_answer_that_is_asked_for_anew_takes_no_review_meanwhile(cast: Cast) -> None:
    analysis = make.answered(
        make.bare_image(cast.patient, cast.owner), cast.owner, decision=Decision.REJECTED
    )
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    Analysis.objects.filter(pk=analysis.pk).update(state=State.QUEUED, finished_at=None)

    def agree() -> None:
        save_review(
            analysis=analysis,
            by=cast.owner,
            verdict="agree",
            diagnosis="nevus",
            expected_number=0,
        )

    # Read before somebody else asked for another try, and after.
    with pytest.raises(ConflictError):
        agree()
    analysis.refresh_from_db()
    with pytest.raises(RuleError):
        agree()
    assert not Review.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_press_the_button_at_once_one_gets_through(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    people = (cast.owner, cast.colleague)
    for reader in people:
        save_reading(analysis=analysis, by=reader, diagnosis="nevus")
    barrier = threading.Barrier(len(people))
    outcomes: list[str] = []

    def review(user: User) -> None:
        own = Analysis.objects.select_related("prediction").get(pk=analysis.pk)
        barrier.wait(timeout=20)
        try:
            save_review(analysis=own, by=user, verdict="agree", expected_number=0)
        except ConflictError:
            outcomes.append("conflict")
        else:
            outcomes.append("saved")
        finally:
            connection.close()

    threads = [threading.Thread(target=review, args=(user,)) for user in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(outcomes) == ["conflict", "saved"]
    analysis.refresh_from_db()
    assert analysis.review_count == analysis.reviews.count() == 1
