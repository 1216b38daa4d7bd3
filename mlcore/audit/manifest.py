"""The curation manifest: for every file what to do with it, why, and which bytes were meant."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from mlcore.audit.copies import repeated
from mlcore.audit.layout import Item, Layout, worth
from mlcore.audit.pairs import same_picture
from mlcore.data.tables import DataError
from mlcore.whole import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlcore.audit.findings import Finding
    from mlcore.audit.measure import Measured
    from mlcore.audit.pairs import Pair
    from mlcore.audit.tables import Told

KEEP, REVIEW, RELABEL, DROP = "keep", "review", "relabel", "drop"
# The later one wins where a file has several reasons.
ACTIONS = (KEEP, REVIEW, RELABEL, DROP)
FIELDS = ("file", "action", "label", "reason", "evidence", "group", "sha256")
CONTRADICTORY = "contradictory label: the same picture stands under another label"
_REASONS = {
    "blank": "shows one flat colour",
    "drawing": "may be a drawing or a cut-out",
    "grey": "has no colour",
    "odd_size": "is very small or oddly shaped",
    "odd_colour": "has colours far from the rest",
    "border": "has black or white bars",
    "dark_corners": "has black corners",
    "group_labels": "another photograph of the lesion has another label",
    "elsewhere": "another set holds the same picture",
    "name_clash": "another picture has the same name",
    "suffix": "its name says another format",
}


@dataclass(frozen=True)
class Row:
    """One file of a manifest.

    Attributes:
        file: its path inside the folder, with ``/``.
        action: ``keep``, ``review``, ``relabel`` or ``drop``.
        label: the class to use: the folder's, or another one where the action is ``relabel``.
        reason: why; "" where nothing is wrong.
        evidence: what was measured.
        group: files that belong on one side of a split share it; "" when it is alone.
        sha256: of the bytes that were audited, hexadecimal.
    """

    file: str
    action: str
    label: str
    reason: str
    evidence: str
    group: str
    sha256: str


def decide(
    measured: Sequence[Measured],
    pairs: Sequence[Pair],
    findings: Sequence[Finding],
    *,
    groups: Mapping[str, str],
    told: Told,
    wrong_copy: Mapping[frozenset[str], str],
) -> list[Row]:
    """Propose what to do with every file.

    Of a picture that is there several times, the copy of the test split is kept, else that of the
    validation split, else the first by name. Nothing of a test split is ever dropped for being a
    copy or relabelled: a person decides about a published test.

    Args:
        measured: all pictures, by name.
        pairs: the files that show the same picture.
        findings: what is wrong.
        groups: the group of a file.
        told: what tables say.
        wrong_copy: which of two labels is wrong where a picture stands under both.
    """
    items = {entry.item.name: entry.item for entry in measured}
    verdicts = _Verdicts()
    for group in same_picture(pairs):
        _judge_copies(group, pairs_of(group, pairs), items, told, wrong_copy, verdicts)
    for finding in findings:
        if finding.kind == "unreadable":
            verdicts.add(finding.files[0], DROP, "cannot be read", finding.says)
        elif finding.kind == "group_crossing":
            best = min(worth(items[name].split) for name in finding.files)
            for name in finding.files:
                if worth(items[name].split) > best:
                    reason = "another photograph of the lesion is in a held-out split"
                    verdicts.add(name, DROP, reason, finding.says)
        elif finding.kind == "label_differs":
            name = finding.files[0]
            action = RELABEL if worth(items[name].split) else REVIEW
            verdicts.add(name, action, "the table gives another label", finding.says)
        elif finding.kind in _REASONS:
            for name in finding.files:
                verdicts.add(name, REVIEW, _REASONS[finding.kind], finding.says)
    return [
        verdicts.row(entry, groups.get(entry.item.name, ""), told)
        for entry in sorted(measured, key=lambda entry: entry.item.name)
    ]


def pairs_of(group: Sequence[str], pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs inside a group of :func:`mlcore.audit.pairs.same_picture`."""
    members = set(group)
    return [pair for pair in pairs if pair.first in members]


def _judge_copies(
    group: Sequence[str],
    inside: Sequence[Pair],
    items: Mapping[str, Item],
    told: Told,
    wrong_copy: Mapping[frozenset[str], str],
    verdicts: _Verdicts,
) -> None:
    labels = {items[name].label for name in group}
    rules = [pair for pair in wrong_copy if pair <= labels]
    wrong = {wrong_copy[pair]: " and ".join(sorted(pair)) for pair in rules}
    best = min(worth(items[name].split) for name in group)
    how = {name: _evidence(name, group, inside) for name in group}
    left = []
    for name in group:
        if items[name].label in wrong and worth(items[name].split):
            label = items[name].label
            rule = f"of {wrong[label]}, {label} is the wrong one by rule"
            verdicts.add(name, DROP, CONTRADICTORY, f"{how[name]}; {rule}")
        elif worth(items[name].split) > best:
            split = next(items[n].split for n in group if worth(items[n].split) == best)
            verdicts.add(name, DROP, f"the same picture is in the {split} split", how[name])
        else:
            left.append(name)
    if len({items[name].label for name in left}) > 1:
        for name in left:
            verdicts.add(name, REVIEW, CONTRADICTORY, how[name])
        return
    for name in repeated(left, inside, told.lesion)[1:]:
        # What is at stake in a test split is left to a person.
        action = DROP if worth(items[name].split) else REVIEW
        verdicts.add(name, action, "repeats another picture of the same label", how[name])


def _evidence(name: str, group: Sequence[str], inside: Sequence[Pair]) -> str:
    direct = [pair.words(name) for pair in inside if name in {pair.first, pair.second}]
    seen = {
        n for pair in inside if name in {pair.first, pair.second} for n in (pair.first, pair.second)
    }
    # Copies of a copy: found through the files already named.
    through = [f"and through it {other}" for other in group if other not in seen]
    return "; ".join(direct + through)


class _Verdicts:
    """Reasons collected by file; the strongest action wins."""

    def __init__(self) -> None:
        self._by_file: dict[str, list[tuple[str, str, str]]] = defaultdict(list)

    def add(self, name: str, action: str, reason: str, evidence: str) -> None:
        self._by_file[name].append((action, reason, evidence))

    def row(self, entry: Measured, group: str, told: Told) -> Row:
        verdicts = self._by_file.get(entry.item.name, [])
        action = max((a for a, _, _ in verdicts), key=ACTIONS.index, default=KEEP)
        chosen = [(reason, evidence) for a, reason, evidence in verdicts if a == action]
        label = told.label[entry.item.name] if action == RELABEL else entry.item.label
        return Row(
            entry.item.name,
            action,
            label,
            "; ".join(dict.fromkeys(reason for reason, _ in chosen)),
            "; ".join(dict.fromkeys(evidence for _, evidence in chosen)),
            group,
            entry.sha256,
        )


def write_manifest(rows: Sequence[Row], path: Path) -> None:
    """Write a manifest as CSV, or as JSON when the name ends so.

    Raises:
        DataError: the file cannot be written.
    """
    stream = io.StringIO()
    if path.suffix.lower() == ".json":
        json.dump([asdict(row) for row in rows], stream, indent=1, ensure_ascii=False)
        stream.write("\n")
    else:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    try:
        # Training reads the committed one: half a manifest would put copies back without a word.
        write_whole(path, stream.getvalue())
    except OSError as error:
        msg = f"The manifest {path} cannot be written: {error.strerror or error}."
        raise DataError(msg) from error


def read_manifest(path: Path) -> list[Row]:
    """Read a manifest that :func:`write_manifest` wrote, or one a person edited.

    Raises:
        DataError: it cannot be read, lacks a column, or names an action that is none.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            as_json = path.suffix.lower() == ".json"
            raw = json.load(stream) if as_json else list(csv.DictReader(stream))
        rows = [Row(**{field: str(entry[field] or "") for field in FIELDS}) for entry in raw]
    except OSError as error:
        msg = f"The manifest {path} cannot be read: {error.strerror or error}."
        raise DataError(msg) from error
    except (ValueError, TypeError, csv.Error) as error:
        msg = f"{path} is no manifest in CSV or JSON; make one with: audit DIR --manifest FILE."
        raise DataError(msg) from error
    except KeyError as error:
        msg = (
            f"{path} has no column {error.args[0]}, so it is no manifest; it needs "
            f"{', '.join(FIELDS)}."
        )
        raise DataError(msg) from error
    for row in rows:
        if row.action not in ACTIONS:
            msg = f"{path}: {row.action!r} of {row.file} is none of {', '.join(ACTIONS)}."
            raise DataError(msg)
    return rows


def check_manifest(rows: Sequence[Row], layout: Layout) -> None:
    """Make sure that a folder holds exactly the files that a manifest was made for.

    Raises:
        DataError: a file is missing, differs, or is new; the message names the first.
    """
    items = {item.name: item for item in layout.items}
    named = {row.file for row in rows}
    wrong = []
    for row in sorted(rows, key=lambda row: row.file):
        if row.file not in items:
            wrong.append(f"{row.file} is in the manifest but not in the folder")
        elif row.sha256 and _sha256(items[row.file]) != row.sha256:
            wrong.append(f"{row.file} is not the file the manifest was made for (other SHA-256)")
    new = [name for name in items if name not in named and _is_meant(items[name])]
    wrong += [f"{name} is not in the manifest" for name in new]
    if wrong:
        more = f", and {len(wrong) - 1} more do not match" if len(wrong) > 1 else ""
        msg = (
            f"{wrong[0]}{more}. Put the audited files back, or audit again with --manifest to "
            "make a new one."
        )
        raise DataError(msg)


def curated_items(layout: Layout, rows: Sequence[Row]) -> list[Item]:
    """Return the files as a manifest leaves them: without the dropped, with the new labels.

    Raises:
        DataError: the manifest does not match the folder.
    """
    check_manifest(rows, layout)
    by_file = {row.file: row for row in rows}
    kept = [item for item in layout.items if item.name in by_file]
    return [
        replace(item, label=by_file[item.name].label)
        for item in kept
        if by_file[item.name].action != DROP
    ]


def accepted_files(rows: Sequence[Row]) -> set[str]:
    """Return the files somebody has looked at: kept, with a reason."""
    return {row.file for row in rows if row.action == KEEP and row.reason}


def _sha256(item: Item) -> str:
    try:
        with item.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        msg = f"{item.name} cannot be read: {error.strerror or error}."
        raise DataError(msg) from error


def _is_meant(item: Item) -> bool:
    from mlcore.audit.measure import measure_file  # noqa: PLC0415 - only for files nobody listed

    return measure_file(item).picture
