"""Pictures from outside the label sets, in two halves: one to fit gates on, one to measure them.

Layout under the data root: ``outside/not_skin/*.jpg`` and ``outside/other_skin/*.jpg``, where the
name of a skin photograph begins with its diagnosis and two underscores.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlcore.data.hashing import difference_hash, near_pairs
from mlcore.data.sets import NO_LABEL, Record, read_folder_set
from mlcore.data.splits import load_split
from mlcore.data.tables import DataError
from mlcore.drawing import (
    CLINICAL_KINDS,
    DERMOSCOPY_KINDS,
    draw_clinical,
    draw_dermoscopy,
    draw_plain_skin,
)
from mlcore.drawing.canvas import SKIN_TONES
from mlcore.imaging import ImageError, load_network_source
from mlcore.labels import label_set

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from PIL.Image import Image as Picture

DEVELOPMENT = "development"
HELD_OUT = "held_out"
_DRAWN_SIZE = (320, 240)
# Pictures of the other modality are plenty; so many tell it from the own one.
_MOST_OF_OTHER_KIND = {DEVELOPMENT: 400, HELD_OUT: 200}
# The deal of the other label set, of which the training part is used to fit and validation to
# measure; its published test split is never touched.
_DEAL = 1


@dataclass(frozen=True)
class OutsidePictures:
    """One half of everything that a network must not answer.

    Attributes:
        not_skin: ordinary pictures.
        other_skin: skin photographs whose diagnosis is no label.
        other_kind: pictures of the other modality.
        refused: how many the intake refuses before any network sees them.
    """

    not_skin: list[Picture]
    other_skin: list[Picture]
    other_kind: list[Picture]
    refused: int = 0


def load_outside(root: Path, key: str) -> dict[str, OutsidePictures]:
    """Return both halves for a label set.

    Raises:
        DataError: the folders are not laid out as expected.
    """
    ordinary = deal_outside(root, "not_skin")
    skin = without_twins(root, deal_outside(root, "other_skin"))
    parts = load_split(other_modality(key), root, seed=_DEAL)
    other = {DEVELOPMENT: parts["train"], HELD_OUT: parts["validation"]}
    halves = {}
    for half, records in other.items():
        chosen = np.linspace(0, len(records) - 1, min(len(records), _MOST_OF_OTHER_KIND[half]))
        others = [records[int(i)].path for i in chosen]
        read = [read_pictures(paths) for paths in (ordinary[half], skin[half], others)]
        pictures = [found for found, _refused in read]
        refused = sum(count for _found, count in read)
        halves[half] = OutsidePictures(pictures[0], pictures[1], pictures[2], refused)
    return halves


def exposure_records(root: Path) -> list[Record]:
    """Return the development half of other skin diseases as records without a label.

    Raises:
        DataError: the folders are not laid out as expected.
    """
    halves = without_twins(root, deal_outside(root, "other_skin"))
    return [
        Record(path, path.relative_to(root).as_posix(), NO_LABEL, "outside", "train")
        for path in halves[DEVELOPMENT]
    ]


def half_of(name: str) -> str:
    """Return which half a picture belongs to: :data:`DEVELOPMENT` or :data:`HELD_OUT`.

    A hash decides, so that no machine and no later picture changes it; photographs of one diagnosis
    stay together.

    Args:
        name: the file's name.
    """
    group = name.split("__", maxsplit=1)[0] if "__" in name else name
    first = hashlib.sha256(group.encode()).digest()[0]
    return DEVELOPMENT if first % 2 == 0 else HELD_OUT


def deal_outside(root: Path, kind: str) -> dict[str, list[Path]]:
    """Return the files of ``not_skin`` or ``other_skin`` by half.

    Args:
        root: the data root.
        kind: the folder's name.

    Raises:
        DataError: the folder is missing, or one of the halves is empty.
    """
    folder = root / "outside" / kind
    halves: dict[str, list[Path]] = {DEVELOPMENT: [], HELD_OUT: []}
    for path in sorted(folder.glob("*.jpg")):
        halves[half_of(path.name)].append(path)
    for half, paths in halves.items():
        if not paths:
            msg = f"{folder} has no picture for the {half} half; docs/models.md shows the layout."
            raise DataError(msg)
    return halves


def read_pictures(paths: Iterable[Path]) -> tuple[list[Picture], int]:
    """Return what networks would read of files, and how many the intake refuses."""
    pictures, refused = [], 0
    for path in paths:
        try:
            pictures.append(load_network_source(path.read_bytes()))
        except ImageError:
            refused += 1
    return pictures, refused


def _network_source_of(path: Path) -> Picture:
    try:
        return load_network_source(path.read_bytes())
    except ImageError as error:
        msg = f"{path}: {error.sentence} Take it out of the set or put a whole copy in its place."
        raise DataError(msg) from error


def without_twins(root: Path, halves: dict[str, list[Path]]) -> dict[str, list[Path]]:
    """Leave out of both halves what ``clinical5`` has too, and of the held-out one what both have.

    Raises:
        DataError: ``clinical5`` is not laid out as expected, or a picture cannot be read.
    """
    own = [record.path for record in read_folder_set(root, "clinical5", curated=False)]
    paths = own + halves[DEVELOPMENT] + halves[HELD_OUT]
    # Refused where it cannot be read: the message names the file.
    hashes = np.stack([difference_hash(_network_source_of(path)) for path in paths])
    # In every pair the later one goes: own pictures come first, then development, then held out.
    twins = {
        paths[later]
        for earlier, later in near_pairs(hashes)
        if later >= len(own) and (earlier < len(own) or paths[earlier] in set(halves[DEVELOPMENT]))
    }
    return {half: [path for path in those if path not in twins] for half, those in halves.items()}


def drawn_skin(modality: str, *, seeds: Iterable[int]) -> list[Picture]:
    """Return drawn lesions of a modality: clinical ones on skin of Fitzpatrick type I to VI.

    The public sets hardly show dark skin; without these a gate would take its colour for a sign of
    something else than skin.

    Args:
        modality: ``clinical`` or ``dermoscopy``.
        seeds: one picture of every kind for each.
    """
    if modality == "dermoscopy":
        return [
            draw_dermoscopy(kind, seed=seed, size=_DRAWN_SIZE)
            for seed in seeds
            for kind in DERMOSCOPY_KINDS
        ]
    return [
        draw_clinical(kind, seed=seed, size=_DRAWN_SIZE, skin_type=tone)
        for seed in seeds
        for kind in CLINICAL_KINDS
        for tone in SKIN_TONES
    ]


def drawn_plain_skin(*, seeds: Iterable[int]) -> list[Picture]:
    """Return drawn skin of every tone without a lesion."""
    return [
        draw_plain_skin(seed=seed, size=_DRAWN_SIZE, skin_type=tone)
        for seed in seeds
        for tone in SKIN_TONES
    ]


def other_modality(key: str) -> str:
    """Return the label set whose pictures are skin, but not of this set's modality."""
    return "clinical5" if label_set(key).modality == "dermoscopy" else "isic9"
