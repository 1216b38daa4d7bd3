"""A report that is nobody's, with a drawn picture, to show what other systems get."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from classifier.choices import BodySite, Decision, Modality, Sex, Verdict
from classifier.exchange import dicom_out, fhir, letter
from classifier.exchange.facts import (
    AnswerFacts,
    Chance,
    Party,
    PatientFacts,
    PictureFacts,
    ReadingFacts,
    Report,
    ReviewFacts,
)
from classifier.exchange.report import sentences_of
from classifier.selectors.results import percent_of
from mlcore.card import card_sections
from mlcore.drawing import draw_dermoscopy
from mlcore.imaging import encode_display
from mlcore.labels import label_set

if TYPE_CHECKING:
    from pathlib import Path

_BEGAN = datetime(2024, 2, 29, 9, 15, tzinfo=UTC)
# Falling, and together 1.
_CHANCES = (0.62, 0.2, 0.08, 0.04, 0.02, 0.02, 0.01, 0.005, 0.005)
_PLACE = uuid.UUID("5d1f2f3e-0b57-4f6a-9f51-6c1a3d0b7e00")


def _key(name: str) -> uuid.UUID:
    """Return the same identifier each time, so that a sample changes only when the form does."""
    return uuid.uuid5(_PLACE, name)


def sample_report() -> Report:
    """Return a signed report of a drawn mole; everybody in it is invented."""
    drawn = draw_dermoscopy("melanoma", seed=7, size=(320, 240))
    labels = label_set("isic9")
    told = card_sections({"label_set": labels.key, "version": "0.0.0-sample"}, {})
    card = {section.key: section for section in told}
    first = labels.label("melanoma")
    ordered = [first, *(each for each in labels.labels if each is not first)]
    clinician = Party(_key("clinician"), "Kim Clinician")
    answer = _key("answer")
    return Report(
        key=_key("analysis"),
        clinic=Party(_key("clinic"), "Demo Skin Clinic"),
        patient=PatientFacts(
            key=_key("patient"),
            number="DEMO-001",
            name="Maria Sommer",
            born=date(1957, 1, 1),
            sex=Sex.FEMALE.value,
            sex_words=str(Sex.FEMALE.label),
            skin_type="II",
        ),
        picture=PictureFacts(
            key=_key("image"),
            jpeg=encode_display(drawn),
            width=drawn.width,
            height=drawn.height,
            modality=Modality.DERMOSCOPY.value,
            modality_words=str(Modality.DERMOSCOPY.label),
            lesion="Mole between the shoulder blades",
            site=BodySite.BACK.value,
            site_words=str(BodySite.BACK.label),
            taken_at=_BEGAN,
            uploaded_at=_BEGAN + timedelta(minutes=5),
        ),
        answer=AnswerFacts(
            key=answer,
            decision=Decision.ANSWER.value,
            decision_words=str(Decision.ANSWER.label),
            reason="",
            words="",
            ranked=tuple(
                Chance(label.key, label.name, chance, percent_of(chance))
                for label, chance in zip(ordered, _CHANCES, strict=True)
            ),
            triage_group=first.triage_group,
            model=_key("model"),
            label_set=labels.key,
            version="0.0.0-sample",
            sha256="0" * 64,
            engine="litert",
            answered_at=_BEGAN + timedelta(minutes=6),
            limits=sentences_of([card["warnings"]]),
            not_for=sentences_of([card["not_for"]]),
        ),
        readings=(
            ReadingFacts(
                key=_key("reading"),
                reader=clinician,
                diagnosis="nevus",
                diagnosis_words="Nevus",
                blinded=True,
                at=_BEGAN + timedelta(minutes=20),
            ),
        ),
        reviews=(
            ReviewFacts(
                key=_key("review"),
                of_answer=answer,
                reviewer=clinician,
                verdict=Verdict.AGREE.value,
                verdict_words=str(Verdict.AGREE.label),
                diagnosis="melanoma",
                diagnosis_words="Melanoma",
                reason="",
                at=_BEGAN + timedelta(minutes=25),
            ),
        ),
        requested_at=_BEGAN + timedelta(minutes=5),
        made_at=_BEGAN + timedelta(minutes=30),
    )


def write_samples(folder: Path) -> list[Path]:
    """Write the sample in each form into a folder that exists, and return the files."""
    report = sample_report()
    forms = {
        "letter.pdf": letter.letter_pdf(report),
        "report.fhir.json": fhir.fhir_json(report),
        "report.dcm": dicom_out.report_object(report),
        "image.dcm": dicom_out.image_object(
            clinic=report.clinic, patient=report.patient, picture=report.picture
        ),
    }
    written = []
    for name, data in forms.items():
        path = folder / name
        path.write_bytes(data)
        written.append(path)
    return written
