"""What a release's manifest must say, and within which bounds.

A hash proves that a manifest is the one that was written, not that it can be used: one of a newer
program, or of somebody else's, is refused here and not at the first picture.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from mlcore.labels import LABEL_SETS, label_set
from mlcore.quality import QualityLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FORMAT_VERSION = 1
# Pixels; the largest network that anybody serves reads 600.
_SIDES = range(16, 1025)
_REQUIRED = (
    "format",
    "label_set",
    "version",
    "labels",
    "input_side",
    "temperature",
    "answer_threshold",
    "triage_threshold",
    "quality",
    "files",
)
_BOUNDS = {field.name: field for field in dataclasses.fields(QualityLimits)}


def fault_in(manifest: Any) -> str:
    """Return what is wrong with a manifest, as the end of a sentence about it, or "".

    Args:
        manifest: as read from JSON.
    """
    facts = manifest if isinstance(manifest, dict) else {}
    missing = [key for key in _REQUIRED if key not in facts]
    if missing:
        return f"lacks {', '.join(missing)}; make the release again"
    files = facts["files"]
    if not isinstance(files, dict) or not all(isinstance(f, dict) for f in files.values()):
        return "does not name its files as it should; make the release again"
    if facts["format"] != FORMAT_VERSION:
        return f"has format {facts['format']}; this program reads {FORMAT_VERSION}"
    if facts["label_set"] not in list(LABEL_SETS):
        return f"is for {facts['label_set']!r}; there are {', '.join(LABEL_SETS)}"
    expected = list(label_set(facts["label_set"]).keys)
    if facts["labels"] != expected:
        return f"lists other labels than {facts['label_set']} has: {expected}"
    return _fault_in_values(facts, len(expected))


def _fault_in_values(facts: Mapping[str, Any], labels: int) -> str:
    wanted: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "version": ("text", lambda value: isinstance(value, str)),
        "input_side": (
            f"a whole number from {_SIDES.start} to {_SIDES.stop - 1}",
            lambda value: isinstance(value, int) and value in _SIDES,
        ),
        "temperature": ("a number above 0", lambda value: _is_number(value) and value > 0),
        "answer_threshold": ("a number from 0 to 1", _is_share),
        "triage_threshold": ("a number from 0 to 1", _is_share),
        "quality": (f"numbers for {', '.join(_needed())} and no unknown name", _is_quality),
        "gate": ("a list of checks with name, detector and threshold", _is_gate),
        "offsets": (
            "one number a label",
            lambda value: _is_list(value) and len(value) == labels and all(map(_is_number, value)),
        ),
        "melanoma_raised": ("a number", _is_number),
        "recipe": ("a recipe's facts", lambda value: isinstance(value, dict)),
    }
    for name, (words, holds) in wanted.items():
        if name in facts and not holds(facts[name]):
            return (
                f"says {str(facts[name])[:80]!r} of {name}, where {words} should stand; {_REMEDY}"
            )
    return ""


_REMEDY = "make the release again, or use the program that made it"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _needed() -> list[str]:
    return [name for name, field in _BOUNDS.items() if field.default is dataclasses.MISSING]


def _is_quality(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(_needed()) <= set(value) <= set(_BOUNDS)
        and all(map(_is_number, value.values()))
    )


def _is_gate(value: Any) -> bool:
    checks = value.get("checks") if isinstance(value, dict) else None
    return _is_list(checks) and all(
        isinstance(check, dict)
        and isinstance(check.get("name"), str)
        and isinstance(check.get("detector"), str)
        and _is_number(check.get("threshold"))
        for check in checks or []
    )
