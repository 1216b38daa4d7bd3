"""What is wrong with the public sets, as committed facts.

``curation_isic9.csv`` and ``curation_clinical5.csv`` are the manifests that ``python -m mlcore
curate`` writes: one row per file of the set with action, label, reason, evidence, group and the
SHA-256 of the bytes that were audited (see :mod:`mlcore.audit.manifest`). Training leaves out what
they drop, and whatever shares a group with a tested picture (:mod:`mlcore.data.splits`).
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from functools import cache
from pathlib import Path

from mlcore.data.tables import rows_of

_FOLDER = Path(__file__).parent

# Where one picture carries two labels, the more specific one is right: HAM10000's metadata calls
# all 75 of the actinic keratosis ids it has "akiec", and knows none of them as a nevus.
WRONG_COPY = {
    "isic9": {
        frozenset({"actinic keratosis", "nevus"}): "nevus",
        frozenset({"seborrheic keratosis", "melanoma"}): "melanoma",
    }
}


def manifest_path(key: str) -> Path:
    """Return where the curation manifest of a set is committed, if it has one."""
    return _FOLDER / f"curation_{key}.csv"


@cache
def _dropped(key: str) -> dict[str, str]:
    """Return the SHA-256 of every dropped file, by name inside the set."""
    path = manifest_path(key)
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {row["file"]: row["sha256"] for row in rows if row["action"] == "drop"}


def dropped_files(key: str) -> frozenset[str]:
    """Return the names (``isic9/train/nevus/x.jpg``) that training leaves out of a set."""
    return frozenset(f"{key}/{name}" for name in _dropped(key))


def mistaken_drops(root: Path, key: str) -> list[str]:
    """Return the files that have a dropped file's name but are not the file that was meant.

    Args:
        root: the data root.
        key: the label set.
    """
    return [
        f"{key}/{name}"
        for name, sha256 in sorted(_dropped(key).items())
        if (path := root / key / name).is_file()
        and hashlib.sha256(path.read_bytes()).hexdigest() != sha256
    ]


def forget() -> None:
    """Read the manifests again at the next question: one was written."""
    _dropped.cache_clear()


@cache
def same_lesions() -> tuple[tuple[str, str], ...]:
    """Return pairs of pictures of one lesion or one patient, which no table of the sets says.

    They are too far apart for the perceptual hash. A picture of the ISIC Archive is named by its
    id, any other by its record's name. Those of ``clinical5`` were found by eye among all 199 396
    pairs, ordered by colour and by what a network for everyday pictures makes of them: the first
    168, and of the first 1 250 all but two pictures of acne.
    """
    with Path(__file__).with_name("same_lesion.csv").open(encoding="utf-8", newline="") as stream:
        return tuple((row["image"], row["other"]) for row in csv.DictReader(stream))


def near_duplicate_groups(root: Path) -> list[list[str]]:
    """Return the published groups of (near-)identical images of ``isic9``; empty when absent.

    Raises:
        DataError: the table is damaged.
    """
    path = root / "isic9" / "near_duplicate_groups.csv"
    if not path.is_file():
        return []
    groups: dict[str, list[str]] = defaultdict(list)
    for row in rows_of(path, ("group", "image")):
        groups[row["group"]].append(row["image"])
    return list(groups.values())
