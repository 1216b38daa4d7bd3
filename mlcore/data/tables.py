"""Reading the tables that come with the public sets."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class DataError(ValueError):
    """The image sets are not laid out as expected; the message names what and what to do."""


def rows_of(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file, every one with these columns.

    Raises:
        DataError: it cannot be read, is no CSV in UTF-8, or lacks a column or a cell.
    """
    again = "put the published table back"
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
    except OSError as error:
        msg = f"The table {path} cannot be read: {error.strerror or error}."
        raise DataError(msg) from error
    except (csv.Error, UnicodeDecodeError) as error:
        msg = f"{path} is no table in CSV form ({error}); {again}."
        raise DataError(msg) from error
    if missing:
        msg = f"{path} has no column {', '.join(missing)}; {again}."
        raise DataError(msg)
    for number, row in enumerate(rows, start=2):
        if any(row[column] is None for column in columns):
            msg = f"{path} is cut short in line {number}; {again}."
            raise DataError(msg)
    return rows
