"""An image recorded under the wrong modality is corrected, with a reason, and nothing is lost."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from classifier.choices import Modality, ReviewState, State
from classifier.models import Analysis, AuditEvent, Image
from classifier.services.analyses import retry_analysis
from classifier.services.errors import ConflictError, RuleError
from classifier.services.modalities import correct_modality
from tests import factories
from tests.api.programs import program_of, told
from tests.web import answered as make
from tests.web.sending import JSON, photo, send

if TYPE_CHECKING:
    from tests.conftest import Cast

DERMOSCOPY, CLINICAL = Modality.DERMOSCOPY, Modality.CLINICAL


def correct(image: Image, by: Any, **other: Any) -> Analysis:
    """Correct a dermoscopic image to a clinical photograph."""
    facts = {"seen": DERMOSCOPY, "modality": CLINICAL, "reason": "The dermatoscope was off."}
    return correct_modality(image=image, by=by, **(facts | other))


def test_a_correction_is_recorded_and_the_other_network_is_asked(cast: Cast) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    old = make.answered(image, cast.owner)
    before = Analysis.objects.filter(pk=old.pk).values().get()
    new = correct(image, cast.colleague)
    assert Image.objects.get(pk=image.pk).modality == CLINICAL
    assert (new.modality, new.label_set, new.state) == (CLINICAL, "clinical5", State.QUEUED)
    assert new.requested_by == cast.colleague
    # What the first network said stands as it was said.
    assert Analysis.objects.filter(pk=old.pk).values().get() == before
    event = AuditEvent.objects.get(action="image.modality_corrected")
    assert (event.actor, event.subject_id) == (cast.colleague, str(image.pk))
    assert event.reason == "The dermatoscope was off."
    assert event.details == {"modality": "clinical", "before": "dermoscopy"}
    changes = cast.client_of(cast.owner).get(reverse("patient_changes", args=[cast.patient.pk]))
    told = re.sub(r"\s+", " ", html.unescape(changes.content.decode()))
    assert "The dermatoscope was off." in told
    assert "Clinical photograph" in told
    trail = cast.client_of(cast.administrator).get(reverse("audit_trail")).content.decode()
    assert "Modality of an image corrected" in trail
    assert re.search(r"<dd>\s*Clinical photograph\s*</dd>", trail)


def test_the_list_for_programs_shows_the_network_that_answers_for_the_image(cast: Cast) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    old = make.answered(image, cast.owner, review_state=ReviewState.REVIEWED)
    program = program_of(cast.owner, cast.clinic)

    def listed() -> tuple[str, str]:
        (item,) = told(program.get(f"/patients/{cast.patient.pk}/images"))["items"]
        return item["modality"], item["analysis"]["id"]

    new = correct(image, cast.owner)
    assert listed() == ("clinical", str(new.pk))
    correct(image, cast.owner, seen=CLINICAL, modality=DERMOSCOPY)
    # The other network's is the newer one, and not about this modality.
    assert listed() == ("dermoscopy", str(old.pk))


@pytest.mark.parametrize("taken", [False, True])
def test_what_waits_for_the_first_network_is_called_off_unless_a_worker_has_it(
    cast: Cast, taken: bool
) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    first = make.running(image, cast.owner) if taken else factories.make_analysis(image, cast.owner)
    new = correct(image, cast.owner)
    first.refresh_from_db()
    assert first.state == (State.RUNNING if taken else State.CANCELLED)
    assert new.state == State.QUEUED
    cancelled = AuditEvent.objects.filter(action="analysis.cancelled", subject_id=str(first.pk))
    assert cancelled.exists() is not taken


def test_a_correction_taken_back_finds_the_analysis_made_before(cast: Cast) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    old = make.answered(image, cast.owner, review_state=ReviewState.REVIEWED)
    second = correct(image, cast.owner)
    again = correct(image, cast.owner, seen=CLINICAL, modality=DERMOSCOPY)
    assert again == old
    second.refresh_from_db()
    assert second.state == State.CANCELLED
    # There and back once more: what was called off never runs again, so another is queued.
    third = correct(image, cast.owner)
    assert third not in {old, second}
    assert third.state == State.QUEUED


def test_only_one_of_two_people_corrects_and_only_by_the_rules(cast: Cast) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    stale = Image.objects.get(pk=image.pk)
    correct(image, cast.owner)
    with pytest.raises(ConflictError):
        correct(stale, cast.colleague)
    for wrong in ({"reason": "  "}, {"modality": DERMOSCOPY}, {"modality": "x-ray"}):
        with pytest.raises(RuleError):
            correct(image, cast.owner, **wrong)
    for somebody in (cast.read_only, cast.stranger, cast.superuser):
        with pytest.raises(RuleError):
            correct(image, somebody, seen=CLINICAL, modality=DERMOSCOPY)
    cast.patient.archived = True
    cast.patient.save()
    with pytest.raises(RuleError, match="archived"):
        correct(Image.objects.get(pk=image.pk), cast.owner, seen=CLINICAL, modality=DERMOSCOPY)
    assert AuditEvent.objects.filter(action="image.modality_corrected").count() == 1
    assert image.analyses.count() == 1


def test_an_analysis_for_the_wrong_modality_says_so_and_is_not_tried_again(cast: Cast) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    old = make.failed(image, cast.owner)
    client = cast.client_of(cast.owner)
    page = client.get(old.get_absolute_url()).content.decode()
    assert reverse("analysis_modality", args=[old.pk]) in page
    new = correct(image, cast.owner)
    page = client.get(old.get_absolute_url()).content.decode()
    assert "Made for the wrong modality" in page
    assert new.get_absolute_url() in page
    assert reverse("analysis_modality", args=[old.pk]) not in page
    assert reverse("analysis_retry", args=[old.pk]) not in page
    with pytest.raises(RuleError, match="corrected"):
        retry_analysis(analysis=old, by=cast.owner, reason="Again.")
    assert "Made for the wrong" not in client.get(new.get_absolute_url()).content.decode()
    timeline = client.get(cast.patient.get_absolute_url()).content.decode()
    assert timeline.count("made for dermoscopy") == 1
    assert "corrected since" in client.get(reverse("history")).content.decode()


def test_the_form_leads_to_the_new_analysis_and_a_reader_sees_none(cast: Cast) -> None:
    old = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    address = reverse("analysis_modality", args=[old.pk])
    reader = cast.client_of(cast.read_only)
    assert address not in reader.get(old.get_absolute_url()).content.decode()
    assert reader.post(address, {}).status_code == 403
    owner = cast.client_of(cast.owner)
    said = {"seen": "dermoscopy", "modality": "clinical", "reason": ""}
    answer = owner.post(address, said)
    assert answer.status_code == 422
    assert "This field is required" in answer.content.decode()
    answer = owner.post(address, said | {"reason": "Wrong button."}, follow=True)
    new = Analysis.objects.get(modality=CLINICAL)
    assert answer.redirect_chain[-1][0] == new.get_absolute_url()
    assert "corrected to clinical photograph" in answer.content.decode()
    # The same form once more, from a page that is out of date.
    answer = owner.post(address, said | {"reason": "Pressed the wrong one."})
    assert answer.status_code == 409
    assert "meanwhile" in answer.content.decode()
    assert "Pressed the wrong one." in answer.content.decode()
    assert Analysis.objects.count() == 2


def test_a_known_picture_sent_as_the_other_modality_tells_the_way(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    send(client, cast.patient, photo(3))
    told = send(client, cast.patient, photo(3), how=JSON, modality="clinical").json()["files"][0]
    assert told["status"] == "known"
    assert "as dermoscopy, and stays so" in told["message"]
    assert "correct the modality" in told["message"]
    image = Image.objects.get()
    new = correct(image, cast.owner)
    told = send(client, cast.patient, photo(3), how=JSON, modality="clinical").json()["files"][0]
    assert told["analysis_url"] == new.get_absolute_url()
    assert image.analyses.count() == 2
