"""A report as FHIR R4: one Bundle that holds all it refers to.

Only elements that R4 (4.0.1) and R4B (4.3.0) define alike are written, so that a receiver of either
reads it; R4B changed other resources (medication, evidence, subscriptions). In R5 ``Media`` is gone
and ``Device`` looks otherwise: R5 is not what this is.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from classifier.choices import Decision, OutcomeKind, Verdict
from classifier.exchange.codes import codes_of
from classifier.wording import within

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator

    from classifier.exchange.facts import (
        AnswerFacts,
        OutcomeFacts,
        Party,
        ReadingFacts,
        Report,
        ReviewFacts,
    )

CONTENT_TYPE = "application/fhir+json; fhirVersion=4.0"
_TERMS = "http://terminology.hl7.org/CodeSystem/"
_UNITY = {"unit": "1", "system": "http://unitsofmeasure.org", "code": "1"}
# Probabilities beyond the fourth digit say nothing.
_DIGITS = 4


def fhir_json(report: Report) -> bytes:
    """Return the Bundle as UTF-8 JSON."""
    return json.dumps(bundle(report), ensure_ascii=False, indent=1).encode()


def bundle(report: Report) -> dict[str, Any]:
    """Return the report as a Bundle of the type "collection"."""
    resources = [_diagnostic_report(report), *_observations(report), _media(report)]
    resources += [_device(report), _patient(report), _organization(report.clinic)]
    resources += [_practitioner(each) for each in _people(report).values()]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": report.made_at.isoformat(timespec="seconds"),
        "entry": [{"fullUrl": f"urn:uuid:{each['id']}", "resource": each} for each in resources],
    }


def _diagnostic_report(report: Report) -> dict[str, Any]:
    picture = report.picture
    found: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "id": str(report.key),
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{report.key}"}],
        "status": report.status.value,
        "category": [_coded("v2-0074", "IMG", "Diagnostic Imaging")],
        "code": {"text": _("Reading of a skin image (%s)") % within(picture.modality_words)},
        "subject": _to(report.patient.key),
        "effectiveDateTime": _moment(picture.taken_at or picture.uploaded_at),
        "issued": _moment(report.changed_at),
        "performer": [_to(report.clinic.key)],
        "result": [_to(each["id"]) for each in _observations(report)],
        "media": [{"comment": picture.lesion or picture.modality_words, "link": _to(picture.key)}],
    }
    if report.signature is not None:
        found["resultsInterpreter"] = [_to(report.signature.reviewer.key)]
    held = report.conclusion
    if held is None:
        found["conclusion"] = report.status_words()
        return found
    found["conclusion"] = f"{held.diagnosis_words}. {report.status_words()}"
    found["conclusionCode"] = [_diagnosis(held.diagnosis, held.diagnosis_words)]
    return found


def _observations(report: Report) -> Iterator[dict[str, Any]]:
    yield _answer(report)
    for reading in report.readings:
        yield _reading(report, reading)
    for review in report.reviews:
        yield _review(report, review)
    if report.outcome is not None:
        yield _outcome(report, report.outcome)


def _answer(report: Report) -> dict[str, Any]:
    answer = report.answer
    not_for = [f"{_('Not for')}: {line}" for line in answer.not_for]
    held = report.conclusion
    against = ""
    if held and held.verdict == Verdict.OVERRULE:
        facts = {"who": held.reviewer.name, "what": held.diagnosis_words}
        against = _("Overruled by %(who)s: %(what)s.") % facts
    found = _observation(
        report, answer.key, _("Answer of a network: calibrated probability of each label")
    )
    found |= {
        # A receiver may show value and code alone, and "final" would vouch for them.
        "status": "final" if held and held.verdict == Verdict.AGREE else "preliminary",
        "issued": _moment(answer.answered_at),
        "device": _to(answer.model),
        "note": [
            {"text": text} for text in (against, answer.words, *answer.limits, *not_for) if text
        ],
    }
    if answer.decision == Decision.ANSWER:
        first = answer.ranked[0]
        found["valueCodeableConcept"] = _diagnosis(first.label, first.name)
    else:
        absent = _coded("data-absent-reason", "unknown", "Unknown")
        if answer.decision == Decision.REJECTED:
            absent = _coded("data-absent-reason", "not-performed", "Not Performed")
        words = ". ".join(part for part in (answer.decision_words, answer.reason) if part)
        found["dataAbsentReason"] = absent | {"text": words}
    if answer.ranked:
        found["component"] = _components(answer)
    return found


def _components(answer: AnswerFacts) -> list[dict[str, Any]]:
    """Return the worst plausible group, then each label with its probability.

    The group leads: the first label may be a nevus where a melanoma is plausible.
    """
    group: dict[str, Any] = {"code": {"text": _("Worst plausible group")}}
    if answer.triage_group:
        group["valueCodeableConcept"] = {"text": answer.group_words}
    else:
        absent = _coded("data-absent-reason", "unknown", "Unknown")
        group["dataAbsentReason"] = absent | {"text": answer.group_words}
    labels = [
        {
            "code": _diagnosis(each.label, each.name),
            "valueQuantity": {"value": round(each.probability, _DIGITS)} | _UNITY,
        }
        for each in answer.ranked
    ]
    return [group, *labels]


def _reading(report: Report, reading: ReadingFacts) -> dict[str, Any]:
    when = (
        _("Clinician's own reading, before the network's answer was shown")
        if reading.blinded
        else _("Clinician's own reading, knowing the network's answer")
    )
    return _observation(report, reading.key, when) | {
        "issued": _moment(reading.at),
        "performer": [_to(reading.reader.key)],
        "valueCodeableConcept": _diagnosis(reading.diagnosis, reading.diagnosis_words),
    }


def _review(report: Report, review: ReviewFacts) -> dict[str, Any]:
    found = _observation(report, review.key, _("Clinician's verdict on the network's answer")) | {
        "issued": _moment(review.at),
        "performer": [_to(review.reviewer.key)],
        "valueCodeableConcept": {"text": report.verdict_words(review)},
        "focus": [_to(review.of_answer)],
    }
    if review.of_answer != report.answer.key:
        # An earlier answer, which is not part of this report.
        del found["focus"]
    if review.reason:
        found["note"] = [{"text": review.reason}]
    if review.diagnosis:
        found["component"] = [
            {
                "code": {"text": _("Final diagnosis")},
                "valueCodeableConcept": _diagnosis(review.diagnosis, review.diagnosis_words),
            }
        ]
    return found


def _outcome(report: Report, outcome: OutcomeFacts) -> dict[str, Any]:
    """Return what the lesion turned out to be; it was not read from the picture."""
    laboratory = outcome.kind == OutcomeKind.HISTOPATHOLOGY
    category = ("laboratory", "Laboratory") if laboratory else ("exam", "Exam")
    found = _observation(report, outcome.key, outcome.kind_words) | {
        "status": "corrected" if outcome.corrected else "final",
        "category": [_coded("observation-category", *category)],
        "effectiveDateTime": outcome.found_on.isoformat(),
        "issued": _moment(outcome.at),
        "performer": [_to(outcome.recorder.key)],
        "valueCodeableConcept": _diagnosis(outcome.diagnosis, outcome.diagnosis_words),
        "note": [{"text": outcome.behaviour_words}],
    }
    del found["derivedFrom"]
    if outcome.reference:
        found["identifier"] = [{"value": outcome.reference}]
    return found


def _observation(report: Report, key: uuid.UUID, words: str) -> dict[str, Any]:
    picture = report.picture
    found: dict[str, Any] = {
        "resourceType": "Observation",
        "id": str(key),
        "status": "final",
        "category": [_coded("observation-category", "imaging", "Imaging")],
        "code": {"text": words},
        "subject": _to(report.patient.key),
        "effectiveDateTime": _moment(picture.taken_at or picture.uploaded_at),
        "derivedFrom": [_to(picture.key)],
    }
    if picture.site_words:
        found["bodySite"] = {"text": picture.site_words}
    return found


def _media(report: Report) -> dict[str, Any]:
    picture = report.picture
    found: dict[str, Any] = {
        "resourceType": "Media",
        "id": str(picture.key),
        "status": "completed",
        "type": _coded("media-type", "image", "Image"),
        "modality": {"text": picture.modality_words},
        "subject": _to(report.patient.key),
        "width": picture.width,
        "height": picture.height,
        "content": {
            "contentType": "image/jpeg",
            "data": base64.b64encode(picture.jpeg).decode(),
            "size": len(picture.jpeg),
            # The element is defined as SHA-1, to recognise a copy, not to prove anything.
            "hash": base64.b64encode(
                hashlib.sha1(picture.jpeg, usedforsecurity=False).digest()
            ).decode(),
        },
    }
    if picture.taken_at:
        found["createdDateTime"] = _moment(picture.taken_at)
    if picture.site_words:
        found["bodySite"] = {"text": picture.site_words}
    if picture.lesion:
        found["note"] = [{"text": picture.lesion}]
    return found


def _device(report: Report) -> dict[str, Any]:
    answer = report.answer
    return {
        "resourceType": "Device",
        "id": str(answer.model),
        "identifier": [{"type": {"text": "SHA-256"}, "value": answer.sha256}],
        "status": "active",
        "deviceName": [{"name": answer.label_set, "type": "model-name"}],
        "type": {"text": _("Network that classifies skin images")},
        "version": [
            {"type": {"text": _("Release")}, "value": answer.version},
            {"type": {"text": _("Engine")}, "value": answer.engine},
        ],
    }


def _patient(report: Report) -> dict[str, Any]:
    patient = report.patient
    found: dict[str, Any] = {
        "resourceType": "Patient",
        "id": str(patient.key),
        "identifier": [
            {
                "type": _coded("v2-0203", "MR", "Medical record number"),
                "value": patient.number,
                "assigner": {"display": report.clinic.name},
            }
        ],
        "name": [{"text": patient.name}],
        "gender": patient.sex,
    }
    if patient.born:
        found["birthDate"] = patient.born.isoformat()
    return found


def _organization(clinic: Party) -> dict[str, Any]:
    return {"resourceType": "Organization", "id": str(clinic.key), "name": clinic.name}


def _practitioner(person: Party) -> dict[str, Any]:
    return {"resourceType": "Practitioner", "id": str(person.key), "name": [{"text": person.name}]}


def _people(report: Report) -> dict[uuid.UUID, Party]:
    people = [each.reader for each in report.readings]
    people += [each.reviewer for each in report.reviews]
    people += [report.outcome.recorder] if report.outcome else []
    return {person.key: person for person in people}


def _diagnosis(label: str, words: str) -> dict[str, Any]:
    """Return a diagnosis in words, with codes where nobody doubts them."""
    codes = [
        {"system": code.system, "code": code.code, "display": code.display}
        for code in codes_of(label)
    ]
    return {"coding": codes, "text": words} if codes else {"text": words}


def _coded(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": _TERMS + system, "code": code, "display": display}]}


def _to(key: Any) -> dict[str, str]:
    return {"reference": f"urn:uuid:{key}"}


def _moment(moment: Any) -> str:
    return str(moment.isoformat(timespec="seconds"))
