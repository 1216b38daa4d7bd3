"""Reading the tables that come with a set: which lesion a file shows, what it is said to be."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlcore.data.tables import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlcore.audit.layout import Item

# Column names in use (ISIC Archive, HAM10000, BCN20000, PAD-UFES-20, Fitzpatrick17k), best first.
FILE_COLUMNS = ("file", "image_id", "isic_id", "image", "filename", "img_id", "image_name", "name")
LESION_COLUMNS = ("lesion_id", "lesion")
GROUP_COLUMNS = (*LESION_COLUMNS, "group", "patient_id", "patient")
LABEL_COLUMNS = ("dx", "diagnosis", "label", "class", "diagnostic", "target")


@dataclass
class Told:
    """What tables say about files, by the file's name in the folder.

    Attributes:
        group: such as a lesion id; the column's name is part of it.
        lesion: the same where the column is one of lesions, not of known copies or patients.
        label: the diagnosis in the table's own words.
        group_column: its name in the table, or "".
        label_column: likewise.
        unmatched: how many rows name no file of the folder.
    """

    group: dict[str, str] = field(default_factory=dict)
    lesion: dict[str, str] = field(default_factory=dict)
    label: dict[str, str] = field(default_factory=dict)
    group_column: str = ""
    label_column: str = ""
    unmatched: int = 0


def read_table(path: Path, items: Sequence[Item]) -> Told:
    """Read a CSV file with one row a picture.

    A row is matched with a file by the whole name, the file's name, or that without its suffix;
    case does not count.

    Raises:
        DataError: the table cannot be read, has no column for the file or nothing beside it, or
            none of its rows names a file of the folder.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = [column for column in reader.fieldnames or [] if column]
            rows = list(reader)
    except OSError as error:
        msg = f"The table {path} cannot be read: {error.strerror or error}."
        raise DataError(msg) from error
    except (csv.Error, UnicodeDecodeError) as error:
        msg = f"{path} is not a table in CSV form ({error}); export it as CSV in UTF-8."
        raise DataError(msg) from error
    file_column = _first(FILE_COLUMNS, columns)
    told = Told(
        group_column=_first(GROUP_COLUMNS, columns), label_column=_first(LABEL_COLUMNS, columns)
    )
    if not file_column or not (told.group_column or told.label_column):
        msg = (
            f"{path} has the columns {', '.join(columns) or '(none)'}; it needs one for the file "
            f"({', '.join(FILE_COLUMNS)}) and one of {', '.join(GROUP_COLUMNS + LABEL_COLUMNS)}."
        )
        raise DataError(msg)
    files = _by_spelling(items)
    for row in rows:
        names = files.get((row[file_column] or "").lower(), [])
        told.unmatched += not names
        for name in names:
            if told.group_column and row[told.group_column]:
                told.group[name] = f"{told.group_column} {row[told.group_column]}"
                if told.group_column.lower().strip() in LESION_COLUMNS:
                    told.lesion[name] = told.group[name]
            if told.label_column and row[told.label_column]:
                told.label[name] = row[told.label_column]
    if not told.group and not told.label:
        msg = f"No row of {path} names a picture of this folder by its column {file_column}."
        raise DataError(msg)
    return told


def _by_spelling(items: Sequence[Item]) -> dict[str, list[str]]:
    files: dict[str, list[str]] = defaultdict(list)
    for item in items:
        for spelling in {item.name, item.path.name, item.path.stem}:
            files[spelling.lower()].append(item.name)
    return files


def _first(known: Sequence[str], columns: Sequence[str]) -> str:
    by_lower = {column.lower().strip(): column for column in reversed(columns)}
    return next((by_lower[name] for name in known if name in by_lower), "")
