"""Codes of the labels for other systems, only where nobody doubts them.

The table was checked against the WHO and the CM lists by program (ICD-10), and SNOMED CT codes
against the dictionary that DICOM publishes. What is left out, and why: labels that are umbrellas or
signs (pigmented benign keratosis, vascular lesion, peeling skin), codes that name a site but not
the cell type (WHO C44.9 for the two carcinomas), codes that coders argue about (dermatofibroma),
ring worm, whose code depends on the site, every ICD-11 code (none could be verified), and every
SNOMED CT code that public lists disagree about. Those labels travel as words.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

ICD10 = "http://hl7.org/fhir/sid/icd-10"
ICD10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
SNOMED = "http://snomed.info/sct"


@dataclass(frozen=True)
class Code:
    """A code of a public list, with what the list says of it."""

    system: str
    code: str
    display: str


def _both(code: str, title: str, cm_title: str = "") -> tuple[Code, ...]:
    return Code(ICD10, code, title), Code(ICD10_CM, code, cm_title or title)


_CODES: dict[str, tuple[Code, ...]] = {
    "acne": _both("L70.9", "Acne, unspecified"),
    "actinic_keratosis": (
        *_both("L57.0", "Actinic keratosis"),
        Code(SNOMED, "201101007", "Actinic keratosis"),
    ),
    "basal_cell_carcinoma": (
        Code(ICD10_CM, "C44.91", "Basal cell carcinoma of skin, unspecified"),
    ),
    "melanoma": _both("C43.9", "Malignant melanoma of skin, unspecified"),
    "nevus": _both(
        "D22.9", "Melanocytic naevi, unspecified", cm_title="Melanocytic nevi, unspecified"
    ),
    "seborrheic_keratosis": (
        Code(ICD10, "L82", "Seborrhoeic keratosis"),
        Code(ICD10_CM, "L82.1", "Other seborrheic keratosis"),
    ),
    "squamous_cell_carcinoma": (
        Code(ICD10_CM, "C44.92", "Squamous cell carcinoma of skin, unspecified"),
        Code(SNOMED, "254651007", "Squamous cell carcinoma of skin"),
    ),
    "vitiligo": _both("L80", "Vitiligo"),
}


def codes_of(label: str) -> tuple[Code, ...]:
    """Return the codes of a label; none where there is doubt, or the clinic's own words.

    SNOMED CT needs a licence in many countries and is left out unless ``EXCHANGE_SNOMED`` is set.
    """
    return tuple(
        code for code in _CODES.get(label, ()) if code.system != SNOMED or settings.EXCHANGE_SNOMED
    )
