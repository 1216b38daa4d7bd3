"""What an archive of a backup is made of, and whether it still is what was written.

A tar file of ``database.dump`` (PostgreSQL's custom format), ``media/…`` in the order of their
names, ``entries.txt`` with a line of JSON for each of them (name, SHA-256, bytes), and, last,
``manifest.json`` with the SHA-256 of those lines. A line is written and compared as its part passes
by: memory does not grow with the number of pictures.

Archives of format 1 have all entries in the manifest and no lines. They are read as well.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from django.utils import timezone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from django.core.files import File

FORMAT = 2
# With its entries in the manifest.
_FIRST_FORMAT = 1
DUMP, MEDIA = "database.dump", "media/"
_ENTRIES, _MANIFEST = "entries.txt", "manifest.json"
_CHUNK = 1024 * 1024
# That of a million pictures in format 1.
_MOST_MANIFEST = 1024**3


class BackupError(Exception):
    """A backup cannot be made or restored; the message says why and what to do."""


class ArchiveWriter:
    """Adds parts to an archive, and a line about each.

    Attributes:
        files: how many stored files were added.
        size: bytes of all parts.
    """

    def __init__(self, archive: tarfile.TarFile, lines: IO[bytes]) -> None:
        """Begin.

        Args:
            archive: an empty one.
            lines: an empty file that can be read back.
        """
        self.files = 0
        self.size = 0
        self._archive = archive
        self._lines = lines

    def add(self, name: str, opened: IO[bytes] | File[bytes], size: int) -> None:
        """Add a part of so many bytes."""
        digest = self._put(name, opened, size)
        self._lines.write(_line(name, digest, size))
        self.size += size
        self.files += name.startswith(MEDIA)

    def finish(self, **facts: Any) -> None:
        """Add the lines and the manifest."""
        length = self._lines.tell()
        self._lines.seek(0)
        manifest = {
            "format": FORMAT,
            **facts,
            "files": self.files,
            "bytes": self.size,
            "entries": {"sha256": self._put(_ENTRIES, self._lines, length), "bytes": length},
        }
        body = json.dumps(manifest, indent=1).encode()
        self._put(_MANIFEST, io.BytesIO(body), len(body))

    def _put(self, name: str, opened: IO[bytes] | File[bytes], size: int) -> str:
        header = tarfile.TarInfo(name)
        header.size = size
        header.mode = 0o600
        header.mtime = int(timezone.now().timestamp())
        reader = _Hashing(opened)
        self._archive.addfile(header, reader)
        # Only of use for reading back; with a million files it would be a gigabyte.
        self._archive.members.clear()  # type: ignore[attr-defined] # the stubs leave it out
        return reader.sha256.hexdigest()


class _Hashing:
    """Passes a file on and hashes it on the way."""

    def __init__(self, opened: IO[bytes] | File[bytes]) -> None:
        self._opened = opened
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._opened.read(size)
        self.sha256.update(data)
        return data


def parts(opened: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and content of the database's dump and of each stored file.

    Args:
        opened: an archive that was verified.
    """
    for member in _members(opened):
        if member.name == DUMP or member.name.startswith(MEDIA):
            body = opened.extractfile(member)
            assert body is not None  # noqa: S101 - verified
            yield member.name, body


def chunks(body: IO[bytes]) -> Iterator[bytes]:
    """Yield a content in pieces."""
    while chunk := body.read(_CHUNK):
        yield chunk


def verify_backup(*, archive: Path) -> dict[str, Any]:
    """Read an archive from end to end and return its manifest, whose totals are right.

    Raises:
        BackupError: it is no archive of ours, or a byte of it was changed.
    """
    try:
        seen = _look_through(archive)
        manifest = seen.manifest
        if manifest.get("format") == FORMAT:
            if not seen.fits():
                name = _first_changed(archive)
                msg = f"{archive} is not as it was written, {name!r} first."
                raise BackupError(msg)
        elif manifest.get("format") == _FIRST_FORMAT:
            _verify_first_format(archive, seen)
        else:
            msg = f"{archive} has no manifest that this version knows; it may have been cut off."
            raise BackupError(msg)
    except (tarfile.TarError, ValueError, LookupError, TypeError, OSError) as error:
        msg = f"{archive} cannot be read as a backup: {error}"
        raise BackupError(msg) from error
    return manifest | {"files": seen.files, "bytes": seen.size}


@dataclass
class _Seen:
    """What passed by."""

    manifest: dict[str, Any] = field(default_factory=dict)
    entries: dict[str, Any] = field(default_factory=dict)
    lines: Any = field(default_factory=hashlib.sha256)
    last: str = ""
    in_order: bool = True
    files: int = 0
    size: int = 0

    def add(self, name: str, digest: str, size: int) -> None:
        """Take a part up."""
        self.lines.update(_line(name, digest, size))
        # The dump once and first; no file twice.
        follows = name.startswith(MEDIA) and name > self.last
        self.in_order &= follows if self.last else name == DUMP
        self.last = name
        self.files += name.startswith(MEDIA)
        self.size += size

    def fits(self) -> bool:
        """Tell whether everything is as the manifest says."""
        told = self.manifest
        return (
            bool(self.last)
            and self.in_order
            and self.entries == told["entries"]
            and self.lines.hexdigest() == told["entries"]["sha256"]
            and (self.files, self.size) == (told["files"], told["bytes"])
        )


def _look_through(archive: Path) -> _Seen:
    seen = _Seen()
    with tarfile.open(archive, "r:") as opened:
        for member in _members(opened):
            body = opened.extractfile(member) if member.isreg() else None
            over = seen.manifest or (seen.entries and member.name != _MANIFEST)
            if body is None or over:
                msg = f"{archive} holds {member.name!r}, which no backup does."
                raise BackupError(msg)
            if member.name == _MANIFEST:
                seen.manifest = dict(json.loads(body.read(_MOST_MANIFEST)))
            elif member.name == _ENTRIES:
                seen.entries = {"sha256": _digest(body), "bytes": member.size}
            else:
                seen.add(member.name, _digest(body), member.size)
    return seen


def _first_changed(archive: Path) -> str:
    """Return the name of the first part that is not as its line says."""
    with tarfile.open(archive, "r:") as told, tarfile.open(archive, "r:") as opened:
        lines: IO[bytes] | None = None
        for member in _members(told):
            if member.name == _ENTRIES:
                lines = told.extractfile(member)
                break
        for name, body in parts(opened):
            digest, size = hashlib.sha256(), 0
            for chunk in chunks(body):
                digest.update(chunk)
                size += len(chunk)
            if lines is None or lines.readline() != _line(name, digest.hexdigest(), size):
                return name
    return _ENTRIES


def _verify_first_format(archive: Path, seen: _Seen) -> None:
    """Compare an archive whose manifest holds all entries; they are held in memory."""
    entries = dict(seen.manifest["entries"])
    if not seen.in_order or DUMP not in entries or seen.entries:
        msg = f"{archive} does not hold what backups do."
        raise BackupError(msg)
    with tarfile.open(archive, "r:") as opened:
        for name, body in parts(opened):
            size = body.seek(0, io.SEEK_END)
            body.seek(0)
            if entries.pop(name, None) != {"sha256": _digest(body), "bytes": size}:
                msg = f"{archive} is not as it was written, {name!r} first."
                raise BackupError(msg)
    if entries:
        msg = f"{len(entries)} parts of {archive} are missing, {sorted(entries)[:1]} first."
        raise BackupError(msg)


def _line(name: str, digest: str, size: int) -> bytes:
    return json.dumps({"name": name, "sha256": digest, "bytes": size}).encode() + b"\n"


def _digest(body: IO[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks(body):
        digest.update(chunk)
    return digest.hexdigest()


def _members(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members in their order; unlike ``TarFile`` itself, keep none of them."""
    while (member := opened.next()) is not None:
        opened.members.clear()  # type: ignore[attr-defined] # the stubs leave it out
        yield member
