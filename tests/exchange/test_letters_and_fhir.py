"""The letter and the FHIR report of an analysis: what they say, to whom, and in whose terms."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import pypdf
import pytest
from django.contrib.messages import get_messages
from django.urls import reverse
from django.utils import timezone
from fhir.resources.R4B import get_fhir_model_class

from classifier.choices import Decision, Modality, Verdict
from classifier.models import Analysis, AuditEvent, Clinic, Patient
from classifier.services.modalities import correct_modality
from classifier.services.outcomes import record_outcome, withdraw_outcome
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from mlcore.labels import TRIAGE_ORDER, label_set
from tests import factories
from tests.web.answered import answered

if TYPE_CHECKING:
    from django.conf import LazySettings

    from classifier.models import User
    from tests.conftest import Cast


def judged(cast: Cast, **extra: Any) -> Analysis:
    lesion = cast.patient.lesions.create(
        clinic=cast.clinic, label="Mole", body_site="back", created_by=cast.owner
    )
    image = factories.make_image(cast.patient, cast.owner, lesion=lesion)
    return answered(image, cast.owner, **extra)


def read(analysis: Analysis, by: User, diagnosis: str = "nevus") -> None:
    save_reading(analysis=analysis, by=by, diagnosis=diagnosis)


def review(analysis: Analysis, by: User, verdict: Verdict, **facts: Any) -> None:
    analysis.refresh_from_db()
    number = analysis.review_count
    save_review(analysis=analysis, by=by, verdict=verdict, expected_number=number, **facts)


def fetch(cast: Cast, user: User, name: str, analysis: Analysis) -> Any:
    return cast.client_of(user).get(reverse(name, args=[analysis.pk]))


def fhir_of(cast: Cast, user: User, analysis: Analysis) -> dict[str, list[dict[str, Any]]]:
    """Return the resources by type, after fhir.resources has taken each of them."""
    response = fetch(cast, user, "analysis_fhir", analysis)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/fhir+json; fhirVersion=4.0"
    bundle = json.loads(response.content)
    get_fhir_model_class("Bundle").model_validate(bundle)
    found: dict[str, list[dict[str, Any]]] = {}
    names = {entry["fullUrl"] for entry in bundle["entry"]}
    for entry in bundle["entry"]:
        resource = entry["resource"]
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        found.setdefault(resource["resourceType"], []).append(resource)
        assert entry["fullUrl"] == f"urn:uuid:{resource['id']}"
    assert set(references(bundle)) <= names
    assert len(names) == len(bundle["entry"])
    return found


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["reference"]] if "reference" in node else []
        return own + [each for value in node.values() for each in references(value)]
    if isinstance(node, list):
        return [each for value in node for each in references(value)]
    return []


def text_of(pdf: bytes) -> str:
    pages = pypdf.PdfReader(io.BytesIO(pdf)).pages
    return " ".join(" ".join(page.extract_text() for page in pages).split())


def test_the_outcome_travels_as_an_observation_of_its_own(cast: Cast) -> None:
    analysis = judged(cast)
    read(analysis, cast.owner)
    lesion = analysis.image.lesion
    assert lesion is not None
    record_outcome(
        lesion=lesion,
        by=cast.colleague,
        kind="histopathology",
        diagnosis="melanoma",
        found_on=timezone.localdate(),
        expected_number=0,
        reference="H-2026-17",
    )
    outcome = fhir_of(cast, cast.owner, analysis)["Observation"][-1]
    assert outcome["status"] == "final"
    assert outcome["identifier"] == [{"value": "H-2026-17"}]
    assert outcome["category"][0]["coding"][0]["code"] == "laboratory"
    assert outcome["valueCodeableConcept"]["coding"][0]["code"] == "C43.9"
    assert outcome["performer"] == [{"reference": f"urn:uuid:{cast.colleague.pk}"}]
    assert "derivedFrom" not in outcome
    letter = text_of(fetch(cast, cast.owner, "analysis_letter", analysis).content)
    assert "H-2026-17" in letter


def test_a_report_is_preliminary_then_final_then_amended(cast: Cast) -> None:
    analysis = judged(cast)
    read(analysis, cast.owner)
    found = fhir_of(cast, cast.owner, analysis)
    (report,) = found["DiagnosticReport"]
    assert report["status"] == "preliminary"
    assert "conclusionCode" not in report
    assert [each["status"] for each in found["Observation"]] == ["preliminary", "final"]

    review(analysis, cast.owner, Verdict.DEFER)
    assert fhir_of(cast, cast.owner, analysis)["DiagnosticReport"][0]["status"] == "preliminary"

    read(analysis, cast.colleague)
    review(analysis, cast.colleague, Verdict.OVERRULE, diagnosis="nevus", reason="Stable for years")
    # A deferral came first, which signs nothing: this is the first signature.
    found = fhir_of(cast, cast.owner, analysis)
    (report,) = found["DiagnosticReport"]
    assert report["status"] == "final"
    assert report["conclusionCode"][0]["text"] == "Nevus"
    assert report["resultsInterpreter"] == [{"reference": f"urn:uuid:{cast.colleague.pk}"}]

    review(analysis, cast.owner, Verdict.AGREE)
    (report,) = fhir_of(cast, cast.owner, analysis)["DiagnosticReport"]
    assert (report["status"], report["conclusionCode"][0]["text"]) == ("amended", "Melanoma")

    review(analysis, cast.owner, Verdict.DEFER)
    (report,) = fhir_of(cast, cast.owner, analysis)["DiagnosticReport"]
    assert report["status"] == "amended"
    assert "conclusionCode" not in report
    assert "deferred" in report["conclusion"]
    pdf = fetch(cast, cast.owner, "analysis_letter", analysis).content
    assert "Amended: signed by owner@north.example" in text_of(pdf)


@pytest.mark.parametrize("what", ["reading", "outcome", "withdrawal"])
def test_what_is_added_after_the_signature_amends_the_report(cast: Cast, what: str) -> None:
    analysis = judged(cast)

    def told() -> tuple[str, str]:
        (report,) = fhir_of(cast, cast.owner, analysis)["DiagnosticReport"]
        assert report["conclusionCode"][0]["text"] == "Melanoma"
        return report["status"], report["conclusion"]

    lesion = analysis.image.lesion
    assert lesion is not None

    def record() -> None:
        record_outcome(
            lesion=lesion,
            by=cast.owner,
            kind="histopathology",
            diagnosis="melanoma",
            found_on=timezone.localdate(),
            expected_number=0,
        )

    if what == "withdrawal":
        record()
    read(analysis, cast.owner)
    review(analysis, cast.owner, Verdict.AGREE)
    assert told()[0] == "final"
    if what == "reading":
        read(analysis, cast.colleague)
    elif what == "outcome":
        record()
    else:
        withdraw_outcome(lesion=lesion, by=cast.owner, expected_number=1, reason="Another mole")
    status, words = told()
    assert status == "amended"
    assert f"Amended: signed by {cast.owner}" in words
    assert "readings or the outcome changed since" in words
    # Whoever signs now has that before them.
    review(analysis, cast.administrator, Verdict.AGREE)
    status, words = told()
    assert status == "amended"
    assert f"Amended: signed anew by {cast.administrator}" in words


def test_the_bundle_says_who_what_with_which_network(cast: Cast) -> None:
    analysis = judged(cast, confidence=0.731)
    read(analysis, cast.owner)
    found = fhir_of(cast, cast.owner, analysis)
    (patient,) = found["Patient"]
    assert patient["name"] == [{"text": "Ada Example"}]
    assert patient["identifier"][0]["value"] == cast.patient.record_number
    (device,) = found["Device"]
    prediction = analysis.prediction
    assert prediction is not None
    assert device["id"] == str(prediction.model_version_id)
    assert device["version"][0]["value"] == prediction.model_version.version
    (media,) = found["Media"]
    with analysis.image.display.open("rb") as stored:
        assert base64.b64decode(media["content"]["data"]) == stored.read()
    answer, reading = found["Observation"]
    group, *labels = answer["component"]
    assert group["code"] == {"text": "Worst plausible group"}
    chances = {each["code"]["text"]: each["valueQuantity"]["value"] for each in labels}
    assert chances["Melanoma"] == 0.731
    assert len(chances) == 9
    assert sum(chances.values()) == pytest.approx(1, abs=1e-3)
    assert any("not a diagnosis" in note["text"] for note in answer["note"])
    assert reading["valueCodeableConcept"]["text"] == "Nevus"
    assert "before the network's answer" in reading["code"]["text"]
    assert answer["bodySite"] == {"text": "Back"}


def test_only_codes_that_nobody_doubts_are_sent(cast: Cast, settings: LazySettings) -> None:
    analysis = judged(cast)
    read(analysis, cast.owner)
    for snomed in (False, True):
        settings.EXCHANGE_SNOMED = snomed
        answer = fhir_of(cast, cast.owner, analysis)["Observation"][0]
        codes = {
            each["code"]["text"]: {
                (code["system"].rsplit("/", 1)[-1], code["code"])
                for code in each["code"].get("coding", [])
            }
            for each in answer["component"]
        }
        assert codes["Melanoma"] == {("icd-10", "C43.9"), ("icd-10-cm", "C43.9")}
        # WHO ICD-10 names the site of a carcinoma, not what it is.
        assert codes["Basal cell carcinoma"] == {("icd-10-cm", "C44.91")}
        for doubtful in ("Pigmented benign keratosis", "Vascular lesion", "Dermatofibroma"):
            assert codes[doubtful] == set()
        assert (("sct", "201101007") in codes["Actinic keratosis"]) is snomed
        assert not any(system == "sct" for system, _code in codes["Melanoma"] | codes["Nevus"])


@pytest.mark.parametrize("decision", [Decision.CANNOT_SAY, Decision.REJECTED])
def test_what_is_no_answer_is_not_sent_as_one(cast: Cast, decision: Decision) -> None:
    analysis = judged(cast, decision=decision)
    read(analysis, cast.owner)
    answer = fhir_of(cast, cast.owner, analysis)["Observation"][0]
    assert "valueCodeableConcept" not in answer
    assert "too blurred" in answer["dataAbsentReason"]["text"]
    assert ("component" in answer) is (decision == Decision.CANNOT_SAY)
    text = text_of(fetch(cast, cast.owner, "analysis_letter", analysis).content)
    assert "too blurred" in text
    said = (
        text.partition("The network's answer")[2].partition("What the answer cannot do")[0].lower()
    )
    ranked = decision == Decision.CANNOT_SAY
    assert ("worst plausible group skin cancer" in said) is ranked
    words = {label.name.lower() for label in label_set("isic9").labels} | set(TRIAGE_ORDER)
    assert any(word in said for word in words) is ranked


def test_the_letter_is_tagged_and_says_it_all(cast: Cast) -> None:
    Patient.objects.filter(pk=cast.patient.pk).update(name="Zoë Łukasz #let x = Ωmega")
    analysis = judged(cast, confidence=0.731)
    read(analysis, cast.owner)
    review(analysis, cast.owner, Verdict.AGREE)
    response = fetch(cast, cast.owner, "analysis_letter", analysis)
    assert response["Content-Type"] == "application/pdf"
    assert response["Content-Disposition"] == f'attachment; filename="{analysis.pk}.pdf"'
    pdf = pypdf.PdfReader(io.BytesIO(response.content))
    root: Any = pdf.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert str(root["/Lang"]).startswith("en")
    assert b"pdfuaid:part" in root["/Metadata"].get_data()
    box = pdf.pages[0].mediabox
    assert (round(box.width), round(box.height)) == (595, 842)
    fonts: Any = pdf.pages[0]["/Resources"]["/Font"]  # type: ignore[index]
    for font in fonts.values():
        descriptor = font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"]
        assert {"/FontFile2", "/FontFile3"} & set(descriptor.get_object())
    text = text_of(response.content)
    version = analysis.model_version
    for words in (
        "Northern Skin Clinic",
        "Zoë Łukasz #let x = Ωmega",
        cast.patient.record_number,
        "Final: signed by owner@north.example",
        "73 %",
        "before the answer",
        f"isic9 {version.version if version else ''}",
        "The output is not a diagnosis",
        "Page 1 of",
    ):
        assert words in text, words
    # What the network is not for stands under words that say so.
    assert "Deciding alone" in text.partition("Not for")[2]
    bundle = fhir_of(cast, cast.owner, analysis)
    notes = [note["text"] for each in bundle["Observation"] for note in each.get("note", ())]
    assert [note for note in notes if "Deciding alone" in note] == [
        "Not for: Deciding alone, or deciding not to take a biopsy."
    ]
    assert text.count("Melanoma") >= 3


def test_a_name_that_the_font_lacks_is_owned_up_to(cast: Cast) -> None:
    Patient.objects.filter(pk=cast.patient.pk).update(name="李伟")
    analysis = judged(cast)
    read(analysis, cast.owner)
    text = text_of(fetch(cast, cast.owner, "analysis_letter", analysis).content)
    assert "Some characters cannot be printed here" in text


@pytest.mark.parametrize("name", ["analysis_letter", "analysis_fhir"])
def test_nothing_leaves_before_the_own_reading(cast: Cast, name: str) -> None:
    analysis = judged(cast)
    response = fetch(cast, cast.owner, name, analysis)
    assert response.status_code == 302
    (told,) = [str(message) for message in get_messages(response.wsgi_request)]
    assert told == "Save your own reading first: the answer is part of this file."
    assert not AuditEvent.objects.filter(action__endswith=".exported").exists()
    page = fetch(cast, cast.owner, "analysis_detail", analysis)
    assert reverse(name, args=[analysis.pk]) not in page.content.decode()

    read(analysis, cast.owner)
    assert fetch(cast, cast.owner, name, analysis).status_code == 200
    event = AuditEvent.objects.get(action__endswith=".exported")
    assert (event.actor, event.patient_key) == (cast.owner, cast.patient.pk)
    assert AuditEvent.objects.filter(action="answer.viewed", actor=cast.owner).exists()
    page = fetch(cast, cast.owner, "analysis_detail", analysis)
    assert reverse(name, args=[analysis.pk]) in page.content.decode()
    # The colleague's own reading is still to come.
    assert fetch(cast, cast.colleague, name, analysis).status_code == 302
    assert fetch(cast, cast.stranger, name, analysis).status_code == 404


@pytest.mark.parametrize("name", ["analysis_letter", "analysis_fhir", "analysis_dicom_report"])
def test_what_was_judged_as_the_other_modality_does_not_leave(cast: Cast, name: str) -> None:
    analysis = judged(cast)
    read(analysis, cast.owner)
    review(analysis, cast.owner, Verdict.AGREE)
    image = analysis.image
    photograph = {"seen": image.modality, "modality": "clinical", "reason": "No contact"}
    current = correct_modality(image=image, by=cast.owner, **photograph)

    response = fetch(cast, cast.owner, name, analysis)
    assert response.status_code == 302
    (told,) = [str(message) for message in get_messages(response.wsgi_request)]
    assert "Use the analysis for the right one." in told
    page = cast.client_of(cast.owner).get(response["Location"]).content.decode()
    assert current.get_absolute_url() in page
    assert reverse(name, args=[analysis.pk]) not in page
    assert "Letter and reports are taken from the analysis for the right modality." in page
    # Whoever has yet to read it is not sent to read the wrong one.
    response = fetch(cast, cast.colleague, name, analysis)
    (told,) = [str(message) for message in get_messages(response.wsgi_request)]
    assert "Use the analysis for the right one." in told
    assert not AuditEvent.objects.filter(action__endswith=".exported").exists()

    back = {"seen": "clinical", "modality": "dermoscopy", "reason": "It was one after all"}
    assert correct_modality(image=image, by=cast.owner, **back) == analysis
    assert fetch(cast, cast.owner, name, analysis).status_code == 200


def test_what_cannot_be_exported_is_told_on_the_page(cast: Cast) -> None:
    Clinic.objects.filter(pk=cast.clinic.pk).update(blinded_first=False)
    waiting = factories.make_analysis(
        factories.make_image(cast.patient, cast.owner, modality=Modality.CLINICAL), cast.owner
    )
    response = fetch(cast, cast.owner, "analysis_letter", waiting)
    (told,) = [str(message) for message in get_messages(response.wsgi_request)]
    assert told == "There is no answer to export yet."

    gone = judged(cast)
    gone.image.display.storage.delete(gone.image.display.name or "")
    response = fetch(cast, cast.owner, "analysis_fhir", gone)
    (told,) = [str(message) for message in get_messages(response.wsgi_request)]
    assert "cannot be read now" in told
    assert not AuditEvent.objects.filter(action="fhir.exported").exists()
