"""DICOM objects in and out: pixels, identity, and every refusal."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import highdicom
import numpy as np
import pydicom
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone
from highdicom._standard_utils import (
    check_required_attributes,
    get_iod_module_map,
    get_sop_class_iod_map,
    is_attribute_in_iod,
)
from PIL import Image as Pillow
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from classifier.exchange.dicom_out import report_object
from classifier.exchange.report import report_of
from classifier.exchange.samples import write_samples
from classifier.intake import Accepted, Refused, accept
from classifier.intake.refusals import DICOM_REFUSALS
from classifier.models import AuditEvent, Clinic, Image, Lesion, Patient
from mlcore.imaging import encode_network_source, network_source
from tests import factories
from tests.exchange.objects import (
    MICROSCOPIC,
    PHOTOGRAPHIC,
    SECRET,
    drawn,
    jpeg,
    made,
    png,
)
from tests.web.answered import answered

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.uid import UID

    from tests.conftest import Cast


def taken(data: bytes) -> Accepted:
    return accept(SimpleUploadedFile("photo.jpg", data, content_type="image/jpeg"))


def refusal(data: bytes) -> str:
    with pytest.raises(Refused) as refused:
        taken(data)
    return refused.value.code


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, JPEG2000Lossless],
)
def test_lossless_pixels_come_in_as_they_are(syntax: UID) -> None:
    accepted = taken(made(syntax=syntax))
    plain = taken(png(drawn()))
    assert accepted.network_source == plain.network_source
    assert accepted.display == plain.display
    assert (accepted.format, accepted.width, accepted.height) == ("DICOM", 200, 150)
    assert accepted.taken_at is not None
    assert accepted.taken_at.isoformat() == "2024-02-29T13:45:10+01:00"
    assert accepted.dicom is not None
    assert (accepted.dicom.modality, accepted.dicom.number) == ("dermoscopy", "MRN-00001")
    assert SECRET.encode() not in accepted.display + accepted.network_source


def test_other_orders_and_colours_of_lossless_pixels() -> None:
    plain = taken(png(drawn())).network_source
    planes = np.moveaxis(np.asarray(drawn()), -1, 0).tobytes()
    assert taken(made(pixels=planes, PlanarConfiguration=1)).network_source == plain
    grey = drawn().convert("L")
    facts: dict[str, Any] = {"SamplesPerPixel": 1, "PlanarConfiguration": None}
    expected = taken(png(grey)).network_source
    assert (
        taken(made(pixels=grey.tobytes(), colour="MONOCHROME2", **facts)).network_source == expected
    )
    turned = grey.point(lambda value: 255 - value).tobytes()
    assert taken(made(pixels=turned, colour="MONOCHROME1", **facts)).network_source == expected
    ycc = drawn().convert("YCbCr")
    near = Pillow.open(
        io.BytesIO(taken(made(pixels=ycc.tobytes(), colour="YBR_FULL")).network_source)
    )
    assert np.abs(np.asarray(near, int) - np.asarray(ycc.convert("RGB"), int)).max() == 0


def test_a_jpeg_inside_is_read_as_that_jpeg() -> None:
    data = jpeg(drawn())
    expected = taken(data).network_source
    assert taken(made(syntax=JPEGBaseline8Bit, colour="YBR_FULL_422")).network_source == expected
    # Its own metadata do not count: no viewer of DICOM objects would turn it.
    exif = Pillow.Exif()
    exif[0x0112] = 6
    tilted = encapsulate([jpeg(drawn(), exif=exif)])
    assert taken(made(syntax=JPEGBaseline8Bit, pixels=tilted)).network_source == expected


def test_every_refusal_has_its_own_words() -> None:
    huge: dict[str, Any] = {"Rows": 60_000, "Columns": 60_000}
    cut = made()[:-1000]
    cases = {
        "dicom_class": made(SOPClassUID=MICROSCOPIC),
        "dicom_coding": made(syntax=JPEGLSLossless, pixels=encapsulate([b"\xff\xd8\xff\xf7"])),
        "dicom_frames": made(NumberOfFrames=2),
        "dicom_annotated": made(BurnedInAnnotation="YES"),
        "too_many_pixels": made(**huge),
        "too_long": made(Rows=1, Columns=30_000, pixels=bytes(90_000)),
        "too_small": made(Rows=32, Columns=32, pixels=bytes(32 * 32 * 3)),
        "truncated": made(pixels=bytes(10)),
        "dicom": made(Rows=None),
    }
    found = {wanted: refusal(data) for wanted, data in cases.items()}
    assert found == {wanted: wanted for wanted in cases}
    assert refusal(cut) in {"dicom", "truncated"}
    assert refusal(made(BitsAllocated=16, BitsStored=12)) == "dicom_coding"
    assert refusal(made(colour="PALETTE COLOR")) == "dicom_coding"
    assert refusal(made().replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.1.2.1.99"[:20])) in {
        "dicom",
        "dicom_coding",
    }
    # What is coded says another size than the object.
    other = drawn().resize((400, 300))
    buffer = io.BytesIO()
    other.save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
    lying = made(syntax=JPEG2000Lossless, pixels=encapsulate([buffer.getvalue()]))
    assert refusal(lying) == "dicom"
    sentences = [str(Refused(code)) for code in DICOM_REFUSALS]
    assert len(set(sentences)) == len(DICOM_REFUSALS)
    # The process that read all this still reads.
    assert taken(made()).format == "DICOM"


def test_broken_objects_are_refused_and_nothing_else() -> None:
    whole = made(syntax=RLELossless)
    random = np.random.default_rng(5)
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        for place in random.integers(128, 1200, size=6):
            data[place] = random.integers(0, 256)
        try:
            taken(bytes(data))
        except Refused:
            refused += 1
    assert refused > 10


def send(cast: Cast, data: bytes, **fields: Any) -> Any:
    upload = SimpleUploadedFile("photo.dcm", data)
    return cast.client_of(cast.owner).post(
        reverse("image_upload", args=[cast.patient.pk]),
        {"images": [upload], "modality": "dermoscopy"} | fields,
        headers={"accept": "application/json"},
    )


def test_an_object_of_somebody_else_is_refused_at_the_door(cast: Cast) -> None:
    Patient.objects.filter(pk=cast.patient.pk).update(
        record_number="MRN-00001", date_of_birth="1980-05-04"
    )
    refused = {
        "dicom_other_patient": [
            made(PatientID="MRN-00002"),
            made(PatientBirthDate="19800505"),
            made(PatientName="Other^Person"),
        ],
        "dicom_nameless": [made(PatientID="")],
        "dicom_is_clinical": [made(SOPClassUID=PHOTOGRAPHIC)],
    }
    for code, objects in refused.items():
        for data in objects:
            response = send(cast, data)
            assert response.status_code == 422, code
            (told,) = response.json()["files"]
            assert told["message"] == str(Refused(code))
    assert not Image.objects.exists()

    response = send(cast, made(PatientBirthDate="19800504", PatientName="", PatientID=" mrn-00001"))
    assert response.status_code == 200, response.content
    image = Image.objects.get()
    assert (image.original_format, image.modality) == ("DICOM", "dermoscopy")
    assert send(cast, made(SOPClassUID=PHOTOGRAPHIC), modality="clinical").status_code == 200
    kept = json.dumps(
        [list(AuditEvent.objects.values_list("details", flat=True)), str(Image.objects.values())],
        default=str,
    )
    assert SECRET not in kept


def standard_faults(found: pydicom.Dataset) -> list[str]:
    """Return what the standard's tables (as highdicom ships them) miss in an object."""
    iod = get_sop_class_iod_map()[found.SOPClassUID]
    faults = []
    for module in get_iod_module_map()[iod]:
        # The tables hold what any kind of content item may need as if each needed all of it.
        if module["usage"] != "M" or module["key"] == "sr-document-content":
            continue
        try:
            check_required_attributes(found, module["key"])
        except AttributeError as error:
            faults.append(str(error))
    faults += [
        f"{element.keyword} does not belong here"
        for element in found
        if not is_attribute_in_iod(element.keyword, found.SOPClassUID)
    ]
    for element in found.iterall():
        pydicom.valuerep.validate_value(element.VR, element.value, pydicom.config.RAISE) if (
            isinstance(element.value, str)
        ) else None
    return faults


def test_what_goes_out_keeps_the_standard_and_comes_in_again(cast: Cast) -> None:
    Clinic.objects.filter(pk=cast.clinic.pk).update(blinded_first=False)
    lesion = Lesion.objects.create(
        clinic=cast.clinic,
        patient=cast.patient,
        label="Mole \\ left",
        body_site="back",
        created_by=cast.owner,
    )
    Patient.objects.filter(pk=cast.patient.pk).update(name="Zoë Łukasz ^ Ωmega")
    for modality, kind in (("dermoscopy", "DMS"), ("clinical", "XC")):
        image = factories.make_image(
            cast.patient, cast.owner, modality=modality, lesion=lesion, picture=drawn()
        )
        analysis = answered(image, cast.owner, top="melanoma")
        client = cast.client_of(cast.owner)
        response = client.get(reverse("analysis_dicom_image", args=[analysis.pk]))
        assert response["Content-Type"] == "application/dicom"
        assert response["Content-Disposition"] == f'attachment; filename="{analysis.pk}.dcm"'
        found = pydicom.dcmread(io.BytesIO(response.content))
        assert standard_faults(found) == []
        assert (found.Modality, found.BodyPartExamined) == (kind, "BACK")
        # Nobody has looked for writing in the picture, so nothing may be said of it.
        assert "BurnedInAnnotation" not in found
        # Required, and empty where nobody knows it (dciodvfy; PS3.3, C.7.6.1).
        assert found.PatientOrientation == ""
        with image.display.open("rb") as stored:
            shown = Pillow.open(io.BytesIO(stored.read())).convert("RGB")
        # What a viewer of DICOM sees is what was looked at here.
        assert np.array_equal(found.pixel_array, np.asarray(shown))
        outside = highdicom.Image.from_dataset(found)
        assert np.array_equal(outside.get_frame(1, apply_icc_profile=False), np.asarray(shown))
        back = taken(response.content)
        assert back.network_source == encode_network_source(network_source(shown))
        assert back.dicom is not None
        assert (back.dicom.modality, back.dicom.number) == (modality, cast.patient.record_number)

        response = client.get(reverse("analysis_dicom_report", args=[analysis.pk]))
        report = pydicom.dcmread(io.BytesIO(response.content))
        assert standard_faults(report) == []
        assert (report.PreliminaryFlag, report.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
        assert report.StudyInstanceUID == found.StudyInstanceUID
        (evidence,) = report.CurrentRequestedProcedureEvidenceSequence
        (seen,) = evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence
        assert seen.ReferencedSOPInstanceUID == found.SOPInstanceUID
        said = " ".join(str(item.get("TextValue", "")) for item in report.ContentSequence)
        assert "Melanoma 80 %" in said
        assert "not a diagnosis" in said
    actions = AuditEvent.objects.filter(action__startswith="dicom_").values_list(
        "action", flat=True
    )
    assert sorted(actions) == ["dicom_image.exported"] * 2 + ["dicom_report.exported"] * 2


def test_an_object_keeps_its_class_when_the_modality_is_corrected(cast: Cast) -> None:
    Clinic.objects.filter(pk=cast.clinic.pk).update(blinded_first=False)
    image = factories.make_image(cast.patient, cast.owner, modality="clinical", picture=drawn())

    def sent() -> tuple[str, str]:
        analysis = answered(image, cast.owner, top="melanoma")
        address = reverse("analysis_dicom_image", args=[analysis.pk])
        found = pydicom.dcmread(io.BytesIO(cast.client_of(cast.owner).get(address).content))
        return found.SOPInstanceUID, found.SeriesInstanceUID

    before = sent()
    Image.objects.filter(pk=image.pk).update(modality="dermoscopy")
    image.refresh_from_db()
    assert not set(sent()) & set(before)


def test_a_report_tells_its_time_in_the_offset_that_it_names(cast: Cast) -> None:
    Clinic.objects.filter(pk=cast.clinic.pk).update(blinded_first=False)
    image = factories.make_image(cast.patient, cast.owner, modality="clinical", picture=drawn())
    Image.objects.filter(pk=image.pk).update(taken_at=datetime(2026, 7, 1, 12, tzinfo=UTC))
    image.refresh_from_db()
    analysis = answered(image, cast.owner, top="melanoma")
    winter = datetime(2026, 12, 1, 12, tzinfo=UTC)
    with timezone.override("Europe/Berlin"):
        report = report_of(analysis, cast.owner)
        answer = replace(report.answer, answered_at=timezone.localtime(winter))
        found = report_object(replace(report, answer=answer))
    told = pydicom.dcmread(io.BytesIO(found))
    assert told.StudyTime == "140000"
    assert told.TimezoneOffsetFromUTC == "+0200"
    said = f"{told.ContentDate}{told.ContentTime}{told.TimezoneOffsetFromUTC}"
    assert datetime.strptime(said, "%Y%m%d%H%M%S%z") == winter


def test_the_answer_stays_inside_before_the_own_reading(cast: Cast) -> None:
    from tests import factories

    analysis = answered(factories.make_image(cast.patient, cast.owner), cast.owner)
    client = cast.client_of(cast.owner)
    assert client.get(reverse("analysis_dicom_report", args=[analysis.pk])).status_code == 302
    # The picture tells nothing of the answer.
    assert client.get(reverse("analysis_dicom_image", args=[analysis.pk])).status_code == 200
    page = client.get(reverse("analysis_detail", args=[analysis.pk])).content.decode()
    assert reverse("analysis_dicom_image", args=[analysis.pk]) in page
    assert reverse("analysis_dicom_report", args=[analysis.pk]) not in page


def test_the_samples_keep_the_standard(tmp_path: Path) -> None:
    write_samples(tmp_path)
    for name in ("image.dcm", "report.dcm"):
        assert standard_faults(pydicom.dcmread(tmp_path / name)) == []
    report = pydicom.dcmread(tmp_path / "report.dcm")
    assert (report.PreliminaryFlag, report.VerificationFlag) == ("FINAL", "VERIFIED")
    assert str(report.VerifyingObserverSequence[0].VerifyingObserverName) == "Kim Clinician"
