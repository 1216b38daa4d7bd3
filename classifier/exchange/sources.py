"""Where old images come from: a ZIP archive or a folder of this machine, with one table (CSV).

Nothing is unpacked to a disk and no name of an archive is used as a path of this machine: a file is
a name that the table says and bytes that are read, never more than an upload may have.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import stat
import unicodedata
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Protocol

from django.conf import settings
from django.utils.translation import gettext as _

from classifier.cells import as_written
from classifier.services.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_TABLE = 5 * 1024 * 1024
_ENCRYPTED = 0x1
_UTF8_NAME = 0x800
_PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
COLUMNS = (
    "patient_number",
    "name",
    "birth_date",
    "lesion",
    "lesion_site",
    "taken",
    "modality",
    "file",
)
_NEEDED = {"patient_number", "modality", "file"}
_MOST_CELL = 300


class Source(Protocol):
    """Files by name, and the table among them."""

    def table(self) -> bytes:
        """Return the table's bytes."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes; RuleError says why it cannot be had."""


class ZipSource:
    """An archive that somebody sent.

    Args:
        opened: its bytes, seekable.

    Raises:
        RuleError: it is no archive, encrypted, or has too many entries.
    """

    def __init__(self, opened: IO[bytes]) -> None:
        try:
            self._archive = zipfile.ZipFile(opened)
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise RuleError(_("This is not a ZIP archive, or it is damaged. Pack it anew.")) from (
                error
            )
        entries = [entry for entry in self._archive.infolist() if not entry.is_dir()]
        if len(entries) > settings.IMPORT_MAX_ENTRIES:
            raise RuleError(
                _("The archive holds more than %(most)d files. Send it in parts.")
                % {"most": settings.IMPORT_MAX_ENTRIES}
            )
        if any(entry.flag_bits & _ENCRYPTED for entry in entries):
            raise RuleError(_("The archive is encrypted. Pack it without a password."))
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            for name in _names(entry):
                self._entries.setdefault(name, entry)

    def table(self) -> bytes:
        """Return the only CSV file at the top.

        Raises:
            RuleError: there is none, or more than one, or it is too large.
        """
        tops = {entry.filename: entry for entry in self._entries.values()}
        return self._bytes(
            tops[_only_table([name for name in tops if "/" not in name])], _MOST_TABLE
        )

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            RuleError: its name leaves the archive, it is not there, a link, too large or damaged.
        """
        entry = self._entries.get(_plain_name(name))
        if entry is None:
            raise RuleError(_("The archive holds no file of this name."))
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise RuleError(_("This is a link, not a file. Pack the picture itself."))
        return self._bytes(entry, settings.INTAKE_MAX_BYTES)

    def _bytes(self, entry: zipfile.ZipInfo, most: int) -> bytes:
        if entry.compress_type not in _PACKED:
            raise RuleError(_("This file is packed in an unusual way. Pack it as plain ZIP."))
        try:
            with self._archive.open(entry) as opened:
                # What the archive says of the size is not believed.
                data = opened.read(most + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
            raise RuleError(_("This file is damaged inside the archive. Pack it anew.")) from error
        if len(data) > most:
            raise RuleError(_("This file is too large."))
        return data


class FolderSource:
    """A folder of this machine, for whoever runs commands on it.

    Raises:
        RuleError: there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise RuleError(_("There is no such folder."))
        self._folder = folder

    def table(self) -> bytes:
        """Return the only CSV file at the top.

        Raises:
            RuleError: there is none, or more than one, or it is too large.
        """
        names = [each.name for each in self._folder.iterdir() if each.is_file()]
        return self._bytes(_only_table(names), _MOST_TABLE)

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            RuleError: its name leaves the folder, it is not there, a link, or too large.
        """
        return self._bytes(_plain_name(name), settings.INTAKE_MAX_BYTES)

    def _bytes(self, name: str, most: int) -> bytes:
        # Each part of the name is opened below the one before, and none may be a link.
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in name.split("/"):
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                below = os.open(part, flags, dir_fd=handle)
                os.close(handle)
                handle = below
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise RuleError(_("This is not a file."))
            with os.fdopen(os.dup(handle), "rb") as opened:
                data = opened.read(most + 1)
        except FileNotFoundError as error:
            raise RuleError(_("The folder holds no file of this name.")) from error
        except OSError as error:
            raise RuleError(_("This is a link, or cannot be read.")) from error
        finally:
            os.close(handle)
        if len(data) > most:
            raise RuleError(_("This file is too large."))
        return data


def rows_of(table: bytes) -> list[dict[str, str]]:
    """Return the lines of a table as {column: text}; unknown columns are left out.

    Comma, semicolon and tab are taken for what parts the columns. UTF-8 and, with its mark, UTF-16
    are read; any other encoding is refused, because a guess would spoil names. A file of refused
    lines may come back with the apostrophes that keep a spreadsheet from running it.

    Raises:
        RuleError: it cannot be read, a needed column is missing, or it is empty or too long.
    """
    lines = list(_lines(_decoded(table)))
    if not lines:
        raise RuleError(_("The table is empty."))
    head = [cell.strip().casefold().replace(" ", "_") for cell in lines[0]]
    missing = sorted(_NEEDED - set(head))
    if missing:
        raise RuleError(
            _("The table lacks the column %(columns)s. Its first line names the columns: %(all)s.")
            % {"columns": ", ".join(missing), "all": ", ".join(COLUMNS)}
        )
    if len(set(head)) < len(head):
        raise RuleError(_("The table has two columns of one name."))
    if len(lines) - 1 > settings.IMPORT_MAX_ROWS:
        raise RuleError(
            _("The table has more than %(most)d lines. Send it in parts.")
            % {"most": settings.IMPORT_MAX_ROWS}
        )
    return [
        {
            name: as_written(cell.strip())[:_MOST_CELL]
            for name, cell in zip(head, line, strict=False)
            if name in COLUMNS
        }
        for line in lines[1:]
    ]


def digest_of(opened: IO[bytes]) -> str:
    """Return the SHA-256 of a file, in hexadecimal, and go back to its beginning."""
    opened.seek(0)
    found = hashlib.file_digest(opened, "sha256").hexdigest()  # type: ignore[arg-type]  # any file
    opened.seek(0)
    return found


def _lines(text: str) -> Iterator[list[str]]:
    head = text.partition("\n")[0]
    parted = max(",;\t", key=head.count)
    try:
        yield from (
            line for line in csv.reader(io.StringIO(text, newline=""), delimiter=parted) if line
        )
    except csv.Error as error:
        raise RuleError(_("The table is damaged. Save it anew as CSV.")) from error


def _decoded(table: bytes) -> str:
    wide = table.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = table.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise RuleError(
            _("The table is not written in UTF-8. Save it as “CSV UTF-8” and send it again.")
        ) from error
    if "\x00" in text:
        raise RuleError(_("The table is damaged. Save it anew as CSV."))
    return text


def _only_table(names: list[str]) -> str:
    tables = [name for name in names if name.casefold().endswith(".csv")]
    if len(tables) != 1:
        raise RuleError(
            _("There must be one CSV file beside the pictures; there are %(count)d.")
            % {"count": len(tables)}
        )
    return tables[0]


def _names(entry: zipfile.ZipInfo) -> Iterator[str]:
    """Yield the ways to read an entry's name: packers often write UTF-8 without saying so."""
    if not entry.flag_bits & _UTF8_NAME:
        with contextlib.suppress(UnicodeError):
            yield _normal(entry.filename.encode("cp437").decode("utf-8"))
    yield _normal(entry.filename)


def _plain_name(name: str) -> str:
    """Return a name from the table as archives write it.

    Raises:
        RuleError: it is empty or leads out of the archive.
    """
    plain = _normal(name)
    parts = plain.split("/")
    if not plain or plain.startswith("/") or ":" in parts[0] or {"", ".", ".."} & set(parts):
        raise RuleError(_("The file's name is empty or leads out of the archive."))
    return plain


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/"))
