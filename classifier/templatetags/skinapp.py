"""Small helpers for templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import template
from django.utils.translation import gettext as _

from classifier.selectors.results import diagnosis_name, percent_of

if TYPE_CHECKING:
    from classifier.models import Reading, Review

register = template.Library()


@register.filter
def measure(name: str) -> str:
    """Return what a measure of ``mlcore.evaluate`` is called in a table, or its key in words."""
    known = {
        "macro_precision": _("Precision, mean of the labels"),
        "same_icd_group_accuracy": _("Right ICD-10 code"),
        "malignant_auc": _("AUC, malignant against the rest"),
        "calibration_error": _("Calibration error"),
        "brier_score": _("Brier score"),
        "coverage": _("Images that get an answer"),
        "accuracy_of_answers": _("Accuracy of the answers given"),
        "malignant_sensitivity": _("Sensitivity for malignant"),
        "malignant_specificity": _("Specificity for malignant"),
    }
    return known.get(name) or name.replace("_", " ").capitalize()


@register.filter
def diagnosis(fact: Reading | Review, label_set: str) -> str:
    """Return the diagnosis of a reading or a review as shown."""
    return diagnosis_name(fact.diagnosis, fact.diagnosis_text, label_set)


@register.filter
def percent(probability: float) -> str:
    """Return a probability for people: "<1 %", "37 %", ">99 %"."""
    return percent_of(probability)


@register.filter
def milliseconds(value: float | None) -> str:
    """Return a span of time for people."""
    if value is None:
        return "–"
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"  # noqa: PLR2004 - one second
