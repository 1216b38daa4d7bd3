"""What groups, reasons and durations are called on the figures page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from classifier.choices import BodySite, Modality, Sex
from classifier.selectors.figures.counts import AGE_BANDS, SKIN_GROUPS
from classifier.selectors.results import diagnosis_name
from mlcore.labels import label_set

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MINUTE, HOUR, DAY = 60, 3600, 86_400
SKIN_ORDER = (*dict.fromkeys(SKIN_GROUPS.values()), "unknown")


def group_order(group: tuple[str, Any]) -> tuple[int, int]:
    """Return where a group (question, key) stands among those of a page."""
    question, key = group
    known: dict[str, list[Any]] = {
        "skin_type": list(SKIN_ORDER),
        "sex": Sex.values,
        "age_band": [*range(1, len(AGE_BANDS) + 1), None],
        "site": BodySite.values,
    }
    return list(known).index(question), known[question].index(key)


def question_name(question: str) -> str:
    """Return the title of a way to part the images."""
    return {
        "skin_type": _("Skin type (Fitzpatrick)"),
        "sex": _("Sex"),
        "age_band": _("Age in years"),
        "site": _("Body site"),
        "version": _("Model version"),
        "label_set": _("Modality"),
        "clinic": _("Clinic"),
    }[question]


def group_name(question: str, key: Any) -> str:
    """Return what one group of a question is called."""
    named: dict[str, Callable[[], str]] = {
        "skin_type": lambda: _skin(key),
        "sex": lambda: str(Sex(key).label),
        "age_band": lambda: _age(key),
        "site": lambda: str(BodySite(key).label),
        "version": lambda: " ".join(key),
        "label_set": lambda: str(Modality(label_set(key).modality).label),
        "clinic": lambda: str(key),
    }
    return named[question]()


def _skin(group: str) -> str:
    return {"I-II": _("I and II"), "III-IV": _("III and IV"), "V-VI": _("V and VI")}.get(
        group, _("Unknown")
    )


def _age(band: int | None) -> str:
    if not band:
        return _("Unknown")
    first = AGE_BANDS[band - 1]
    if band == len(AGE_BANDS):
        return _("%(first)d and older") % {"first": first}
    return _("%(first)d to %(last)d") % {"first": first, "last": AGE_BANDS[band] - 1}


def reason_name(code: str) -> str:
    """Return why the network gave no answer, in few words."""
    return {
        "blank": _("One flat colour"),
        "too_dark": _("Too dark"),
        "too_bright": _("Too bright"),
        "blurred": _("Out of focus"),
        "no_lesion": _("No lesion in the picture"),
        "not_skin": _("Not skin"),
        "outside_labels": _("Unlike what the network knows"),
        "unsure": _("Not sure enough"),
    }.get(code, code)


def label_name(key: str, labels: str) -> str:
    """Return a diagnosis; what a clinician wrote in own words is not told here."""
    return diagnosis_name(key, _("Something else"), labels)


def duration(seconds: float) -> str:
    """Return a time for people: "4 s", "12 min", "5.5 h", "3 days"."""
    if seconds < 2 * MINUTE:
        return _("%(n)s s") % {"n": f"{seconds:.0f}"}
    if seconds < 2 * HOUR:
        return _("%(n)s min") % {"n": f"{seconds / MINUTE:.0f}"}
    if seconds < 2 * DAY:
        return _("%(n)s h") % {"n": f"{seconds / HOUR:.1f}"}
    days = round(seconds / DAY)
    return ngettext("%(n)d day", "%(n)d days", days) % {"n": days}


def unit_for(longest: float) -> tuple[float, str]:
    """Return the unit in which times up to the longest are drawn: its seconds, and its sign."""
    if longest < 2 * MINUTE:
        return 1, _("s")
    if longest < 2 * HOUR:
        return MINUTE, _("min")
    if longest < 2 * DAY:
        return HOUR, _("h")
    return DAY, _("d")
