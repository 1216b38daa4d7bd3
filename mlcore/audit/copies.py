"""Findings about pictures that are there more than once, and lesions in more than one place."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from mlcore.audit.findings import Finding
from mlcore.audit.pairs import BYTES, PIXELS, Pair, same_picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlcore.audit.layout import Item
    from mlcore.audit.measure import Measured

SAME = (BYTES, PIXELS)
_MOST_TOLD = 3


def find_copies(
    items: Mapping[str, Item], pairs: Sequence[Pair], told: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield contradictions, copies in two splits, and repeats.

    A near-duplicate of the same lesion in the same split and class is a second photograph rather
    than a repeat, so it is no finding.

    Args:
        items: every file by name.
        pairs: the files that show the same picture.
        told: the lesion of a file, where a table tells it.
    """
    by_first: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_first[pair.first].append(pair)
    for group in same_picture(pairs):
        inside = [pair for name in group for pair in by_first[name]]
        labels = sorted({items[name].label for name in group})
        splits = sorted({items[name].split for name in group})
        how = _how(inside)
        sides = tuple((pair.first, pair.second) for pair in inside)
        if len(labels) > 1:
            says = f"{_listed(labels)}: {how}."
            yield Finding("contradiction", group, says, _with(sides, items, "label"))
        if len(splits) > 1:
            says = f"{_listed(splits)}: {how}."
            yield Finding("crossing", group, says, _with(sides, items, "split"))
        if len(labels) == len(splits) == 1:
            repeats = repeated(group, inside, told)
            here = [pair for pair in inside if {pair.first, pair.second} <= {*repeats}]
            if here:
                sides = tuple((pair.first, pair.second) for pair in here)
                yield Finding("repeat", repeats, f"{_how(here)}.", sides)


def repeated(
    group: Sequence[str], inside: Sequence[Pair], told: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the files of a group that repeat each other.

    Of photographs of one lesion, by a table, only those with the same pixels do: the others were
    taken one after the other.
    """
    lesions = {told.get(name, "") for name in group}
    if len(lesions) > 1 or lesions == {""}:
        return tuple(group)
    same = {name for pair in inside if pair.kind in SAME for name in (pair.first, pair.second)}
    return tuple(sorted(same & set(group)))


def find_lesions(
    items: Mapping[str, Item], told: Mapping[str, str], pairs: Sequence[Pair]
) -> Iterator[Finding]:
    """Yield lesions whose photographs stand in two splits or under two labels.

    Args:
        items: every file by name.
        told: the group of a file, such as a lesion.
        pairs: the files that show the same picture; what they say already is not said again.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for name, lesion in sorted(told.items()):
        if name in items:
            members[lesion].append(name)
    copies = [set(group) for group in same_picture(pairs)]
    for lesion, names in sorted(members.items()):
        group = tuple(names)
        if any(same.issuperset(group) for same in copies):
            continue
        splits = sorted({items[name].split for name in group})
        labels = sorted({items[name].label for name in group})
        apart = ((group[0], group[-1]),)
        if len(splits) > 1:
            says = f"{lesion}: {len(group)} files in {_listed(splits)}."
            yield Finding("group_crossing", group, says, _apart(group, items, "split") or apart)
        if len(labels) > 1:
            says = f"{lesion}: {len(group)} files under {_listed(labels)}."
            yield Finding("group_labels", group, says, _apart(group, items, "label") or apart)


def find_name_clashes(measured: Sequence[Measured], pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Yield different pictures whose names are the same but for folder, case and suffix."""
    same = {name: number for number, group in enumerate(same_picture(pairs)) for name in group}
    by_stem: dict[str, list[str]] = defaultdict(list)
    for entry in measured:
        if entry.facts is not None:
            by_stem[entry.item.path.stem.lower()].append(entry.item.name)
    for _, names in sorted(by_stem.items()):
        group = tuple(sorted(names))
        pictures = {same.get(name, name) for name in group}
        if len(pictures) > 1:
            name = group[0].rpartition("/")[2]
            says = f"{len(group)} files are called like {name} and show {len(pictures)} pictures."
            yield Finding("name_clash", group, says, ((group[0], group[-1]),))


def _with(
    sides: Sequence[tuple[str, str]], items: Mapping[str, Item], what: str
) -> tuple[tuple[str, str], ...]:
    """Return the pairs that differ in the label or the split; all of them when none does."""
    differ = tuple((a, b) for a, b in sides if getattr(items[a], what) != getattr(items[b], what))
    return differ or tuple(sides)


def _apart(
    group: Sequence[str], items: Mapping[str, Item], what: str
) -> tuple[tuple[str, str], ...]:
    return _with([(group[0], other) for other in group[1:]], items, what)[:1]


def _how(pairs: Sequence[Pair]) -> str:
    told = [f"{pair.first} {pair.words(pair.first)}" for pair in pairs[:_MOST_TOLD]]
    more = len(pairs) - _MOST_TOLD
    return "; ".join(told) + (f"; and {more} more pairs" if more > 0 else "")


def _listed(words: Sequence[str]) -> str:
    return " and ".join(word or "(none)" for word in words)
