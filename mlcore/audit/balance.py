"""Findings about the classes of a set: missing, empty, unknown, tiny, lopsided."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mlcore.audit.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlcore.audit.layout import Layout
    from mlcore.audit.measure import Measured
    from mlcore.labels import LabelSet

# Below ten pictures, one more or fewer right moves a recall by more than ten points.
TINY = 10
LOPSIDED = 10.0


def count(measured: Sequence[Measured]) -> Counter[tuple[str, str]]:
    """Return how many readable pictures every (split, class) has."""
    return Counter((e.item.split, e.item.label) for e in measured if e.facts is not None)


def find_imbalance(
    layout: Layout,
    counts: Counter[tuple[str, str]],
    labels: LabelSet | None,
) -> Iterator[Finding]:
    """Yield what is wrong with the classes.

    Args:
        layout: the folder.
        counts: of :func:`count`.
        labels: the label set that the classes should belong to, if one was named.
    """
    names = {label for _, label in layout.folders} | {label for _, label in counts if label}
    known = {label.folder for label in labels.labels} if labels else names
    if not names:
        return
    splits = layout.splits or ("",)
    if len(names) == 1:
        only = next(iter(names))
        says = f"{only} is the only class; put the other classes in folders beside it."
        yield Finding("one_class", (), says)
    for split in splits:
        place = f"{split}/" if split else ""
        for label in sorted(names | known):
            number = counts[split, label]
            if label not in known:
                if (split, label) in layout.folders or not layout.folders:
                    says = f"The class {place}{label} is named after no label of {_key(labels)}."
                    yield Finding("unknown_class", (), says)
            elif not number:
                there = (split, label) in layout.folders
                what = "holds no readable picture" if there else "does not exist"
                says = f"The class folder {place}{label} {what}."
                yield Finding("empty_class", (), says)
            elif number < TINY:
                yield Finding("tiny_class", (), f"{place}{label} has {_pictures(number)}.")
        found = {label: counts[split, label] for label in names if counts[split, label]}
        if len(found) > 1:
            yield from _lopsided(place, found)


def _lopsided(place: str, found: dict[str, int]) -> Iterator[Finding]:
    large = min(found, key=lambda label: (-found[label], label))
    small = min(found, key=lambda label: (found[label], label))
    if found[large] >= LOPSIDED * found[small]:
        says = (
            f"{place}{large} has {found[large]} pictures and {place}{small} {found[small]}: "
            f"{found[large] / found[small]:.0f} to 1."
        )
        yield Finding("imbalance", (), says)


def _key(labels: LabelSet | None) -> str:
    return labels.key if labels else ""


def _pictures(number: int) -> str:
    return "1 picture" if number == 1 else f"{number} pictures"
