"""Splits in which no lesion and no near-duplicate stands on both sides."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from mlcore.data.archives import HAM10000
from mlcore.data.curation import near_duplicate_groups, same_lesions
from mlcore.data.hashing import Groups, difference_hash, near_pairs
from mlcore.data.sets import (
    Record,
    archive_id,
    ham_facts,
    read_folder_set,
    read_ham10000,
    read_picture,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Share of the training groups that is held out, by label.
VALIDATION_SHARE = 0.12
CALIBRATION_SHARE = 0.12
PARTS = ("train", "validation", "calibration", "test")


def with_groups(records: Sequence[Record], root: Path) -> list[Record]:
    """Return the records with groups by lesion id, file id, published groups and near-duplicates.

    What the audit and the eye found beyond those is in ``same_lesion.csv``.

    Args:
        records: of all sets that will be used together, test splits included.
        root: the data root.
    """
    groups = Groups()
    facts = ham_facts(root)
    for record in records:
        image = archive_id(record.path)
        if record.source != "clinical5":
            groups.join([record.name, f"id:{image}"])
        if image in facts:
            groups.join([record.name, f"lesion:{facts[image].lesion}"])
    for image, other in same_lesions():
        groups.join([_named(image), _named(other)])
    for group in near_duplicate_groups(root):
        groups.join([f"isic9/{image}" for image in group])
    hashes = np.stack([difference_hash(read_picture(r.path)) for r in records])
    for i, j in near_pairs(hashes):
        groups.join([records[i].name, records[j].name])
    return [record.in_group(groups.find(record.name)) for record in records]


def _named(picture: str) -> str:
    return picture if "/" in picture else f"id:{picture}"


def split_groups(records: Sequence[Record], *, seed: int) -> dict[str, list[Record]]:
    """Divide grouped records into train, validation, calibration and test.

    The published test split stays whole; whatever shares a group with it is left out altogether.
    The other groups are dealt by label, so that every part has every label.

    Args:
        records: with groups.
        seed: another seed deals other groups.
    """
    tested = {record.group for record in records if record.split == "test"}
    parts: dict[str, list[Record]] = {part: [] for part in PARTS}
    parts["test"] = [record for record in records if record.split == "test"]
    by_group: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.group not in tested:
            by_group[record.group].append(record)
    by_label: dict[tuple[str, str], list[str]] = defaultdict(list)
    for group, members in by_group.items():
        by_label[members[0].label, members[0].source].append(group)
    for groups in by_label.values():
        dealt = sorted(groups, key=lambda group: _shuffle_key(group, seed))
        validation = round(len(dealt) * VALIDATION_SHARE)
        calibration = validation + round(len(dealt) * CALIBRATION_SHARE)
        for number, group in enumerate(dealt):
            part = (
                "validation"
                if number < validation
                else "calibration"
                if number < calibration
                else "train"
            )
            parts[part] += by_group[group]
    return parts


def deal_folds(records: Sequence[Record], *, count: int, seed: int) -> list[list[Record]]:
    """Divide grouped records into folds for cross-validation.

    Groups that touch a published test split are in no fold. The others are dealt by label and
    source, so that every fold has some of each.

    Args:
        records: with groups.
        count: number of folds, 2 or more.
        seed: another seed deals other groups.
    """
    tested = {record.group for record in records if record.split == "test"}
    members: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.group not in tested:
            members[record.group].append(record)
    by_label: dict[tuple[str, str], list[str]] = defaultdict(list)
    for group, those in members.items():
        by_label[those[0].label, those[0].archive].append(group)
    folds: list[list[Record]] = [[] for _ in range(count)]
    # Going on where the last label stopped keeps the folds alike when labels have few groups.
    turn = 0
    for key in sorted(by_label):
        for group in sorted(by_label[key], key=lambda name: _shuffle_key(name, seed)):
            folds[turn % count] += members[group]
            turn += 1
    return folds


def load_records(key: str, root: Path, *, with_ham: bool = False) -> list[Record]:
    """Return every image of a label set with its group, test split included.

    HAM10000 comes along with ``isic9`` wherever it is there, so that groups and deals are the same
    for networks that learn from it and for those that do not; :func:`without_ham` leaves it out
    afterwards.

    Args:
        key: the label set.
        root: the data root.
        with_ham: HAM10000 has to be there.

    Raises:
        DataError: an image set is not laid out as expected.
    """
    records = read_folder_set(root, key)
    if with_ham or (key == "isic9" and ham_facts(root)):
        # What isic9 names keeps isic9's label, also where the curation left the file out.
        known = {archive_id(r.path) for r in read_folder_set(root, key, curated=False)}
        records += [r for r in read_ham10000(root) if archive_id(r.path) not in known]
    return with_groups(records, root)


def without_ham(records: Sequence[Record]) -> list[Record]:
    """Return the records but for those of HAM10000."""
    return [record for record in records if record.source != HAM10000]


def load_split(
    key: str, root: Path, *, seed: int, with_ham: bool = False
) -> dict[str, list[Record]]:
    """Return the four parts of a label set.

    Args:
        key: the label set.
        root: the data root.
        seed: of the deal.
        with_ham: with ``isic9``, leave HAM10000's images in every part. The deal of the others is
            the same without.

    Raises:
        DataError: an image set is not laid out as expected.
    """
    parts = split_groups(load_records(key, root, with_ham=with_ham), seed=seed)
    if with_ham:
        return parts
    return {part: without_ham(records) for part, records in parts.items()}


def digest_of(records: Sequence[Record]) -> str:
    """Return a SHA-256 over the names, labels and bytes of the records, whatever their order."""
    lines = sorted(
        f"{r.name}\t{r.label}\t{hashlib.sha256(r.path.read_bytes()).hexdigest()}" for r in records
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _shuffle_key(group: str, seed: int) -> str:
    # A hash deals the same cards on every machine, whatever the order of the files.
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()
