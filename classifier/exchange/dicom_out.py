"""A picture and a report as DICOM objects (PS3.3): what a picture archive takes.

The picture is the display copy, decoded once and written as plain RGB, so that a receiver sees the
very pixels that were looked at; that it was a JPEG before is said. Identifiers are made of the
rows' own, so that the same picture is the same object whenever it is sent, unless its modality was
corrected in between.
"""

from __future__ import annotations

import io
import uuid
from datetime import timedelta, timezone
from typing import TYPE_CHECKING

import numpy as np
from django.utils.translation import gettext as _
from PIL import Image as Pillow
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from classifier.choices import BodySite, Modality, Sex
from classifier.exchange.facts import Status

if TYPE_CHECKING:
    from datetime import datetime

    from classifier.exchange.facts import Party, PatientFacts, PictureFacts, Report

CONTENT_TYPE = "application/dicom"
DERMOSCOPIC = UID("1.2.840.10008.5.1.4.1.1.77.1.7")
PHOTOGRAPHIC = UID("1.2.840.10008.5.1.4.1.1.77.1.4")
BASIC_TEXT_SR = UID("1.2.840.10008.5.1.4.1.1.88.11")
_SEXES = {Sex.FEMALE.value: "F", Sex.MALE.value: "M", Sex.OTHER.value: "O"}
# Terms of PS3.16, annex L, where one says the same as the site.
_PARTS = {
    BodySite.SCALP: "SCALP",
    BodySite.FACE: "FACE",
    BodySite.EAR: "EAR",
    BodySite.NECK: "NECK",
    BodySite.CHEST: "CHEST",
    BodySite.ABDOMEN: "ABDOMEN",
    BodySite.BACK: "BACK",
    BodySite.BUTTOCK: "BUTTOCK",
    BodySite.UPPER_ARM: "UPPERARM",
    BodySite.FOREARM: "FOREARM",
    BodySite.HAND: "HAND",
    BodySite.THIGH: "THIGH",
    BodySite.LOWER_LEG: "LOWERLEG",
    BodySite.FOOT: "FOOT",
}
_MOST_LONG, _MOST_NAME = 64, 64
_UNKNOWN = "Unknown"


def image_object(*, clinic: Party, patient: PatientFacts, picture: PictureFacts) -> bytes:
    """Return a Dermoscopic Photography or VL Photographic Image object."""
    dermoscopic = picture.modality == Modality.DERMOSCOPY
    found = _common(clinic, patient, picture, DERMOSCOPIC if dermoscopic else PHOTOGRAPHIC)
    found.SOPInstanceUID = _instance(picture)
    found.SeriesInstanceUID = _series(picture)
    found.Modality = "DMS" if dermoscopic else "XC"
    found.SeriesNumber = found.InstanceNumber = 1
    # The camera is not known: nothing of the upload's own words is kept.
    found.Manufacturer = found.ManufacturerModelName = found.DeviceSerialNumber = _UNKNOWN
    found.SoftwareVersions = _UNKNOWN
    found.ImageType = ["DERIVED", "PRIMARY"]
    # Which way the picture lies on the body is not known, which has to be said.
    found.PatientOrientation = ""
    found.AcquisitionContextSequence = Sequence([])
    # BurnedInAnnotation may be missing, and is: nobody has looked whether there is writing.
    found.LossyImageCompression = "01"
    found.LossyImageCompressionMethod = "ISO_10918_1"
    found.LossyImageCompressionRatio = _ratio(picture)
    if picture.site in _PARTS:
        found.BodyPartExamined = _PARTS[BodySite(picture.site)]
    if picture.taken_at:
        found.AcquisitionDateTime = f"{picture.taken_at:%Y%m%d%H%M%S.%f%z}"
    if picture.lesion:
        found.ImageComments = _text(picture.lesion, 1024)
    if dermoscopic:
        found.LightSourcePolarization = found.ContactMethod = ""
        found.EmitterColorTemperature = found.OpticalMagnificationFactor = None
        # Nobody has looked whether a face can be recognised, so it may be.
        found.RecognizableVisualFeatures = "YES"
    _pixels(found, picture)
    return _written(found)


def report_object(report: Report) -> bytes:
    """Return a Basic Text SR object with the readings, the network's answer and its limits."""
    found = _common(report.clinic, report.patient, report.picture, BASIC_TEXT_SR)
    # What it says changes with every verdict, and an object must not change.
    version = report.changed_at.isoformat()
    found.SOPInstanceUID = uid_of(report.key, f"report {version}")
    found.SeriesInstanceUID = uid_of(report.key, "reports")
    found.Modality = "SR"
    found.SeriesNumber = 2
    found.InstanceNumber = 1 + len(report.readings) + len(report.reviews)
    found.Manufacturer = ""
    # A time without an offset of its own is taken in the object's, whatever the season was then.
    changed = report.changed_at.astimezone(_taken(report.picture).tzinfo)
    found.ContentDate, found.ContentTime = _day(changed), _time(changed)
    found.ReferencedPerformedProcedureStepSequence = Sequence([])
    found.PerformedProcedureCodeSequence = Sequence([])
    found.CompletionFlag = "COMPLETE"
    found.PreliminaryFlag = "PRELIMINARY" if report.status is Status.PRELIMINARY else "FINAL"
    found.CurrentRequestedProcedureEvidenceSequence = Sequence([_evidence(found, report)])
    held = report.conclusion
    found.VerificationFlag = "VERIFIED" if held else "UNVERIFIED"
    if held:
        observer = Dataset()
        observer.VerifyingObserverName = _name(held.reviewer.name)
        observer.VerifyingOrganization = _text(report.clinic.name, _MOST_LONG)
        observer.VerificationDateTime = f"{held.at:%Y%m%d%H%M%S%z}"
        observer.VerifyingObserverIdentificationCodeSequence = Sequence([])
        found.VerifyingObserverSequence = Sequence([observer])
    found.ValueType = "CONTAINER"
    found.ContinuityOfContent = "SEPARATE"
    found.ConceptNameCodeSequence = _concept("18748-4", "LN", "Diagnostic imaging study")
    found.ContentSequence = Sequence([_shown(report.picture), *_texts(report)])
    return _written(found)


def uid_of(key: uuid.UUID, part: str = "") -> UID:
    """Return the identifier of a row, or of a part of it (PS3.5, annex B.2)."""
    return UID(f"2.25.{(uuid.uuid5(key, part) if part else key).int}")


def _instance(picture: PictureFacts) -> UID:
    """Return the picture's identifier: another one where its modality was corrected.

    The modality decides the class, and no object changes its class, nor a series its modality.
    """
    return uid_of(picture.key, picture.modality)


def _series(picture: PictureFacts) -> UID:
    return uid_of(picture.key, f"series {picture.modality}")


def _common(clinic: Party, patient: PatientFacts, picture: PictureFacts, kind: UID) -> Dataset:
    found = Dataset()
    found.SpecificCharacterSet = "ISO_IR 192"
    found.SOPClassUID = kind
    found.PatientName = _name(patient.name)
    found.PatientID = _text(patient.number, _MOST_LONG)
    found.PatientBirthDate = f"{patient.born:%Y%m%d}" if patient.born else ""
    found.PatientSex = _SEXES.get(patient.sex, "")
    taken = _taken(picture)
    found.StudyInstanceUID = uid_of(picture.key, "study")
    found.StudyDate, found.StudyTime = _day(taken), _time(taken)
    found.TimezoneOffsetFromUTC = f"{taken:%z}"
    found.StudyID = found.AccessionNumber = ""
    found.ReferringPhysicianName = ""
    found.InstitutionName = _text(clinic.name, _MOST_LONG)
    return found


def _taken(picture: PictureFacts) -> datetime:
    """Return when the picture was taken, as far as is known, in a zone of one offset."""
    taken = picture.taken_at or picture.uploaded_at
    return taken.astimezone(timezone(taken.utcoffset() or timedelta()))


def _pixels(found: Dataset, picture: PictureFacts) -> None:
    decoded = Pillow.open(io.BytesIO(picture.jpeg), formats=["JPEG"]).convert("RGB")
    found.SamplesPerPixel = 3
    found.PhotometricInterpretation = "RGB"
    found.PlanarConfiguration = 0
    found.Rows, found.Columns = decoded.height, decoded.width
    found.BitsAllocated = found.BitsStored = 8
    found.HighBit = 7
    found.PixelRepresentation = 0
    raw = np.asarray(decoded, dtype=np.uint8).tobytes()
    found.PixelData = raw + b"\x00" * (len(raw) % 2)
    found["PixelData"].VR = "OB"


def _ratio(picture: PictureFacts) -> str:
    return f"{picture.width * picture.height * 3 / len(picture.jpeg):.2f}"


def _evidence(found: Dataset, report: Report) -> Dataset:
    series, study = Dataset(), Dataset()
    series.SeriesInstanceUID = _series(report.picture)
    series.ReferencedSOPSequence = Sequence([_reference(report.picture)])
    study.StudyInstanceUID = found.StudyInstanceUID
    study.ReferencedSeriesSequence = Sequence([series])
    return study


def _reference(picture: PictureFacts) -> Dataset:
    found = Dataset()
    dermoscopic = picture.modality == Modality.DERMOSCOPY
    found.ReferencedSOPClassUID = DERMOSCOPIC if dermoscopic else PHOTOGRAPHIC
    found.ReferencedSOPInstanceUID = _instance(picture)
    return found


def _shown(picture: PictureFacts) -> Dataset:
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "IMAGE"
    item.ReferencedSOPSequence = Sequence([_reference(picture)])
    return item


def _texts(report: Report) -> list[Dataset]:
    """Return what the report says, a text item each (concepts of PS3.16, CID 6050 and annex D)."""
    answer = report.answer
    impression = _concept("121073", "DCM", "Impression")
    finding = _concept("121071", "DCM", "Finding")
    chances = "; ".join(f"{each.name} {each.percent}" for each in answer.ranked)
    said = [f"{_('Network')} {answer.label_set} {answer.version}: {answer.decision_words}."]
    said += [answer.reason, answer.words]
    group = answer.group_words
    said += [f"{_('Worst plausible group')}: {group}." if group else ""]
    said += [_("Calibrated probabilities: %s.") % chances if chances else "", *answer.limits]
    said += [f"{_('Not for')}: {line}" for line in answer.not_for]
    items = [_item(finding, " ".join(part for part in said if part))]
    for reading in report.readings:
        how = _("before the answer") if reading.blinded else _("knowing the answer")
        items.append(_item(finding, f"{reading.reader.name}, {how}: {reading.diagnosis_words}"))
    for review in report.reviews:
        parts = [report.verdict_words(review), review.diagnosis_words, review.reason]
        words = "; ".join(part for part in parts if part)
        items.append(_item(impression, f"{review.reviewer.name}: {words}"))
    conclusion = _concept("121077", "DCM", "Conclusion")
    held = report.conclusion
    told = f"{held.diagnosis_words}. " if held else ""
    return [*items, _item(conclusion, told + report.status_words())]


def _item(concept: Sequence, words: str) -> Dataset:
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "TEXT"
    item.ConceptNameCodeSequence = concept
    item.TextValue = words
    return item


def _concept(code: str, scheme: str, meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, scheme, meaning
    return Sequence([item])


def _written(found: Dataset) -> bytes:
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    found.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _name(words: str) -> str:
    """Return a person's name as one part; the signs that part names in DICOM are taken out."""
    return _text(words.replace("^", " ").replace("=", " "), _MOST_NAME)


def _text(words: str, most: int) -> str:
    return words.replace("\\", "/")[:most]


def _day(moment: datetime) -> str:
    return f"{moment:%Y%m%d}"


def _time(moment: datetime) -> str:
    return f"{moment:%H%M%S}"
