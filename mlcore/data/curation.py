"""What is wrong with the public sets, as committed facts.

``curation_isic9.csv`` has one row per file that training leaves out: file, action, reason and the
evidence (the file that shows the same picture under another label).
"""

from __future__ import annotations

import csv
from collections import defaultdict
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
_FIELDS = ("file", "action", "reason", "evidence")

# Where one picture carries two labels, the more specific one is right: HAM10000's metadata calls
# all 75 of the actinic keratosis ids it has "akiec", and knows none of them as a nevus.
WRONG_COPY = {
    "isic9": {
        frozenset({"actinic keratosis", "nevus"}): "nevus",
        frozenset({"seborrheic keratosis", "melanoma"}): "melanoma",
    }
}


@cache
def dropped_files(key: str) -> frozenset[str]:
    """Return the names (``isic9/train/nevus/x.jpg``) that training leaves out of a set."""
    path = _FOLDER / f"curation_{key}.csv"
    if not path.is_file():
        return frozenset()
    with path.open(encoding="utf-8", newline="") as stream:
        return frozenset(
            f"{key}/{row['file']}" for row in csv.DictReader(stream) if row["action"] == "drop"
        )


def near_duplicate_groups(root: Path) -> list[list[str]]:
    """Return the published groups of (near-)identical images of ``isic9``; empty when absent."""
    path = root / "isic9" / "near_duplicate_groups.csv"
    if not path.is_file():
        return []
    groups: dict[str, list[str]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            groups[row["group"]].append(row["image"])
    return list(groups.values())


def curate_isic9(root: Path) -> list[dict[str, str]]:
    """Work out which files of ``isic9/train`` to leave out, and why.

    Returns:
        Rows of the manifest, sorted by file.
    """
    rows = []
    for group in near_duplicate_groups(root):
        labels = {image.split("/")[1] for image in group}
        wrong = WRONG_COPY["isic9"].get(frozenset(labels))
        tested = [image for image in group if image.startswith("test/")]
        keep = min(group, key=lambda image: (not image.startswith("test/"), image))
        for image in group:
            if image.startswith("test/"):
                continue
            others = [other for other in group if other != image]
            if wrong is not None and image.split("/")[1] == wrong:
                reason = "contradictory label: the same picture stands under another label"
            elif tested:
                reason = "the same picture is in the test split"
            elif len(labels) == 1 and image != keep:
                reason = "repeats another picture of the same label"
            else:
                continue
            evidence = " ".join(others)
            rows.append({"file": image, "action": "drop", "reason": reason, "evidence": evidence})
    return sorted(rows, key=lambda row: row["file"])


def write_manifest(rows: list[dict[str, str]], key: str) -> Path:
    """Write the manifest of a set and return its path."""
    path = _FOLDER / f"curation_{key}.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, _FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    dropped_files.cache_clear()
    return path
