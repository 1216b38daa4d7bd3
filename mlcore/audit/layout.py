"""Which files a folder of pictures holds, and what their place says: split and class."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlcore.data.tables import DataError

if TYPE_CHECKING:
    from pathlib import Path

PICTURE_SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".gif": "GIF",
    ".avif": "AVIF",
    ".dcm": "DICOM",
}
# Folder names that mean a split, in the order of how much a copy there is worth keeping: a test
# split cannot do without its pictures, and nothing that it holds may be trained on.
SPLITS = {
    "test": 0,
    "testing": 0,
    "holdout": 0,
    "validation": 1,
    "valid": 1,
    "val": 1,
    "dev": 1,
    "calibration": 1,
    "train": 2,
    "training": 2,
}
NO_SPLIT = 3
# What programs and people leave beside pictures.
_LITTER = {"thumbs.db", "desktop.ini", "licence", "license"}
_BESIDE = {".csv", ".json", ".txt", ".md", ".html", ".pdf", ".xlsx", ".yaml", ".yml", ".xml"}


@dataclass(frozen=True)
class Item:
    """One file and what its place says.

    Attributes:
        path: the file.
        name: its path inside the folder, with ``/``; what is no UTF-8 in it is written as an
            escape.
        split: name of the split's folder, or "".
        label: name of the class's folder, or "".
    """

    path: Path
    name: str
    split: str
    label: str

    @property
    def misspelt(self) -> bool:
        """Whether the path is no UTF-8, as archives that other systems packed leave them."""
        return str(self.path) != spelt(str(self.path))


@dataclass(frozen=True)
class Layout:
    """What a folder holds.

    Attributes:
        root: the folder.
        items: the files that should be pictures, sorted by name.
        folders: every (split, class) folder there is, empty ones too.
        stray: pictures that lie beside the class folders, sorted by name.
        beside: how many other files lie there, such as tables and notes.
    """

    root: Path
    items: tuple[Item, ...]
    folders: tuple[tuple[str, str], ...]
    stray: tuple[str, ...]
    beside: int

    @property
    def splits(self) -> tuple[str, ...]:
        """Return the splits, in the order of training, validation, test."""
        found = {split for split, _ in self.folders if split}
        return tuple(sorted(found, key=lambda split: (-worth(split), split)))


def spelt(name: str) -> str:
    """Return a file's name as text that can be written down."""
    return name.encode("utf-8", "backslashreplace").decode()


def worth(split: str) -> int:
    """Return the rank of a split, 0 for a test split: of two copies the lower one is kept."""
    return SPLITS.get(split.lower(), NO_SPLIT)


def read_layout(root: Path) -> Layout:
    """Find the files of ``<split>/<class>/…``, ``<class>/…`` or a flat folder.

    A folder is read as splits when one of its folders is called like a split (``train``, ``val``,
    ``test`` and the like). Folders inside a class belong to it. Hidden files are left out, links
    are not followed.

    Raises:
        DataError: there is no such folder, it cannot be read, or it holds no picture.
    """
    if not root.is_dir():
        msg = f"There is no folder {root}; name the folder that holds the pictures."
        raise DataError(msg)
    split_names = [name for name in _folders(root) if name.lower() in SPLITS]
    found = _Found(root)
    # Beside splits, other folders are not classes: nobody trains on them.
    found.read("", root, labels=[] if split_names else _folders(root), loose=not split_names)
    for split in split_names:
        found.read(split, root / split, labels=_folders(root / split), loose=True)
    if not found.items and not found.pairs:
        msg = (
            f"{root} holds no picture; lay them out as <split>/<class>/, as <class>/, or in one "
            "folder."
        )
        raise DataError(msg)
    found.items.sort(key=lambda item: item.name)
    return Layout(
        root,
        tuple(found.items),
        tuple(sorted(found.pairs)),
        tuple(sorted(found.stray)),
        found.beside,
    )


class _Found:
    """What was found so far."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.items: list[Item] = []
        self.pairs: list[tuple[str, str]] = []
        self.stray: list[str] = []
        self.beside = 0

    def read(self, split: str, top: Path, *, labels: list[str], loose: bool) -> None:
        """Take the classes of one split; without any, its files when ``loose`` says so."""
        self.pairs += [(split, spelt(label)) for label in labels]
        for label in labels:
            for path in self._pictures(_walk(top / label)):
                self.items.append(Item(path, self._name(path), split, spelt(label)))
        for path in self._pictures(_files(top)):
            if labels or not loose:
                self.stray.append(self._name(path))
            else:
                self.items.append(Item(path, self._name(path), split, ""))

    def _pictures(self, paths: list[Path]) -> list[Path]:
        kept = [path for path in paths if not _is_beside(path)]
        self.beside += len(paths) - len(kept)
        return kept

    def _name(self, path: Path) -> str:
        return spelt(path.relative_to(self.root).as_posix())


def _is_beside(path: Path) -> bool:
    return path.name.lower() in _LITTER or path.suffix.lower() in _BESIDE


def _folders(folder: Path) -> list[str]:
    return sorted(
        e.name for e in _entries(folder) if e.is_dir(follow_symlinks=False) and _seen(e.name)
    )


def _files(folder: Path) -> list[Path]:
    return sorted(folder / e.name for e in _entries(folder) if not e.is_dir() and _seen(e.name))


def _walk(folder: Path) -> list[Path]:
    found = _files(folder)
    for name in _folders(folder):
        found += _walk(folder / name)
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        msg = f"The folder {folder} cannot be read: {error.strerror or error}."
        raise DataError(msg) from error


def _seen(name: str) -> bool:
    return not name.startswith(".")
