"""Small helpers for templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import template

from classifier.selectors.results import diagnosis_name, percent_of

if TYPE_CHECKING:
    from classifier.models import Reading, Review

register = template.Library()


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
