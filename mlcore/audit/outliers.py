"""Findings about pictures that are unlike the rest of their set, and marks that tell the class."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from mlcore.audit.findings import MARKS, Finding
from mlcore.imaging import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mlcore.audit.measure import Facts, Measured

# A robust z-score: distance from the median in units of 1.4826 times the median absolute
# deviation, which is the standard deviation of a normal distribution. The floors keep a very even
# set from calling every picture an outlier; they are differences one sees at a glance, in units
# of L*a*b* (a just noticeable difference is about 2).
Z_LIMIT = 5.0
_NORMAL = 1.4826
_COLOURS = (
    ("lightness", 4.0, "dark", "light"),
    ("redness", 2.5, "green", "red"),
    ("yellowness", 2.5, "blue", "yellow"),
    ("contrast", 2.5, "without contrast", "rich in contrast"),
)
_SHAPE_FLOOR = 0.14
_DRAWING = 0.5
_BORDER = 0.02
# Fewer pictures have no "rest" to be unlike of.
FEWEST = 20
# Marks that more than every twentieth picture has are usual in the set.
USUAL = 0.05
# Cramér's V from which on a mark counts as telling the class: 0.3 is a medium association
# (Cohen 1988, w for one degree of freedom).
ASSOCIATED = 0.3
_LEAST_MARKED = 10
_MARK_WORDS = {
    "grey": "no colour",
    "border": "black or white bars",
    "dark_corners": "black corners",
}


def find_outliers(measured: Sequence[Measured]) -> Iterator[Finding]:
    """Yield the pictures that are odd in size, shape or colour, blank, drawn or marked.

    Args:
        measured: all files; those that cannot be read are passed over.
    """
    seen = [(e.item.name, e.facts) for e in measured if e.facts is not None]
    for name, facts in seen:
        if facts.flat:
            yield Finding("blank", (name,), f"{name} shows one flat colour.")
        elif facts.plain >= _DRAWING:
            says = f"{facts.plain:.0%} of {name} has exactly one colour."
            yield Finding("drawing", (name,), says)
    yield from _odd_sizes(seen)
    yield from _odd_colours([(n, f) for n, f in seen if not (f.flat or f.grey)])
    for mark in MARKS:
        marked = [(name, facts) for name, facts in seen if _has(facts, mark) and not facts.flat]
        if len(marked) <= max(1.0, USUAL * len(seen)):
            for name, facts in marked:
                share = f" ({facts.border:.0%} of the picture)" if mark == "border" else ""
                yield Finding(mark, (name,), f"{name} has {_MARK_WORDS[mark]}{share}.")


def _has(facts: Facts, mark: str) -> bool:
    return facts.border >= _BORDER if mark == "border" else bool(getattr(facts, mark))


def _odd_sizes(seen: Sequence[tuple[str, Facts]]) -> Iterator[Finding]:
    least = DEFAULT_LIMITS.min_side
    shapes = np.array([np.log(facts.width / facts.height) for _, facts in seen])
    z = robust_z(shapes, _SHAPE_FLOOR)
    for (name, facts), score in zip(seen, z, strict=True):
        size = f"{name} is {facts.width} by {facts.height} pixels"
        if min(facts.width, facts.height) < least:
            yield Finding("odd_size", (name,), f"{size}; the application refuses under {least}.")
        elif abs(score) > Z_LIMIT:
            says = f"{size}: its shape is {abs(score):.0f} robust deviations from the usual one."
            yield Finding("odd_size", (name,), says)


def _odd_colours(seen: Sequence[tuple[str, Facts]]) -> Iterator[Finding]:
    scores = [
        robust_z(np.array([getattr(facts, what) for _, facts in seen]), floor)
        for what, floor, _, _ in _COLOURS
    ]
    for number, (name, facts) in enumerate(seen):
        worst = max(range(len(_COLOURS)), key=lambda k: abs(scores[k][number]))
        score = float(scores[worst][number])
        if abs(score) > Z_LIMIT:
            what, _, low, high = _COLOURS[worst]
            value = getattr(facts, what)
            says = (
                f"{name} is unusually {high if score > 0 else low}: {what} {value:.0f}, "
                f"{abs(score):.1f} robust deviations from the median."
            )
            yield Finding("odd_colour", (name,), says)


def robust_z(values: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    """Return how many robust standard deviations each value is from the median.

    Args:
        values: array of shape (n,).
        floor: the least standard deviation, in the unit of the values.

    Returns:
        Array of shape (n,); zeros when there are too few values to tell.
    """
    if len(values) < FEWEST:
        return np.zeros(len(values))
    median = np.median(values)
    spread = max(float(_NORMAL * np.median(np.abs(values - median))), floor)
    z: NDArray[np.float64] = (values - median) / spread
    return z


def find_shortcuts(measured: Sequence[Measured]) -> Iterator[Finding]:
    """Yield marks of camera and file that tell the class without a look at the skin.

    The strength is Cramér's V with the bias correction of Bergsma (2013), from 0 to 1.
    """
    seen = [(e.item.label, e.facts) for e in measured if e.facts is not None and e.item.label]
    labels = [label for label, _ in seen]
    marks: dict[str, list[str]] = {
        "size": [f"{facts.width} by {facts.height} pixels" for _, facts in seen],
        "format": [f"format {facts.form}" for _, facts in seen],
    }
    marks |= {m: [_MARK_WORDS[m] if _has(f, m) else "" for _, f in seen] for m in MARKS}
    for mark, values in marks.items():
        common = {value for value, number in Counter(values).items() if number >= _LEAST_MARKED}
        # What hardly any picture has is one value, or hundreds of sizes would tell everything.
        kept = [value if value in common else "another" for value in values]
        strength = cramers_v(labels, kept)
        if strength >= ASSOCIATED:
            yield Finding("shortcut", (), _telling(mark, strength, labels, kept))


def cramers_v(one: Sequence[str], other: Sequence[str]) -> float:
    """Return the association of two lists of categories: 0 for none, 1 when one tells the other.

    Bias-corrected: W. Bergsma, "A bias-correction for Cramér's V and Tschuprow's T", 2013.
    """
    rows, columns = sorted(set(one)), sorted(set(other))
    total = len(one)
    if min(len(rows), len(columns)) < 2 or total < FEWEST:  # noqa: PLR2004 - one value says nothing
        return 0.0
    table = np.zeros((len(rows), len(columns)))
    for a, b in zip(one, other, strict=True):
        table[rows.index(a), columns.index(b)] += 1
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / total
    phi2 = float(((table - expected) ** 2 / expected).sum()) / total
    phi2 = max(0.0, phi2 - (len(rows) - 1) * (len(columns) - 1) / (total - 1))
    sides = [n - (n - 1) ** 2 / (total - 1) for n in table.shape]
    return float(np.sqrt(phi2 / (min(sides) - 1)))


def _telling(mark: str, strength: float, labels: Sequence[str], values: Sequence[str]) -> str:
    """Say which class has most and which least of the value that differs most."""
    pairs, sizes = Counter(zip(labels, values, strict=True)), Counter(labels)
    best: tuple[float, str] = (-1.0, "")
    for value in sorted(set(values) - {""}):
        shares = {label: pairs[label, value] / sizes[label] for label in sorted(sizes)}
        high = max(shares, key=lambda label: shares[label])
        low = min(shares, key=lambda label: shares[label])
        if shares[high] - shares[low] > best[0]:
            words = f"{value}: {shares[high]:.0%} of {high}, {shares[low]:.0%} of {low}"
            best = (shares[high] - shares[low], words)
    named = mark.replace("_", " ")
    return f"The {named} tells the class (Cramér's V {strength:.2f}). {best[1]}."
