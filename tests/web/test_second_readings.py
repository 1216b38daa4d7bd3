"""A second clinician reads blinded on request; where opinions differ, somebody decides and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import InternalError, transaction
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Decision, Difference, Role
from classifier.models import Analysis, AuditEvent, Disagreement, Membership, Reading, Review
from classifier.selectors.second_readings import (
    Opinion,
    difference_between,
    disagreement_queue,
    opinions,
    possible_readers,
    requests_asking,
    requests_made,
)
from classifier.selectors.workplace import workplace_of
from classifier.services.errors import ConflictError, RuleError
from classifier.services.modalities import correct_modality
from classifier.services.readings import save_reading
from classifier.services.results import record_answer_viewed
from classifier.services.reviews import save_review
from classifier.services.second_readings import request_second_reading, withdraw_request
from tests import factories
from tests.web import answered as make
from tests.web.answers import text_of

if TYPE_CHECKING:
    from classifier.models import User
    from tests.conftest import Cast


@pytest.fixture
def read(cast: Cast) -> Analysis:
    """Return an analysis that the owner read: a nevus, where the network says melanoma."""
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    return analysis


def sees(user: User, analysis: Analysis) -> bool:
    """Tell whether the answer is revealed to somebody."""
    return Analysis.objects.revealed_to(user).filter(pk=analysis.pk).exists()


def agree(analysis: Analysis, by: User, **extra: str) -> Review:
    """Save a review that agrees with the network."""
    analysis.refresh_from_db()
    return save_review(
        analysis=analysis,
        by=by,
        verdict="agree",
        expected_number=analysis.review_count,
        **extra,
    )


@pytest.mark.parametrize("blinded_first", [True, False])
def test_whoever_is_asked_sees_nothing_before_their_own_reading(
    cast: Cast, read: Analysis, *, blinded_first: bool
) -> None:
    agree(read, cast.owner)
    cast.clinic.blinded_first = blinded_first
    cast.clinic.save()
    assert sees(cast.colleague, read)
    request_second_reading(analysis=read, by=cast.owner, asked=cast.colleague)
    assert not sees(cast.colleague, read)
    # Nobody else is blinded by it: not who asked, not who is not asked, not who only looks.
    assert sees(cast.owner, read)
    assert sees(cast.administrator, read)
    assert sees(cast.read_only, read)
    listed = requests_asking(cast.colleague).rows
    assert [request.analysis.top_label for request in listed] == [""]
    reading = save_reading(analysis=read, by=cast.colleague, diagnosis="nevus")
    assert reading.blinded
    assert reading.request.asked == cast.colleague
    assert not requests_asking(cast.colleague).rows
    assert sees(cast.colleague, read)
    events = AuditEvent.objects.filter(action__startswith="second_reading.").order_by("at")
    assert [event.action for event in events] == [
        "second_reading.requested",
        "second_reading.answered",
    ]


def test_a_request_to_anybody_asks_every_clinician_who_did_not_judge_yet(
    cast: Cast, read: Analysis
) -> None:
    reviewer = factories.make_member(cast.clinic)
    cast.clinic.blinded_first = False
    cast.clinic.save()
    agree(read, reviewer)
    request_second_reading(analysis=read, by=cast.owner, asked=None)
    asked = {
        who: bool(requests_asking(user).rows)
        for who, user in vars(cast).items()
        if hasattr(user, "email")
    }
    assert {who for who, there in asked.items() if there} == {"colleague", "administrator"}
    assert not sees(cast.administrator, read)
    assert sees(reviewer, read)
    assert sees(cast.read_only, read)
    save_reading(analysis=read, by=cast.administrator, diagnosis="melanoma")
    # Once is enough: the other is asked no more.
    assert not requests_asking(cast.colleague).rows
    assert sees(cast.colleague, read)


def test_a_reading_that_is_not_blinded_answers_no_request(cast: Cast, read: Analysis) -> None:
    agree(read, cast.owner)
    record_answer_viewed(analysis=read, by=cast.colleague)
    request = request_second_reading(analysis=read, by=cast.owner, asked=None)
    assert not save_reading(analysis=read, by=cast.colleague, diagnosis="nevus").blinded
    request.refresh_from_db()
    assert request.is_open
    assert save_reading(analysis=read, by=cast.administrator, diagnosis="nevus").blinded
    request.refresh_from_db()
    assert not request.is_open


def test_a_colleague_asked_by_name_answers_though_they_had_seen_it(
    cast: Cast, read: Analysis
) -> None:
    agree(read, cast.owner)
    request = request_second_reading(analysis=read, by=cast.owner, asked=cast.colleague)
    # Shown in the moment in which they were asked.
    record_answer_viewed(analysis=read, by=cast.colleague)
    assert not vars(requests_made(cast.owner).rows[0])["can_be_answered"]
    assert not save_reading(analysis=read, by=cast.colleague, diagnosis="nevus").blinded
    request.refresh_from_db()
    assert not request.is_open
    # Now somebody else can be asked.
    request_second_reading(analysis=read, by=cast.owner, asked=cast.administrator)


def test_a_request_rests_while_the_image_is_recorded_otherwise(cast: Cast, read: Analysis) -> None:
    agree(read, cast.owner)
    request = request_second_reading(analysis=read, by=cast.owner, asked=cast.colleague)
    image, asked = read.image, cast.client_of(cast.colleague)
    facts: dict[str, Any] = {"by": cast.owner, "reason": "Mistaken."}
    correct_modality(image=image, seen="dermoscopy", modality="clinical", **facts)
    # Nobody is led to read it with the labels of the wrong network.
    assert not requests_asking(cast.colleague).rows
    assert workplace_of(cast.colleague)["readings_asked"] == 0
    page = text_of(asked.get(read.get_absolute_url()))
    assert "for a second reading" not in page
    assert "Until then they see neither" not in page
    save_reading(analysis=read, by=cast.administrator, diagnosis="nevus")
    request.refresh_from_db()
    assert request.is_open
    mine = text_of(cast.client_of(cast.owner).get(reverse("second_reading_list") + "?tab=mine"))
    assert "corrected since" in mine
    assert "can no longer be answered blinded" not in mine
    assert "Withdraw" in mine
    # For the right one somebody is asked anew, or the same question stands again.
    correct_modality(image=image, seen="clinical", modality="dermoscopy", **facts)
    assert workplace_of(cast.colleague)["readings_asked"] == 1
    (again,) = requests_asking(cast.colleague).rows
    assert again == request
    assert not sees(cast.colleague, read)
    assert save_reading(analysis=read, by=cast.colleague, diagnosis="nevus").request == request


@pytest.mark.parametrize("left", ["role", "deactivated", "nobody left"])
def test_who_asked_is_told_that_nobody_can_answer_any_more(
    cast: Cast, read: Analysis, left: str
) -> None:
    asked = None if left == "nobody left" else cast.colleague
    request_second_reading(analysis=read, by=cast.owner, asked=asked)
    client = cast.client_of(cast.owner)
    sentence = "can no longer be answered blinded"
    assert sentence not in text_of(client.get(reverse("second_reading_list") + "?tab=mine"))
    if left == "deactivated":
        type(cast.colleague).objects.filter(pk=cast.colleague.pk).update(is_active=False)
    else:
        Membership.objects.exclude(user=cast.owner).update(role=Role.READ_ONLY)
    assert sentence in text_of(client.get(reverse("second_reading_list") + "?tab=mine"))


def test_who_cannot_be_asked(cast: Cast, read: Analysis) -> None:
    agree(read, cast.owner)
    knows = factories.make_member(cast.clinic)
    record_answer_viewed(analysis=read, by=knows)
    wrong = (cast.owner, knows, cast.read_only, cast.stranger, cast.deactivated, cast.superuser)
    for user in wrong:
        with pytest.raises(RuleError, match="Ask somebody else"):
            request_second_reading(analysis=read, by=cast.owner, asked=user)
    assert set(possible_readers(read, cast.owner)) == {cast.colleague, cast.administrator}


def test_who_cannot_ask_and_for_what(cast: Cast, read: Analysis) -> None:
    with pytest.raises(RuleError, match="your own reading first"):
        request_second_reading(analysis=read, by=cast.colleague, asked=None)
    waiting = factories.make_analysis(make.bare_image(cast.patient, cast.owner), cast.owner)
    with pytest.raises(RuleError, match="not finished"):
        request_second_reading(analysis=waiting, by=cast.owner, asked=None)
    request_second_reading(analysis=read, by=cast.owner, asked=None)
    with pytest.raises(ConflictError, match="already"):
        request_second_reading(analysis=read, by=cast.owner, asked=cast.colleague)
    read.image.modality = "clinical"
    with pytest.raises(RuleError, match="corrected since"):
        request_second_reading(analysis=read, by=cast.owner, asked=None)


def test_a_request_is_withdrawn_once_by_who_made_it_or_the_administrator(
    cast: Cast, read: Analysis
) -> None:
    agree(read, cast.owner)
    request = request_second_reading(analysis=read, by=cast.owner, asked=cast.colleague)
    with pytest.raises(RuleError, match="This request asks you"):
        withdraw_request(request=request, by=cast.colleague)
    third = factories.make_member(cast.clinic, Role.CLINICIAN)
    with pytest.raises(RuleError, match="Only whoever asked"):
        withdraw_request(request=request, by=third)
    withdraw_request(request=request, by=cast.administrator)
    assert sees(cast.colleague, read)
    with pytest.raises(ConflictError, match="closed already"):
        withdraw_request(request=request, by=cast.owner)
    # The next one is another row, and the old one stays.
    request_second_reading(analysis=read, by=cast.owner, asked=cast.colleague)
    assert len(requests_made(cast.owner).rows) == 2
    # The database itself closes a request once, and keeps whom it asked.
    for facts in ({"asked": cast.administrator}, {"withdrawn_at": timezone.now()}):
        with pytest.raises(InternalError, match="append_only"), transaction.atomic():
            type(request).objects.filter(pk=request.pk).update(**facts)


@pytest.mark.parametrize("by_name", [True, False])
def test_no_administrator_lifts_their_own_blinding(
    cast: Cast, read: Analysis, by_name: bool
) -> None:
    agree(read, cast.owner)
    asked = cast.administrator if by_name else None
    request = request_second_reading(analysis=read, by=cast.owner, asked=asked)
    with pytest.raises(RuleError, match="This request asks you"):
        withdraw_request(request=request, by=cast.administrator)
    assert not sees(cast.administrator, read)
    withdraw_request(request=request, by=cast.owner)
    # What they asked the clinic themself asks others, and is theirs to withdraw.
    save_reading(analysis=read, by=cast.administrator, diagnosis="nevus")
    own = request_second_reading(analysis=read, by=cast.administrator, asked=None)
    withdraw_request(request=own, by=cast.administrator)


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (Opinion("nevus"), Opinion("nevus"), None),
        (Opinion("nevus"), Opinion("dermatofibroma"), Difference.LABEL),
        (Opinion("nevus"), Opinion("melanoma"), Difference.GROUP),
        (Opinion("melanoma"), Opinion("basal_cell_carcinoma"), Difference.LABEL),
        (Opinion("other", "Tick bite"), Opinion("other", " tick bite"), None),
        (Opinion("other", "Tick bite"), Opinion("other", "Wart"), Difference.GROUP),
        (Opinion("other", "Melanoma in situ"), Opinion("nevus"), Difference.GROUP),
        (Opinion("other", "Tick bite"), Opinion("melanoma"), Difference.GROUP),
    ],
)
def test_in_what_two_opinions_differ(
    one: Opinion, other: Opinion, found: Difference | None
) -> None:
    assert difference_between(one, other, "isic9") == found
    assert difference_between(other, one, "isic9") == found


def test_one_reader_and_the_network_differ_until_a_review(cast: Cast, read: Analysis) -> None:
    assert Disagreement.objects.get().difference == Difference.GROUP
    review = agree(read, cast.owner)
    assert Disagreement.objects.get().settled_by == review
    assert not disagreement_queue(cast.owner)[1]
    # What the reader said before and after is on record, and that it is not the same.
    said = (list(Reading.objects.all()), list(Review.objects.all()))
    (held,) = opinions(read, *said, cast.owner)
    assert (held.before, held.after, held.changed) == ("Nevus", "Melanoma", True)
    assert held.blinded
    assert held.read_at is not None
    assert held.decided_at is not None
    assert held.read_at < held.decided_at


def test_two_readers_differ_until_somebody_says_why(cast: Cast, read: Analysis) -> None:
    save_review(
        analysis=read,
        by=cast.owner,
        verdict="overrule",
        expected_number=0,
        diagnosis="nevus",
        reason="Regular network.",
    )
    assert not disagreement_queue(cast.owner)[1]
    request_second_reading(analysis=read, by=cast.owner, asked=cast.colleague)
    save_reading(analysis=read, by=cast.colleague, diagnosis="melanoma")
    # Whoever was asked sees it now, and so does who knew the answer before; in a worse group.
    for user in (cast.owner, cast.colleague, cast.administrator):
        _page, (line,) = disagreement_queue(user)
        assert (line.network, len(line.held)) == ("Melanoma", 2)
        assert line.row.difference == Difference.GROUP
    assert not disagreement_queue(cast.stranger)[1]
    with pytest.raises(RuleError, match="The readers differ"):
        agree(read, cast.administrator)
    analysis = Analysis.objects.get(pk=read.pk)
    save_review(
        analysis=analysis, by=cast.owner, verdict="defer", expected_number=analysis.review_count
    )
    assert Disagreement.objects.filter(settled_by__isnull=True).count() == 1
    settled = agree(read, cast.owner, reason="Irregular streaks at the edge.")
    assert settled.settles.analysis == read
    assert not disagreement_queue(cast.owner)[1]
    # The earlier decision stays as it was.
    assert list(Review.objects.values_list("diagnosis", flat=True)) == ["nevus", "", "melanoma"]


def test_a_second_reader_gets_no_hint_that_others_differ(cast: Cast, read: Analysis) -> None:
    request_second_reading(analysis=read, by=cast.owner, asked=None)
    assert disagreement_queue(cast.owner)[1]
    assert not disagreement_queue(cast.colleague)[1]


def test_no_answer_of_the_network_is_no_opinion(cast: Cast) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    analysis = make.answered(image, cast.owner, decision=Decision.CANNOT_SAY)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    assert not Disagreement.objects.exists()
    save_reading(analysis=analysis, by=cast.colleague, diagnosis="dermatofibroma")
    assert Disagreement.objects.get().difference == Difference.LABEL
    # A third reading can make it worse, and is no second row.
    save_reading(analysis=analysis, by=cast.administrator, diagnosis="melanoma")
    assert Disagreement.objects.get().difference == Difference.GROUP
    # An analysis that was made for the wrong modality waits for no decision.
    image.modality = "clinical"
    image.save()
    assert not disagreement_queue(cast.owner)[1]


def test_nobody_is_asked_who_left_the_clinic(cast: Cast, read: Analysis) -> None:
    request_second_reading(analysis=read, by=cast.owner, asked=cast.colleague)
    Membership.objects.filter(user=cast.colleague).update(role=Role.READ_ONLY)
    assert not requests_asking(cast.colleague).rows


@pytest.mark.parametrize(("network", "decided"), [("melanoma", "nevus"), ("nevus", "melanoma")])
def test_nobody_disagrees_with_themself(cast: Cast, network: str, decided: str) -> None:
    cast.clinic.blinded_first = False
    cast.clinic.save()
    image = make.bare_image(cast.patient, cast.owner)
    analysis = make.answered(image, cast.owner, top=network)
    save_review(
        analysis=analysis,
        by=cast.owner,
        verdict="overrule",
        expected_number=0,
        diagnosis=decided,
        reason="Regular network.",
    )
    save_reading(analysis=analysis, by=cast.owner, diagnosis=network)
    assert not Disagreement.objects.exists()
    # A colleague's reading is held against the decision as ever.
    save_reading(analysis=analysis, by=cast.colleague, diagnosis=network)
    assert Disagreement.objects.exists()
