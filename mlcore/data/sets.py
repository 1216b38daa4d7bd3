"""The public image sets as lists of records.

Layout under the data root (``--data`` or ``MLCORE_DATA``)::

    isic9/{train,test}/<label>/*.jpg       isic9/near_duplicate_groups.csv
    ham10000/images/<image id>.jpg         ham10000/metadata.csv
    clinical5/{train,test}/<label>/*.jpg
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlcore.data.archives import HAM10000, archive_of
from mlcore.data.curation import dropped_files, mistaken_drops
from mlcore.data.tables import DataError, rows_of
from mlcore.imaging import ImageError, load_picture
from mlcore.labels import LabelSet, label_set

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image as Picture

_ARCHIVE_ID = re.compile(r"ISIC_\d{7}")
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic"}

# HAM10000's diagnoses as labels of the nine-class set. "akiec" stays out: the nine-class set
# calls part of it actinic keratosis and part squamous cell carcinoma, and the metadata does not
# tell which.
HAM_LABELS = {
    "bcc": "basal_cell_carcinoma",
    "bkl": "pigmented_benign_keratosis",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "nevus",
    "vasc": "vascular_lesion",
}


# Of a picture that shows none of the labels.
NO_LABEL = ""


@dataclass(frozen=True)
class Record:
    """One labelled image.

    Attributes:
        path: the file.
        name: its path inside the data root, with ``/``.
        label: key of the label, or :data:`NO_LABEL`.
        source: ``isic9``, ``ham10000`` or ``clinical5``.
        split: as published: ``train`` or ``test``.
        group: images that show the same lesion share it; "" until groups are made.
        archive: the collection the picture comes from, see :mod:`mlcore.data.archives`.
    """

    path: Path
    name: str
    label: str
    source: str
    split: str
    group: str = ""
    archive: str = ""

    def in_group(self, group: str) -> Record:
        """Return the record with its group set."""
        return replace(self, group=group)


def data_root(given: str | Path | None = None) -> Path:
    """Return the folder of the image sets: the argument, ``MLCORE_DATA`` or ``../shared/data``.

    Raises:
        DataError: there is no such folder.
    """
    root = Path(given or os.environ.get("MLCORE_DATA", "../shared/data"))
    if not root.is_dir():
        msg = (
            f"No image sets at {root}. Lay them out as docs/models.md says and pass --data FOLDER "
            "or set MLCORE_DATA."
        )
        raise DataError(msg)
    return root


def read_picture(path: Path) -> Picture:
    """Return a picture of an image set, decoded as the application decodes uploads.

    Raises:
        DataError: the file cannot be read, or is no picture; the message names it.
    """
    try:
        return load_picture(path.read_bytes())
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}."
        raise DataError(msg) from error
    except ImageError as error:
        msg = f"{path}: {error.sentence} Take it out of the set or put a whole copy in its place."
        raise DataError(msg) from error


def archive_id(path: Path) -> str:
    """Return the ISIC Archive's id of a file: isic9 and HAM10000 name their files by it.

    Copies are named ``ISIC_0025509(1).jpg`` or ``ISIC_0000013_downsampled.jpg``; any other name is
    returned whole, without its suffix.
    """
    found = _ARCHIVE_ID.match(path.stem)
    return found.group() if found else path.stem


def read_folder_set(root: Path, key: str, *, curated: bool = True) -> list[Record]:
    """Return the images of ``isic9`` or ``clinical5``, train and test.

    Args:
        root: the data root.
        key: the label set.
        curated: leave out what the committed curation manifest drops from training. The test
            split stays as published.

    Raises:
        DataError: a folder is missing, empty, or named after no label.
    """
    labels = label_set(key)
    dropped = dropped_files(key) if curated else frozenset()
    for name in mistaken_drops(root, key) if curated else []:
        msg = (
            f"{root / name} is not the file that the curation manifest drops (other SHA-256). Put "
            "the published file back, or run python -m mlcore curate on this copy of the set."
        )
        raise DataError(msg)
    records = [record for split in ("train", "test") for record in _split(root, labels, split)]
    return [record for record in records if record.name not in dropped]


def _split(root: Path, labels: LabelSet, split: str) -> Iterator[Record]:
    folder = root / labels.key / split
    if not folder.is_dir():
        msg = f"The folder {folder} is missing; docs/models.md shows the layout."
        raise DataError(msg)
    by_folder = {label.folder: label.key for label in labels.labels}
    dermoscopic = labels.modality == "dermoscopy"
    in_ham = ham_facts(root) if dermoscopic else {}
    for unknown in sorted({p.name for p in folder.iterdir() if p.is_dir()} - set(by_folder)):
        msg = (
            f"The folder {folder / unknown} is named after no label of {labels.key}. Rename it or "
            f"move it away; the labels' folders are {', '.join(sorted(by_folder))}."
        )
        raise DataError(msg)
    for title, key in by_folder.items():
        images = sorted(p for p in (folder / title).glob("*") if p.suffix.lower() in _SUFFIXES)
        if not images:
            msg = f"The folder {folder / title} holds no image; every label needs some."
            raise DataError(msg)
        for path in images:
            name, image = path.relative_to(root).as_posix(), archive_id(path)
            archive = archive_of(image, in_ham=image in in_ham) if dermoscopic else ""
            yield Record(path, name, key, labels.key, split, archive=archive)


_HAM_COLUMNS = ("image_id", "lesion_id", "dx", "age", "sex", "localization")


@dataclass(frozen=True)
class HamFacts:
    """What HAM10000's metadata says of one image."""

    lesion: str
    diagnosis: str
    age: str
    sex: str
    site: str


def ham_facts(root: Path) -> dict[str, HamFacts]:
    """Return HAM10000's metadata by image id; empty when the set is not there.

    Raises:
        DataError: its table is damaged.
    """
    path = root / "ham10000" / "metadata.csv"
    if not path.is_file():
        return {}
    return {
        row["image_id"]: HamFacts(*(row[column] for column in _HAM_COLUMNS[1:]))
        for row in rows_of(path, _HAM_COLUMNS)
    }


def read_ham10000(root: Path) -> list[Record]:
    """Return the HAM10000 images that a label of the nine-class set fits.

    Raises:
        DataError: the set is not there.
    """
    facts = ham_facts(root)
    folder = root / "ham10000" / "images"
    if not facts or not folder.is_dir():
        msg = f"HAM10000 is missing under {root / 'ham10000'}; docs/models.md shows the layout."
        raise DataError(msg)
    records = []
    for path in sorted(folder.glob("*.jpg")):
        fact = facts.get(path.stem)
        if fact is not None and fact.diagnosis in HAM_LABELS:
            label = HAM_LABELS[fact.diagnosis]
            name = path.relative_to(root).as_posix()
            records.append(Record(path, name, label, HAM10000, "train", archive=HAM10000))
    return records
