"""Own reading first: nothing gives the network's answer away before it is saved.

Two worlds are compared that differ in the answer alone. Whatever a blinded person can ask for must
read the same in both; what they may see is then revealed by their own reading, and to them only.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Decision, Role, State
from classifier.models import Analysis, Membership
from classifier.services.analyses import retry_analysis
from classifier.services.readings import save_reading
from mlcore.labels import LABEL_SETS
from tests import factories
from tests.web import answered as make
from tests.web.answers import signed, text_of

if TYPE_CHECKING:
    from classifier.models import Image, User
    from tests.conftest import Cast


# Who uploaded it, and who only looks.
BLINDED = ("owner", "read_only")
# A melanoma, a harmless mole, a doubt, and a picture that is no use.
ANSWERS = (
    ("melanoma", Decision.ANSWER),
    ("nevus", Decision.ANSWER),
    ("melanoma", Decision.CANNOT_SAY),
    ("dermatofibroma", Decision.REJECTED),
)


def map_address(analysis: Analysis, label: str, user: User) -> str:
    """Return where a map is fetched, as a page made for ``user`` says."""
    return signed(reverse("analysis_map", args=[analysis.pk, label]), user)


def addresses(analysis: Analysis, user: User) -> dict[str, str]:
    """Return everything a member of the clinic can ask for about an analysis."""
    ask = {
        "page": analysis.get_absolute_url(),
        "fragment": reverse("analysis_status", args=[analysis.pk]),
        "patient": analysis.patient.get_absolute_url(),
        "patients": reverse("patient_list"),
        "search": reverse("patient_search") + "?q=Ada",
        "worklist": reverse("worklist"),
        "deferred": reverse("worklist") + "?tab=deferred",
        "waiting": reverse("worklist") + "?tab=waiting",
        "failed": reverse("worklist") + "?tab=failed",
        "history": reverse("history"),
        "csv": reverse("history_csv"),
        "readings": reverse("second_reading_list"),
        "disagreements": reverse("second_reading_list") + "?tab=differ",
        "map of melanoma": map_address(analysis, "melanoma", user),
        "map of nevus": map_address(analysis, "nevus", user),
    }
    for state in (State.SUCCEEDED, State.REJECTED):
        ask[f"state {state}"] = f"{reverse('history')}?state={state}"
        ask[f"csv state {state}"] = f"{reverse('history_csv')}?state={state}"
    for decision in Decision.values:
        ask[f"decision {decision}"] = f"{reverse('history')}?decision={decision}"
        ask[f"csv decision {decision}"] = f"{reverse('history_csv')}?decision={decision}"
    for label in ("melanoma", "nevus"):
        ask[f"label {label}"] = f"{reverse('history')}?label={label}"
        ask[f"csv label {label}"] = f"{reverse('history_csv')}?label={label}"
    return ask


def everything_told(cast: Cast, user: User, analysis: Analysis) -> dict[str, Any]:
    """Return status, telling headers and text of every answer."""
    client = cast.client_of(user)
    told = {}
    for name, address in addresses(analysis, user).items():
        response = client.get(address)
        text = b"".join(response).decode() if response.streaming else text_of(response)
        headers = {
            key: value
            for key, value in response.headers.items()
            if key not in {"Content-Length", "Set-Cookie", "X-Reference"}
        }
        told[name] = (response.status_code, headers, text)
    return told


def normal(told: dict[str, Any], analysis: Analysis) -> dict[str, Any]:
    """Take out of the answers what names the row itself."""
    ids = re.compile("|".join(map(re.escape, (str(analysis.pk), str(analysis.image_id)))))
    moments = re.compile(r"\d\d:\d\d(:\d\d)?(\.\d+)?")
    return {
        name: (status, headers, moments.sub("", ids.sub("", text)))
        for name, (status, headers, text) in told.items()
    }


def test_two_worlds_with_different_answers_look_the_same(cast: Cast) -> None:
    user = cast.owner
    seen = []
    for answer in ANSWERS:
        # One world after the other: in each the clinic has one image, and one answer to it.
        image = make.bare_image(cast.patient, cast.owner)
        analysis = make.answered(image, cast.owner, top=answer[0], decision=answer[1])
        make.at(timezone.now().replace(hour=8, minute=30), analysis)
        seen.append(normal(everything_told(cast, user, analysis), analysis))
        _forget(analysis, image)
    for name, (status, headers, text) in seen[0].items():
        for other in seen[1:]:
            assert other[name][:2] == (status, headers), name
            assert other[name][2].splitlines() == text.splitlines(), name


def _forget(analysis: Analysis, image: Image) -> None:
    """Take an analysis out of the clinic: it moves to another patient of another one."""
    clinic = factories.make_clinic()
    elsewhere = factories.make_patient(clinic, image.uploaded_by)
    Analysis.objects.filter(pk=analysis.pk).update(clinic=clinic, patient=elsewhere)
    type(image).objects.filter(pk=image.pk).update(clinic=clinic, patient=elsewhere)


@pytest.mark.parametrize("who", BLINDED)
def test_no_word_of_an_answer_is_on_any_page(cast: Cast, who: str) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    analysis = make.answered(image, cast.owner, top="melanoma", confidence=0.6712)
    told = everything_told(cast, getattr(cast, who), analysis)
    for name in ("patient", "worklist", "csv", "fragment", "deferred", "state succeeded"):
        text = told[name][2].lower()
        # The filters of the history name every label there is, so its own text says nothing here.
        for word in ("skin cancer", "67 %", make.REASON.lower()):
            assert word not in text, (name, word)
        # A number, and not the middle of a version such as 0.0.671.
        assert not re.search(r"(?<![\d.])0\.67", text), name
        if name != "state succeeded":
            assert "melanoma" not in text, name
    page = told["page"][2]
    for word in ("67 %", "Skin cancer", "skin cancer", "viewer-map", "/map/"):
        assert word not in page, word
    # The reading form offers every label, in the alphabet's order and not in the network's.
    names = re.findall(r'<option value="(\w+)">', page)
    labels = LABEL_SETS["isic9"].labels
    expected = [label.key for label in sorted(labels, key=lambda label: label.name)]
    assert names == ([*expected, "other"] if who == "owner" else [])


@pytest.mark.parametrize("urgent_first", [True, False])
def test_the_clinic_decides_whether_the_order_may_hint(cast: Cast, *, urgent_first: bool) -> None:
    """What presses leads, and nothing else is told; or the oldest leads, and nothing is told."""
    cast.clinic.urgent_first = urgent_first
    cast.clinic.save()
    now = timezone.now()
    tops = ("nevus", "melanoma", "dermatofibroma", "actinic_keratosis")
    rows = [
        make.answered(
            make.bare_image(cast.patient, cast.owner),
            cast.owner,
            top=top,
            created_at=now - timedelta(hours=len(tops) - age),
        )
        for age, top in enumerate(tops)
    ]
    listed = cast.client_of(cast.owner).get(reverse("worklist")).context["listed"].rows
    expected = [rows[n].pk for n in ((1, 3, 0, 2) if urgent_first else (0, 1, 2, 3))]
    assert [row.analysis.pk for row in listed] == expected
    assert not any(row.revealed or row.label or row.analysis.top_label for row in listed)


def test_one_clinics_rule_does_not_blind_another(cast: Cast) -> None:
    cast.clinic.urgent_first = False
    cast.clinic.save()
    cast.other_clinic.blinded_first = False
    cast.other_clinic.save()
    Membership.objects.create(user=cast.owner, clinic=cast.other_clinic, role=Role.CLINICIAN)
    elsewhere = factories.make_patient(cast.other_clinic, cast.stranger)
    now = timezone.now()
    hidden = make.answered(
        make.bare_image(cast.patient, cast.owner), cast.owner, top="nevus", created_at=now
    )
    benign = make.answered(
        make.bare_image(elsewhere, cast.stranger),
        cast.stranger,
        top="dermatofibroma",
        created_at=now - timedelta(hours=2),
    )
    cancer = make.answered(
        make.bare_image(elsewhere, cast.stranger),
        cast.stranger,
        top="melanoma",
        created_at=now + timedelta(hours=1),
    )
    rows = cast.client_of(cast.owner).get(reverse("worklist")).context["listed"].rows
    # What nobody has read counts as the worst group: it may be.
    assert [row.analysis.pk for row in rows] == [hidden.pk, cancer.pk, benign.pk]
    assert [row.label for row in rows] == ["", "Melanoma", "Dermatofibroma"]
    assert [row.revealed for row in rows] == [False, True, True]


@pytest.mark.parametrize("what", ["label=melanoma", "decision=answer"])
def test_a_filter_finds_only_what_is_revealed(cast: Cast, what: str) -> None:
    read, unread = (
        make.answered(make.bare_image(cast.patient, cast.owner), cast.owner) for _ in range(2)
    )
    save_reading(analysis=read, by=cast.owner, diagnosis="nevus")
    client = cast.client_of(cast.owner)
    listed = client.get(f"{reverse('history')}?{what}").context["listed"].rows
    assert [row.analysis.pk for row in listed] == [read.pk]
    exported = b"".join(client.get(f"{reverse('history_csv')}?{what}")).decode()
    assert str(read.pk) in exported
    assert str(unread.pk) not in exported
    assert (
        not cast.client_of(cast.colleague)
        .get(f"{reverse('history')}?{what}")
        .context["listed"]
        .rows
    )


def test_a_filter_by_state_counts_a_hidden_rejection_as_done(cast: Cast) -> None:
    analysis = make.answered(
        make.bare_image(cast.patient, cast.owner), cast.owner, decision=Decision.REJECTED
    )
    client = cast.client_of(cast.owner)

    def found(state: str) -> list[Any]:
        rows = client.get(f"{reverse('history')}?state={state}").context["listed"].rows
        return [(row.analysis.pk, row.analysis.state) for row in rows]

    assert found("succeeded") == [(analysis.pk, State.SUCCEEDED)]
    assert found("rejected") == []
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    assert found("succeeded") == []
    assert found("rejected") == [(analysis.pk, State.REJECTED)]


def test_trying_again_does_not_tell_whether_it_was_rejected(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    told = set()
    for decision in Decision.values:
        image = make.bare_image(cast.patient, cast.owner)
        analysis = make.answered(image, cast.owner, decision=decision)
        before = analysis.state
        page = client.post(
            reverse("analysis_retry", args=[analysis.pk]), {"reason": "again"}, follow=True
        )
        told.add(tuple(str(message) for message in page.context["messages"]))
        analysis.refresh_from_db()
        assert analysis.state == before
    assert told == {("Save your own reading first.",)}


@pytest.mark.parametrize("state", [State.QUEUED, State.FAILED, State.SUCCEEDED])
def test_a_second_attempt_does_not_tell_what_the_first_one_said(cast: Cast, state: str) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    analysis = make.answered(image, cast.owner, decision=Decision.REJECTED)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    prediction = analysis.prediction
    retry_analysis(analysis=analysis, by=cast.owner, reason="It is sharp enough to me")
    facts: dict[str, Any] = {}
    if state == State.FAILED:
        facts = {"failure_code": "network_error", "failure_reference": "3f9a01bc"}
    if state == State.SUCCEEDED:
        facts = {"prediction": prediction, "decision": Decision.ANSWER, "top_label": "nevus"}
    if facts:
        facts["finished_at"] = timezone.now()
    Analysis.objects.filter(pk=analysis.pk).update(state=state, **facts)
    told = text_of(cast.client_of(cast.colleague).get(analysis.get_absolute_url()))
    assert "Rejected" not in told
    assert "sharp enough" not in told
    own = text_of(cast.client_of(cast.owner).get(analysis.get_absolute_url()))
    assert "Rejected" in own
    assert "sharp enough" in own


@pytest.mark.parametrize("state", [State.FAILED, State.QUEUED])
def test_a_second_attempt_can_be_moved_by_whoever_has_not_read_the_first(
    cast: Cast, state: str
) -> None:
    # Somebody asked for another try of a rejected image, and it failed, or still waits.
    image = make.bare_image(cast.patient, cast.owner)
    analysis = make.answered(image, cast.owner, decision=Decision.REJECTED)
    facts: dict[str, Any] = {"failure_code": "network_error", "failure_reference": "3f9a01bc"}
    if state == State.QUEUED:
        facts = {"finished_at": None}
    Analysis.objects.filter(pk=analysis.pk).update(state=state, **facts)
    name = "analysis_retry" if state == State.FAILED else "analysis_cancel"
    client = cast.client_of(cast.owner)
    page = client.get(analysis.get_absolute_url())
    assert reverse(name, args=[analysis.pk]) in page.content.decode()
    assert page.context["page"].answer is None
    client.post(reverse(name, args=[analysis.pk]), {"reason": "The disk is back"})
    analysis.refresh_from_db()
    assert analysis.state == (State.QUEUED if state == State.FAILED else State.CANCELLED)


def test_a_review_before_the_reading_is_refused_and_tells_nothing(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    told = set()
    for top in ("melanoma", "nevus"):
        analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner, top=top)
        for facts in (
            {"verdict": "agree", "diagnosis": ""},
            {"verdict": "overrule", "diagnosis": "melanoma", "reason": "Guessing"},
            {"verdict": "nonsense"},
        ):
            page = client.post(
                reverse("review_create", args=[analysis.pk]),
                {"expected_number": "0"} | facts,
                follow=True,
            )
            sentence = "Save your own reading first."
            told.add((facts["verdict"], text_of(page).count(sentence)))
            assert not analysis.reviews.exists()
            assert "skin cancer" not in text_of(page).lower()
    assert told == {("agree", 1), ("overrule", 1), ("nonsense", 0)}


def test_the_own_reading_reveals_to_its_reader_only(cast: Cast) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    analysis = make.answered(image, cast.owner, top="melanoma")
    client = cast.client_of(cast.owner)
    saved = client.post(
        reverse("reading_create", args=[analysis.pk]), {"diagnosis": "nevus"}, follow=True
    )
    page = saved.content.decode()
    assert "Your reading is saved and locked" in page
    assert saved.context["page"].answer.ranked[0].label.key == "melanoma"
    assert "Skin cancer" in page
    assert reverse("analysis_map", args=[analysis.pk, "melanoma"]) in page
    assert analysis.readings.get().blinded
    assert "Melanoma" in client.get(cast.patient.get_absolute_url()).content.decode()
    assert "Melanoma" in client.get(reverse("worklist")).content.decode()

    for who in ("colleague", "administrator", "read_only"):
        other = cast.client_of(getattr(cast, who)).get(analysis.get_absolute_url())
        assert other.context["page"].answer is None
        # Nor do they learn what the first reader thought.
        assert other.context["page"].readings == []


def test_an_open_clinic_reveals_its_answers_to_its_own_people_only(cast: Cast) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    analysis = make.answered(image, cast.owner, top="melanoma")
    type(cast.clinic).objects.filter(pk=cast.clinic.pk).update(blinded_first=False)
    revealed = {
        who: Analysis.objects.revealed_to(getattr(cast, who)).filter(pk=analysis.pk).exists()
        for who in ("owner", "read_only", "administrator", "stranger", "superuser", "deactivated")
    }
    assert revealed == {
        "owner": True,
        "read_only": True,
        "administrator": True,
        "stranger": False,
        "superuser": False,
        "deactivated": False,
    }
