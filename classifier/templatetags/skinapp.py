"""Small helpers for templates."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django import template
from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import get_language

from classifier.body_map import REGIONS
from classifier.choices import BodySite
from classifier.links import sign
from classifier.selectors.outcomes import outcome_name, outcome_of
from classifier.selectors.results import diagnosis_name, percent_of
from classifier.wording import term, told, within

if TYPE_CHECKING:
    from datetime import datetime

    from django.template import RequestContext
    from django.utils.safestring import SafeString

    from classifier.body_map import Region
    from classifier.models import Outcome, Reading, Review

register = template.Library()
register.filter("term", term)
register.filter("told", told)
register.filter("within", within)

_NO_BREAK = "\N{NO-BREAK SPACE}"
_INTERVAL = re.compile(r"\([\d.]+ to [\d.]+(?: %)?\)")

# Icons and badges have few faces; whatever else is asked for pushes the oldest out.
_MOST_COMPONENTS = 1_000


@register.simple_tag
def component(which: str, /, **facts: Any) -> SafeString:
    """Return ``components/<which>.html`` with the facts and nothing else.

    It is rendered once for each language and facts, and shown from memory after that: a list has
    a hundred icons and badges. So it is for what has few faces, and for nothing about a patient.

    Args:
        which: of the templates.
        facts: what the template is told; words of a vocabulary, not free text.
    """
    show = render_component.__wrapped__ if settings.DEBUG else render_component
    return show(which, get_language(), **facts)


# Typed: a text that is safe to show and one that is not are equal.
@lru_cache(maxsize=_MOST_COMPONENTS, typed=True)
def render_component(which: str, _language: str | None, /, **facts: Any) -> SafeString:
    """Render a component; see :func:`component`."""
    return render_to_string(f"components/{which}.html", facts)


@register.simple_tag(takes_context=True)
def picture(context: RequestContext, name: str, *args: Any) -> str:
    """Return the address of a picture, signed for whoever looks at the page, for some minutes."""
    return sign(reverse(name, args=args), context.request.user)


@register.filter(expects_localtime=True)
def moment(value: datetime | str | None) -> str:
    """Return a moment to the minute, in local time and for programs too; nothing where none is."""
    if value is None or isinstance(value, str):
        return ""
    exact = value.isoformat()
    day, minute = exact[:10], exact[11:16]
    return format_html('<time datetime="{}">{} {}</time>', exact, day, minute)


@register.filter
def region(site: str) -> Region | None:
    """Return where a site of the body lies on the drawing; None where it is not drawn."""
    return REGIONS.get(BodySite(site))


@register.filter
def diagnosis(fact: Reading | Review, label_set: str) -> str:
    """Return the diagnosis of a reading or a review as shown."""
    return diagnosis_name(fact.diagnosis, fact.diagnosis_text, label_set)


@register.filter
def outcome(found: Outcome) -> str:
    """Return what a lesion turned out to be, as shown."""
    return outcome_name(found)


@register.filter
def known_outcome(facts: dict[str, Any] | None) -> Outcome | None:
    """Return the outcome that was read along with a lesion."""
    return outcome_of(facts)


@register.filter
def together(words: str) -> str:
    """Return words in which no line breaks before a % or inside an interval in brackets."""
    whole = _INTERVAL.sub(lambda found: found[0].replace(" ", _NO_BREAK), words)
    return whole.replace(" %", f"{_NO_BREAK}%")


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
