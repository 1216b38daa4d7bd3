"""One audit of one folder: measure every file once, then look for what is wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlcore.audit.balance import count, find_imbalance
from mlcore.audit.copies import find_copies, find_lesions, find_name_clashes
from mlcore.audit.findings import Finding, in_order
from mlcore.audit.layout import Item, Layout, read_layout
from mlcore.audit.manifest import Row, accepted_files, curated_items, decide, read_manifest
from mlcore.audit.measure import Measured, measure
from mlcore.audit.outliers import find_outliers, find_shortcuts
from mlcore.audit.pairs import NEAR_BITS, Pair, find_pairs
from mlcore.audit.tables import Told, read_table
from mlcore.data.curation import WRONG_COPY
from mlcore.data.hashing import Groups
from mlcore.data.tables import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mlcore.labels import LabelSet


@dataclass(frozen=True)
class Question:
    """What to audit, and with which knowledge.

    Attributes:
        root: the folder.
        labels: the label set its classes should belong to, if any.
        tables: CSV files with lesions, diagnoses or known groups.
        wrong_copy: which of two labels is the wrong one where a picture stands under both.
        curated: a manifest; what it drops is left out, what it relabels is read so, and what a
            person has looked at and kept is not brought up again.
        beside: other folders of pictures that will be used together with this one.
        bits: how far hashes may be apart, see :func:`mlcore.audit.pairs.find_pairs`.
    """

    root: Path
    labels: LabelSet | None = None
    tables: tuple[Path, ...] = ()
    wrong_copy: Mapping[frozenset[str], str] | None = None
    curated: Path | None = None
    beside: tuple[Path, ...] = ()
    bits: int = NEAR_BITS


@dataclass(frozen=True)
class Audit:
    """What came out.

    Attributes:
        name: of the folder.
        layout: what it holds.
        measured: every picture and what should be one, sorted by name.
        pairs: the files that show the same picture.
        groups: the group of every file that has one: files that belong on one side of a split.
        findings: most important first.
        rows: the curation manifest.
        notes: what could not be compared, and why.
    """

    name: str
    layout: Layout
    measured: tuple[Measured, ...]
    pairs: tuple[Pair, ...]
    groups: dict[str, str]
    findings: tuple[Finding, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """Return how many readable pictures every (split, class) has."""
        return count(self.measured)


def audit(question: Question, *, tell: Callable[[str, int, int], None] | None = None) -> Audit:
    """Audit a folder. The same files give the same result in the same order.

    Args:
        question: what to audit.
        tell: for a progress bar: name of the step, how much is done, of how much.

    Raises:
        DataError: the folder or a table cannot be read, or the manifest does not match.
    """
    layout = read_layout(question.root)
    told, notes = _told(question, layout)
    layout = _labelled(layout, told)
    manifest = read_manifest(question.curated) if question.curated else []
    if manifest:
        layout = replace(layout, items=tuple(curated_items(layout, manifest)))
    every = measure(layout.items, tell=_step(tell, "reading"))
    measured = tuple(entry for entry in every if entry.picture)
    pairs = tuple(find_pairs(measured, bits=question.bits, tell=_step(tell, "comparing")))
    items = {entry.item.name: entry.item for entry in measured}
    shared = _shared(question, measured, tell)
    findings = in_order(
        [
            *_files(measured, layout),
            *find_imbalance(layout, count(measured), question.labels),
            *find_copies(items, pairs, told.lesion),
            *find_lesions(items, told.group, pairs),
            *_disagreements(items, told),
            *_elsewhere(items, shared),
            *find_name_clashes(measured, pairs),
            *find_outliers(measured),
            *find_shortcuts(measured),
        ]
    )
    if manifest:
        accepted = accepted_files(manifest)
        findings = [f for f in findings if not f.files or not accepted.issuperset(f.files)]
    groups = _groups(items, [*pairs, *shared], told)
    rules = question.wrong_copy
    if rules is None:
        rules = WRONG_COPY.get(question.labels.key, {}) if question.labels else {}
    rows = decide(measured, pairs, findings, groups=groups, told=told, wrong_copy=rules)
    return Audit(
        question.root.resolve().name,
        layout,
        measured,
        pairs,
        groups,
        tuple(findings),
        tuple(rows),
        tuple(notes),
    )


def _step(
    tell: Callable[[str, int, int], None] | None, name: str
) -> Callable[[int, int], None] | None:
    return (lambda done, whole: tell(name, done, whole)) if tell else None


def _shared(
    question: Question,
    measured: Sequence[Measured],
    tell: Callable[[str, int, int], None] | None,
) -> list[Pair]:
    """Return the pairs of which one file is in another folder; its name is ``folder:name``."""
    others: list[Measured] = []
    for root in question.beside:
        layout = read_layout(root)
        if layout.root.resolve() == question.root.resolve():
            msg = f"{root} is the audited folder itself; name another set to compare it with."
            raise DataError(msg)
        named = [replace(i, name=f"{layout.root.resolve().name}:{i.name}") for i in layout.items]
        others += [e for e in measure(named, tell=_step(tell, "beside")) if e.picture]
    if not others:
        return []
    own = {entry.item.name for entry in measured}
    both = find_pairs([*measured, *others], bits=question.bits, tell=_step(tell, "sets"))
    return [pair for pair in both if (pair.first in own) != (pair.second in own)]


def _elsewhere(items: Mapping[str, Item], shared: Sequence[Pair]) -> list[Finding]:
    found = []
    for pair in shared:
        name = pair.first if pair.first in items else pair.second
        found.append(Finding("elsewhere", (name,), f"{name} {pair.words(name)}."))
    return found


def _told(question: Question, layout: Layout) -> tuple[Told, list[str]]:
    whole, notes = Told(), []
    joined = Groups()
    for path in question.tables:
        table = read_table(path, layout.items)
        if table.unmatched:
            notes.append(f"{table.unmatched} rows of {path.name} name no file of this folder.")
        missing = len(layout.items) - len(set(table.group) | set(table.label))
        if missing:
            notes.append(f"{path.name} says nothing of {missing} files.")
        for name, group in table.group.items():
            joined.join([group, f"file {name}"])
        whole.group |= table.group
        whole.lesion |= table.lesion
        whole.label |= table.label
    if len(question.tables) > 1:
        # Tables may group the same files in different ways: what any of them joins is joined.
        first: dict[str, str] = {}
        for name in sorted(whole.group):
            first.setdefault(joined.find(f"file {name}"), whole.group[name])
        whole.group = {n: first[joined.find(f"file {n}")] for n in whole.group}
    folders = {label for _, label in layout.folders}
    if folders and whole.label and not set(whole.label.values()) <= folders:
        notes.append(
            "The tables' diagnoses are not the names of the class folders, so they were not "
            "compared."
        )
        whole.label = {}
    return whole, notes


def _labelled(layout: Layout, told: Told) -> Layout:
    """Give the files of a folder without classes the labels of the table."""
    items = [i if i.label else replace(i, label=told.label.get(i.name, "")) for i in layout.items]
    return replace(layout, items=tuple(items))


def _files(measured: Sequence[Measured], layout: Layout) -> list[Finding]:
    found = []
    for entry in measured:
        name = entry.item.name
        if entry.fault:
            found.append(Finding("unreadable", (name,), f"{name}: {entry.fault}"))
        elif entry.suffix_of:
            says = f"{name} holds {entry.suffix_of}."
            found.append(Finding("suffix", (name,), says))
        if entry.item.misspelt:
            found.append(Finding("misspelt", (name,), f"{name} is no UTF-8 as the disk spells it."))
    found += [
        Finding("stray", (name,), f"{name} lies in no class folder.") for name in layout.stray
    ]
    return found


def _disagreements(items: Mapping[str, Item], told: Told) -> list[Finding]:
    return [
        Finding("label_differs", (name,), f"{name} is {label} by the table.")
        for name, label in sorted(told.label.items())
        if name in items and items[name].label != label
    ]


def _groups(items: Mapping[str, Item], pairs: Sequence[Pair], told: Told) -> dict[str, str]:
    """Return the group of every file that shares one: named after its first file."""
    joined = Groups()
    for pair in pairs:
        joined.join([f"file {pair.first}", f"file {pair.second}"])
    for name, group in told.group.items():
        if name in items:
            joined.join([f"file {name}", f"group {group}"])
    ends = {name: joined.find(f"file {name}") for name in sorted(items)}
    sizes = Counter(ends.values())
    first: dict[str, str] = {}
    for name, end in ends.items():
        first.setdefault(end, name)
    return {name: first[end] for name, end in ends.items() if sizes[end] > 1}
