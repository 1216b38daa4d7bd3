"""The result page in every state, and the map over the picture."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone
from PIL import Image as Pillow

from classifier.choices import Decision, Modality, State
from classifier.models import Analysis, AuditEvent, ModelVersion
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from classifier.wording import in_ten
from mlcore.labels import label_set
from tests import factories
from tests.web import answered as make
from tests.web.answers import signed

if TYPE_CHECKING:
    from django.test import Client

    from classifier.models import Image, User
    from tests.conftest import Cast


@pytest.fixture
def open_cast(cast: Cast) -> Cast:
    """Return the cast of a clinic that shows answers at once."""
    cast.clinic.blinded_first = False
    cast.clinic.save()
    return cast


@pytest.fixture
def image(open_cast: Cast) -> Image:
    """Return a dermoscopic image of the patient."""
    return make.bare_image(open_cast.patient, open_cast.owner)


@pytest.fixture
def client(open_cast: Cast) -> Client:
    """Return the owner's browser."""
    return open_cast.client_of(open_cast.owner)


def shown(client: Client, analysis: Analysis) -> str:
    """Return the page's text, with runs of white space as one blank."""
    response = client.get(analysis.get_absolute_url())
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def lit(page: str) -> list[str]:
    """Return which entries of the navigation are lit."""
    nav = page.partition('<nav class="nav"')[2].partition("</nav>")[0]
    return re.findall(r'href="([^"]+)" aria-current="page"', nav)


def test_the_navigation_shows_where_the_result_belongs(
    open_cast: Cast, client: Client, image: Image
) -> None:
    analysis = make.answered(image, open_cast.owner)
    assert lit(shown(client, analysis)) == [reverse("worklist")]
    save_review(analysis=analysis, by=open_cast.owner, verdict="agree", expected_number=0)
    assert lit(shown(client, analysis)) == [reverse("history")]
    other = factories.make_analysis(
        make.bare_image(open_cast.patient, open_cast.owner), open_cast.owner
    )
    assert lit(shown(client, other)) == [reverse("history")]
    assert lit(client.get(reverse("worklist")).content.decode()) == [reverse("worklist")]


def test_the_title_tells_when_the_picture_was_taken_and_when_it_was_sent(
    open_cast: Cast, client: Client, image: Image
) -> None:
    analysis = make.answered(image, open_cast.owner)
    head = re.sub(r"<[^>]*>", "", shown(client, analysis).partition("</header>")[2])
    asked = timezone.localtime(analysis.created_at)
    assert f"Taken not recorded · Requested {asked:%Y-%m-%d %H:%M}" in head
    image.taken_at = asked - timedelta(days=400)
    image.save()
    head = re.sub(r"<[^>]*>", "", shown(client, analysis).partition("</header>")[2])
    assert f"Taken {image.taken_at:%Y-%m-%d %H:%M} · Requested {asked:%Y-%m-%d %H:%M}" in head


def polls(page: str, analysis: Analysis) -> bool:
    """Tell whether the page asks again by itself."""
    return reverse("analysis_status", args=[analysis.pk]) in page


def test_a_queued_analysis_waits_and_can_be_called_off(
    open_cast: Cast, client: Client, image: Image
) -> None:
    analysis = factories.make_analysis(image, open_cast.owner)
    page = shown(client, analysis)
    assert "Waiting for a worker" in page
    assert polls(page, analysis)
    assert reverse("analysis_cancel", args=[analysis.pk]) in page
    assert reverse("analysis_retry", args=[analysis.pk]) not in page
    assert 'aria-live="polite"' in page


def test_a_running_analysis_waits_and_cannot_be_called_off(
    open_cast: Cast, client: Client, image: Image
) -> None:
    analysis = make.running(image, open_cast.owner)
    page = shown(client, analysis)
    assert "The network is looking at the image" in page
    assert polls(page, analysis)
    assert reverse("analysis_cancel", args=[analysis.pk]) not in page
    assert "Attempt" not in page


def test_another_attempt_is_counted(open_cast: Cast, client: Client, image: Image) -> None:
    assert "Attempt 2" in shown(client, make.running(image, open_cast.owner, attempt=2))


def test_an_answer_shows_everything_that_stands_behind_it(
    open_cast: Cast, client: Client, image: Image
) -> None:
    analysis = make.answered(image, open_cast.owner, top="melanoma", confidence=0.83)
    page = shown(client, analysis)
    assert not polls(page, analysis)
    prediction = analysis.prediction
    assert prediction is not None
    answer = client.get(analysis.get_absolute_url()).context["page"].answer
    names = [row.label.name for row in answer.ranked]
    order = sorted(prediction.probabilities, key=prediction.probabilities.__getitem__, reverse=True)
    assert names == [label_set("isic9").label(key).name for key in order]
    for label in label_set("isic9").labels:
        assert label.name in page
        assert label.icd10 in page
    assert "83 %" in page
    assert "skin cancer" in page.lower()
    assert str(prediction.model_version) in page
    assert reverse("model_version_detail", args=[prediction.model_version_id]) in page
    assert "1.2 s" in page  # the network's time
    assert "40 ms" in page  # the time in the queue
    assert prediction.artefact_sha256 in page
    assert reverse("analysis_map", args=[analysis.pk, "melanoma"]) in page


def test_who_saw_which_answer_is_in_the_trail(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    client = cast.client_of(cast.colleague)
    client.get(analysis.get_absolute_url())
    seen = AuditEvent.objects.filter(action="answer.viewed")
    assert not seen.exists()
    save_reading(analysis=analysis, by=cast.colleague, diagnosis="nevus")
    client.get(analysis.get_absolute_url())
    event = seen.get()
    assert (event.actor, event.clinic) == (cast.colleague, cast.clinic)
    assert event.subject_id == str(analysis.pk)
    assert event.details == {"prediction": str(analysis.prediction_id)}


def test_a_clinical_photograph_is_answered_from_its_own_label_set(
    open_cast: Cast, client: Client
) -> None:
    image = make.bare_image(open_cast.patient, open_cast.owner, Modality.CLINICAL)
    page = shown(client, make.answered(image, open_cast.owner, top="vitiligo"))
    for label in label_set("clinical5").labels:
        assert label.icd10 in page
    assert "Dermatofibroma" not in page


@pytest.mark.parametrize(
    ("confidence", "words"), [(0.999, "&gt;99 %"), (0.995, "&gt;99 %"), (0.5, "50 %")]
)
def test_no_percentage_claims_certainty(
    open_cast: Cast, client: Client, image: Image, confidence: float, words: str
) -> None:
    page = shown(client, make.answered(image, open_cast.owner, confidence=confidence))
    assert words in page
    assert not re.search(r"\b100 %", page)
    assert not re.search(r"(?<![\d.])0 %", page)


@pytest.mark.parametrize("code", ["unsure", "outside_labels"])
def test_cannot_say_is_no_answer(open_cast: Cast, client: Client, image: Image, code: str) -> None:
    facts: dict[str, Any] = {"reason_code": code, "confidence": 0.31}
    analysis = make.answered(image, open_cast.owner, decision=Decision.CANNOT_SAY, **facts)
    page = shown(client, analysis)
    group = page.partition("Worst plausible group:")[2].partition("</p>")[0]
    assert ("cannot be said" if code == "outside_labels" else "Skin cancer") in group
    assert ("Skin cancer" in group) is (code == "unsure")
    assert "Cannot say: needs a person" in page
    assert make.REASON in page
    assert "They are not an answer" in page
    assert "Of ten images with such an answer" not in page
    assert reverse("analysis_retry", args=[analysis.pk]) not in page


@pytest.mark.parametrize(
    ("manifest", "shares", "premise"),
    [
        ({}, True, "They assume the mix of cases"),
        (
            {"offsets": [0.0], "recipe": {"even_labels": False}},
            True,
            "They assume the mix of cases",
        ),
        (
            {"offsets": [0.1], "recipe": {"even_labels": True}},
            False,
            "equally frequent. They are no",
        ),
        (
            {"offsets": [0.1], "recipe": {"even_labels": True}, "melanoma_raised": 0.6},
            False,
            "equally frequent, with the odds of melanoma raised",
        ),
    ],
)
def test_probabilities_that_are_no_shares_of_images_are_not_called_so(
    open_cast: Cast,
    client: Client,
    image: Image,
    manifest: dict[str, Any],
    premise: str,
    *,
    shares: bool,
) -> None:
    analysis = make.answered(image, open_cast.owner, confidence=0.62)
    assert analysis.prediction is not None
    version = analysis.prediction.model_version
    ModelVersion.objects.filter(pk=version.pk).update(manifest=version.manifest | manifest)
    page = shown(client, analysis)
    assert ("Of ten images with such an answer in the calibration set, about 6" in page) is shares
    assert premise in page


def test_a_rejected_image_shows_no_probability_and_can_be_tried_again(
    open_cast: Cast, client: Client, image: Image
) -> None:
    analysis = make.answered(image, open_cast.owner, decision=Decision.REJECTED, confidence=0.37)
    page = shown(client, analysis)
    assert "Rejected: not usable" in page
    assert make.REASON in page
    assert "37 %" not in page
    assert reverse("analysis_retry", args=[analysis.pk]) in page


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("input_missing", "Upload it again"),
        ("input_changed", "Upload it again"),
        ("worker_lost", "The worker was lost"),
        ("network_error", "Something on our side went wrong"),
        ("a code of the future", "Something on our side went wrong"),
    ],
)
def test_a_failure_is_plain_and_has_a_reference(
    open_cast: Cast, client: Client, image: Image, code: str, words: str
) -> None:
    analysis = make.failed(image, open_cast.owner, code)
    page = shown(client, analysis)
    assert words in page
    assert analysis.failure_reference in page
    assert reverse("analysis_retry", args=[analysis.pk]) in page
    assert not polls(page, analysis)


def test_a_reader_is_offered_nothing_to_send(open_cast: Cast, image: Image) -> None:
    reader = open_cast.client_of(open_cast.read_only)
    other = make.bare_image(open_cast.patient, open_cast.owner)
    for analysis in (
        make.failed(image, open_cast.owner),
        make.answered(image, open_cast.owner),
        factories.make_analysis(other, open_cast.owner),
    ):
        page = shown(reader, analysis)
        for name in ("retry", "cancel"):
            assert reverse(f"analysis_{name}", args=[analysis.pk]) not in page
        for name in ("reading_create", "review_create"):
            assert reverse(name, args=[analysis.pk]) not in page


def test_never_all_of_ten_images() -> None:
    for confidence, count in ((0.25, 3), (0.62, 6), (0.85, 9), (0.949, 9)):
        assert f"set, about {count} were nevus." in in_ten(confidence, "Nevus", {})
    for confidence in (0.95, 1.0):
        assert "set, more than 9 were nevus." in in_ten(confidence, "Nevus", {})


def test_a_cancelled_analysis_says_so(open_cast: Cast, client: Client, image: Image) -> None:
    analysis = make.cancelled(image, open_cast.owner)
    assert "called off before it ran" in shown(client, analysis)
    # A rejected or failed one that was asked for again has run already.
    Analysis.objects.filter(pk=analysis.pk).update(attempt=3, attempts_forgiven=3)
    page = shown(client, analysis)
    assert "called off" in page
    assert "before it ran" not in page


def test_try_again_needs_a_reason_and_queues(open_cast: Cast, client: Client, image: Image) -> None:
    analysis = make.failed(image, open_cast.owner)
    address = reverse("analysis_retry", args=[analysis.pk])
    refused = client.post(address, {"reason": "  "})
    assert refused.status_code == 422
    analysis.refresh_from_db()
    assert analysis.state == State.FAILED
    taken = client.post(address, {"reason": "The disk is back"}, follow=True)
    assert "queued again" in taken.content.decode()
    analysis.refresh_from_db()
    assert (analysis.state, analysis.failure_reference) == (State.QUEUED, "")
    move = analysis.transitions.get(to_state=State.QUEUED)
    assert (move.actor, move.reason) == (open_cast.owner, "The disk is back")


def test_a_queued_analysis_is_called_off_with_a_reason(
    open_cast: Cast, client: Client, image: Image
) -> None:
    analysis = factories.make_analysis(image, open_cast.owner)
    address = reverse("analysis_cancel", args=[analysis.pk])
    assert client.post(address, {}).status_code == 422
    client.post(address, {"reason": "Wrong patient"})
    analysis.refresh_from_db()
    assert analysis.state == State.CANCELLED


@pytest.mark.parametrize("name", ["analysis_retry", "analysis_cancel"])
def test_what_cannot_be_moved_is_told_and_left_alone(
    open_cast: Cast, client: Client, image: Image, name: str
) -> None:
    analysis = make.answered(image, open_cast.owner)
    page = client.post(reverse(name, args=[analysis.pk]), {"reason": "A <b>long</b> story"})
    assert page.status_code == 422
    assert "Only a" in page.content.decode()
    # The page has no form for it any more: the words stand there to be copied.
    assert "A &lt;b&gt;long&lt;/b&gt; story" in page.content.decode()
    analysis.refresh_from_db()
    assert analysis.state == State.SUCCEEDED


def test_what_happened_when_is_listed(open_cast: Cast, client: Client, image: Image) -> None:
    analysis = make.answered(image, open_cast.owner)
    moves = client.get(analysis.get_absolute_url()).context["page"].transitions
    assert [move.to_state for move in moves] == [State.SUCCEEDED]
    assert "What happened when" in shown(client, analysis)


def map_of(analysis: Analysis, user: User, label: str = "melanoma") -> str:
    """Return where a map is fetched, as a page made for ``user`` says."""
    return signed(reverse("analysis_map", args=[analysis.pk, label]), user)


# --- The map -----------------------------------------------------------------------------------


def test_the_map_is_a_private_transparent_png(
    open_cast: Cast, client: Client, image: Image
) -> None:
    analysis = make.answered(image, open_cast.owner)
    response = client.get(map_of(analysis, open_cast.owner))
    assert response.status_code == 200
    assert response["Content-Type"] == "image/png"
    assert "no-store" in response["Cache-Control"]
    assert response["X-Content-Type-Options"] == "nosniff"
    picture = Pillow.open(io.BytesIO(response.content))
    assert picture.mode == "RGBA"
    # Nothing where the network found nothing, most where it found most.
    assert picture.getpixel((0, 0))[3] < 20  # type: ignore[index]  # RGBA gives a tuple
    assert picture.getpixel((255, 255))[3] > 180  # type: ignore[index]  # RGBA gives a tuple


@pytest.mark.parametrize("label", ["banana", "vitiligo", "MELANOMA"])
def test_a_label_of_no_map_is_not_found(
    open_cast: Cast, client: Client, image: Image, label: str
) -> None:
    analysis = make.answered(image, open_cast.owner)
    assert client.get(map_of(analysis, open_cast.owner, label)).status_code == 404


def test_an_unanswered_analysis_has_no_map(open_cast: Cast, client: Client, image: Image) -> None:
    analysis = factories.make_analysis(image, open_cast.owner)
    assert client.get(map_of(analysis, open_cast.owner)).status_code == 404


def test_the_map_opens_with_the_persons_own_reading(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    owner, address = cast.client_of(cast.owner), map_of(analysis, cast.owner)
    assert owner.get(address).status_code == 404
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    assert owner.get(address).status_code == 200
    event = AuditEvent.objects.get(action="map.viewed")
    assert (event.actor, event.subject_id) == (cast.owner, str(analysis.pk))
    assert owner.get(address.partition("?")[0]).status_code == 404
    for user in (cast.colleague, cast.stranger):
        client = cast.client_of(user)
        assert client.get(address).status_code == 404
        assert client.get(map_of(analysis, user)).status_code == 404
