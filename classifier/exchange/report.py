"""Reading a report out of the database, as far as a person may see it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from PIL import Image as Pillow

from classifier.choices import BodySite, Decision
from classifier.exchange.facts import (
    AnswerFacts,
    Chance,
    OutcomeFacts,
    Party,
    PatientFacts,
    PictureFacts,
    ReadingFacts,
    Report,
    ReviewFacts,
)
from classifier.selectors.outcomes import outcome_name, standing_outcomes
from classifier.selectors.results import diagnosis_name, result_page
from classifier.services.errors import RuleError
from classifier.services.model_versions import measured_facts
from classifier.wording import label_name, told
from mlcore.card import card_sections

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from classifier.models import Analysis, Image, Patient, Reading, Review, User
    from classifier.selectors.results import Answer
    from mlcore.card import Section

# What a reader of the answer must know, of everything the card says.
_LIMITS = ("warnings", "weak")


def report_of(analysis: Analysis, user: User) -> Report:
    """Return what may be told of an analysis by a person who has seen its answer.

    Args:
        analysis: visible to ``user``, with its patient, clinic, image and prediction. It may be
            veiled afterwards: never save it.
        user: who exports.

    Raises:
        RuleError: the picture's modality was corrected since, there is no answer yet, or it is
            hidden from this person.
        OSError: the picture is not where its row says.
    """
    page = result_page(analysis, user)
    # Before what is hidden: nobody is to read an image for an answer that never leaves.
    if page.outdated:
        raise RuleError(
            _("The modality of this image was corrected since. Use the analysis for the right one.")
        )
    if page.hidden:
        raise RuleError(_("Save your own reading first: the answer is part of this file."))
    if page.answer is None:
        raise RuleError(_("There is no answer to export yet."))
    label_set = analysis.label_set
    return Report(
        key=analysis.pk,
        clinic=Party(analysis.clinic_id, analysis.clinic.name),
        patient=patient_facts(analysis.patient),
        picture=picture_facts(analysis.image),
        answer=_answer(analysis, page.answer),
        readings=tuple(_reading(each, label_set) for each in page.readings),
        reviews=tuple(_review(each, label_set) for each in page.reviews),
        requested_at=_local(analysis.created_at),
        made_at=_local(timezone.now()),
        outcome=_outcome(analysis.image) if page.outcome is not None else None,
        outcome_changed_at=_outcome_changed_at(analysis.image),
    )


def patient_facts(patient: Patient) -> PatientFacts:
    """Return what other systems are told of a patient."""
    return PatientFacts(
        key=patient.pk,
        number=patient.record_number,
        name=patient.name,
        born=patient.date_of_birth,
        sex=patient.sex,
        sex_words=str(patient.get_sex_display()),
        skin_type=str(patient.get_skin_type_display()),
    )


def picture_facts(image: Image) -> PictureFacts:
    """Return the display copy of an image with what is known of it.

    Raises:
        OSError: the file is not where the row says.
    """
    with image.display.storage.open(image.display.name or "", "rb") as opened:
        jpeg = opened.read()
    width, height = Pillow.open(io.BytesIO(jpeg), formats=["JPEG"]).size
    lesion = image.lesion
    site = lesion.body_site if lesion else BodySite.UNKNOWN.value
    return PictureFacts(
        key=image.pk,
        jpeg=jpeg,
        width=width,
        height=height,
        modality=image.modality,
        modality_words=str(image.get_modality_display()),
        lesion=lesion.label if lesion else "",
        site=site,
        site_words="" if site == BodySite.UNKNOWN else str(BodySite(site).label),
        taken_at=_local(image.taken_at) if image.taken_at else None,
        uploaded_at=_local(image.created_at),
    )


def _outcome(image: Image) -> OutcomeFacts | None:
    if image.lesion is None:
        return None
    found = standing_outcomes([image.lesion]).get(image.lesion.pk)
    if found is None:
        return None
    return OutcomeFacts(
        key=found.pk,
        recorder=Party(found.recorded_by_id, str(found.recorded_by)),
        kind=found.kind,
        kind_words=str(found.get_kind_display()),
        diagnosis=found.diagnosis,
        diagnosis_words=outcome_name(found),
        behaviour_words=str(found.get_behaviour_display()),
        found_on=found.found_on,
        reference=found.reference,
        corrected=found.number > 1,
        at=_local(found.recorded_at),
    )


def _outcome_changed_at(image: Image) -> datetime | None:
    """Return when the last word on the lesion's outcome was written, taking it back included."""
    if image.lesion is None:
        return None
    last = image.lesion.outcomes.aggregate(at=Max("recorded_at"))["at"]
    return _local(last) if last else None


def _answer(analysis: Analysis, answer: Answer) -> AnswerFacts:
    said = answer.prediction
    version = said.model_version
    shown = [] if said.decision == Decision.REJECTED else answer.ranked
    card = _card(answer)
    return AnswerFacts(
        key=said.pk,
        decision=said.decision,
        decision_words=str(said.get_decision_display()),
        reason=told(said.reason),
        words=answer.words if answer.is_answer else "",
        ranked=tuple(
            Chance(each.label.key, label_name(each.label), each.probability, each.percent)
            for each in shown
        ),
        triage_group=said.plausible_group,
        model=version.pk,
        label_set=analysis.label_set,
        version=version.version,
        sha256=said.artefact_sha256,
        engine=said.engine,
        answered_at=_local(said.created_at),
        limits=sentences_of(card[key] for key in _LIMITS),
        not_for=sentences_of([card["not_for"]]),
    )


def _card(answer: Answer) -> dict[str, Section]:
    version = answer.prediction.model_version
    try:
        figures = measured_facts(version=version).get("figures", {})
    except RuleError:
        # The figures are away; what the network is not for holds without them.
        figures = {}
    known = {"label_set": version.label_set, "version": version.version}
    return {each.key: each for each in card_sections(version.manifest | known, figures)}


def sentences_of(sections: Iterable[Section]) -> tuple[str, ...]:
    """Return what the lists of some parts of a card say."""
    return tuple(
        sentence
        for section in sections
        for block in section.blocks
        for sentence in getattr(block, "items", ())
    )


def _reading(reading: Reading, label_set: str) -> ReadingFacts:
    return ReadingFacts(
        key=reading.pk,
        reader=Party(reading.reader_id, str(reading.reader)),
        diagnosis=reading.diagnosis,
        diagnosis_words=diagnosis_name(reading.diagnosis, reading.diagnosis_text, label_set),
        blinded=reading.blinded,
        at=_local(reading.created_at),
    )


def _review(review: Review, label_set: str) -> ReviewFacts:
    return ReviewFacts(
        key=review.pk,
        of_answer=review.prediction_id,
        reviewer=Party(review.reviewer_id, str(review.reviewer)),
        verdict=review.verdict,
        verdict_words=str(review.get_verdict_display()),
        diagnosis=review.diagnosis,
        diagnosis_words=diagnosis_name(review.diagnosis, review.diagnosis_text, label_set),
        reason=review.reason,
        at=_local(review.created_at),
    )


_local = timezone.localtime
