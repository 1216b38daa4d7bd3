"""One archive of everything: the database and the files its rows name, of one moment.

A tar file of ``database.dump`` (PostgreSQL's custom format), ``media/…`` and, last,
``manifest.json`` with the SHA-256 of each. Rows and files agree because the list of files and the
dump come from one snapshot, and a stored file is never changed. Files come from and go to the
storage of the settings, a folder or an object store, one after the other: an archive that was made
with one can be restored into the other, and no more than one picture is held in memory.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from django.apps import apps
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.models import FileField
from django.utils import timezone

from classifier.models import Clinic, Image, Patient, User
from classifier.services.backup_folder import workplace
from classifier.services.postgres_programs import connection_environment, find_program
from classifier.storage import sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FORMAT = 1
_DUMP, _MEDIA, _MANIFEST = "database.dump", "media/", "manifest.json"
_CHUNK = 1024 * 1024
_MOST_MANIFEST = 1024**3


class BackupError(Exception):
    """A backup cannot be made or restored; the message says why and what to do."""


@dataclass(frozen=True)
class Summary:
    """What is in an archive.

    Attributes:
        made_at: ISO 8601, UTC.
        files: how many stored files.
        size: bytes of the database's dump and the files together.
        gone: files that went while the archive was made: of a patient who was erased, or the
            archive of an import that was over.
    """

    made_at: str
    files: int
    size: int
    gone: int = 0


def make_backup(*, target: Path) -> Summary:
    """Write an archive; the application may go on working meanwhile.

    Args:
        target: the archive's path, which may not exist yet. It is readable by its owner only.

    Raises:
        BackupError: the path is taken, a file of a row is missing, or PostgreSQL's program fails.
    """
    if target.exists():
        msg = f"{target} exists already. Name another file."
        raise BackupError(msg)
    with workplace(target.parent) as place:
        draft = place / "archive.tar"
        handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as opened:
            with tarfile.open(fileobj=opened, mode="w") as archive:
                summary = _fill(archive, place)
            opened.flush()
            os.fsync(opened.fileno())
        draft.rename(target)
        sync(target.parent)
    return summary


def _fill(archive: tarfile.TarFile, place: Path) -> Summary:
    entries: dict[str, dict[str, Any]] = {}
    dump = place / _DUMP
    with _snapshot() as (snapshot, names):
        _run("pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--file={dump}")
    with dump.open("rb") as opened:
        _add(archive, entries, _DUMP, opened, dump.stat().st_size)
    dump.unlink()
    gone = []
    for name in names:
        try:
            with default_storage.open(name, "rb") as stored:
                _add(archive, entries, _MEDIA + name, stored, stored.size)
        except FileNotFoundError:
            gone.append(name)
    # An erasure takes rows and files away together, an import's end a name and its archive; any
    # other gap is a loss.
    if lost := sorted(set(gone) & set(_named(connection))):
        msg = f"{len(lost)} files of rows are missing, {lost[0]} first. See check_integrity."
        raise BackupError(msg)
    manifest = {
        "format": FORMAT,
        "made_at": timezone.now().isoformat(timespec="seconds"),
        "migrations": _applied(),
        "gone": gone,
        "entries": entries,
    }
    body = json.dumps(manifest, indent=1).encode()
    archive.addfile(_header(_MANIFEST, len(body)), io.BytesIO(body))
    size = sum(int(entry["bytes"]) for entry in entries.values())
    return Summary(str(manifest["made_at"]), len(entries) - 1, size, len(gone))


def _applied() -> list[str]:
    return sorted(".".join(key) for key in MigrationLoader(connection).applied_migrations)


@contextmanager
def _snapshot() -> Iterator[tuple[str, list[str]]]:
    """Hold a moment of the database; yields its name and the files that rows name in it."""
    own: Any = connections.create_connection("default")
    try:
        own.set_autocommit(False)
        with own.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            cursor.execute("SELECT pg_export_snapshot()")
            (name,) = cursor.fetchone()
        yield name, _named(own)
    finally:
        own.rollback()
        own.close()


def _named(own: Any) -> list[str]:
    """Return the names of all stored files, sorted."""
    found: set[str] = set()
    quote = own.ops.quote_name
    with own.cursor() as cursor:
        for model in apps.get_models():
            for field in model._meta.local_fields:
                if isinstance(field, FileField) and model._meta.managed:
                    column, table = quote(field.column), quote(model._meta.db_table)
                    cursor.execute(f"SELECT {column} FROM {table} WHERE {column} <> ''")  # noqa: S608 - our own names
                    found.update(name for (name,) in cursor.fetchall())
    return sorted(found)


def _add(
    archive: tarfile.TarFile,
    entries: dict[str, dict[str, Any]],
    name: str,
    opened: IO[bytes] | File[bytes],
    size: int,
) -> None:
    reader = _Hashing(opened)
    archive.addfile(_header(name, size), reader)
    # Only of use for reading back; with a million files it would be a gigabyte.
    archive.members.clear()  # type: ignore[attr-defined] # the stubs leave it out
    entries[name] = {"sha256": reader.sha256.hexdigest(), "bytes": size}


def _header(name: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size = size
    header.mode = 0o600
    header.mtime = int(timezone.now().timestamp())
    return header


class _Hashing:
    """Passes a file on and hashes it on the way."""

    def __init__(self, opened: IO[bytes] | File[bytes]) -> None:
        self._opened = opened
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._opened.read(size)
        self.sha256.update(data)
        return data


def verify_backup(*, archive: Path) -> dict[str, Any]:
    """Read an archive from end to end and return its manifest.

    Raises:
        BackupError: it is no archive of ours, or a byte of it was changed.
    """
    found: dict[str, dict[str, Any]] = {}
    manifest: dict[str, Any] | None = None
    try:
        with tarfile.open(archive, "r:") as opened:
            for member in _members(opened):
                body = opened.extractfile(member) if member.isreg() else None
                if body is None or member.name in found or manifest is not None:
                    raise BackupError(f"{archive} holds {member.name!r}, which no backup does.")  # noqa: EM102 - one place
                if member.name == _MANIFEST:
                    manifest = json.loads(body.read(_MOST_MANIFEST))
                    continue
                digest = hashlib.sha256()
                for chunk in _chunks(body):
                    digest.update(chunk)
                found[member.name] = {"sha256": digest.hexdigest(), "bytes": member.size}
    except (tarfile.TarError, ValueError, OSError) as error:
        msg = f"{archive} cannot be read as a backup: {error}"
        raise BackupError(msg) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        msg = f"{archive} has no manifest that this version knows; it may have been cut off."
        raise BackupError(msg)
    entries = manifest["entries"]
    wrong = sorted(
        name for name in entries.keys() | found.keys() if entries.get(name) != found.get(name)
    )
    if wrong or _DUMP not in entries:
        msg = f"{len(wrong)} parts of {archive} are not as they were written, {wrong[:1]} first."
        raise BackupError(msg)
    return manifest


def restore_backup(*, archive: Path, replace: bool = False) -> Summary:
    """Put an archive's database and files in place of this instance's.

    Everything is verified before anything is touched. Web, workers and beat must not run meanwhile.

    Args:
        archive: what :func:`make_backup` wrote.
        replace: throw away what this instance holds. Otherwise it must hold nothing.

    Raises:
        BackupError: the archive is damaged or of a newer version, the instance holds data, or
            PostgreSQL's program fails.
    """
    manifest = verify_backup(archive=archive)
    known = {".".join(key) for key in MigrationLoader(None).disk_migrations}
    if newer := sorted(
        name for name in manifest["migrations"] if name not in known and "classifier." in name
    ):
        msg = f"The backup is of a newer version of the application ({newer[0]}). Install that."
        raise BackupError(msg)
    if not replace and (held := _what_is_held()):
        msg = f"This instance holds {held}. Restore into an empty one, or give --replace."
        raise BackupError(msg)
    names = [name for name in manifest["entries"] if name.startswith(_MEDIA)]
    _program("pg_restore")
    _empty_database()
    with tarfile.open(archive, "r:") as opened:
        for member in _members(opened):
            body = opened.extractfile(member)
            assert body is not None  # noqa: S101 - verified above
            if member.name == _DUMP:
                _run(
                    "pg_restore",
                    *("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"),
                    # That on an extension is its owner's to write, who may be somebody else.
                    "--no-comments",
                    f"--dbname={connection.settings_dict['NAME']}",
                    feed=_chunks(body),
                )
                # Not before: pictures that are gone while their rows are, too, are gone for good.
                _empty_storage("")
            elif member.name.startswith(_MEDIA):
                default_storage.save(member.name.removeprefix(_MEDIA), File(body))
    missing = [name for name in _named(connection) if not default_storage.exists(name)]
    if unexplained := sorted(set(missing) - set(manifest["gone"])):
        msg = f"{len(unexplained)} files of rows are missing after all, {unexplained[0]} first."
        raise BackupError(msg)
    size = sum(int(entry["bytes"]) for entry in manifest["entries"].values())
    return Summary(str(manifest["made_at"]), len(names), size, len(manifest["gone"]))


def _empty_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone() == (True,):
            cursor.execute("DROP SCHEMA public CASCADE")
            cursor.execute("CREATE SCHEMA public")
        else:
            # The extension vector, which only a superuser could make again, is not ours and stays.
            cursor.execute("DROP OWNED BY CURRENT_USER")
    connection.close()


def _program(name: str) -> str:
    path = find_program(name)
    if path is None:
        msg = f"There is no {name}. Install PostgreSQL's client programs."
        raise BackupError(msg)
    return path


def _members(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members in their order; unlike ``TarFile`` itself, keep none of them."""
    while (member := opened.next()) is not None:
        opened.members.clear()  # type: ignore[attr-defined] # the stubs leave it out
        yield member


def _chunks(body: IO[bytes]) -> Iterator[bytes]:
    while chunk := body.read(_CHUNK):
        yield chunk


def _what_is_held() -> str:
    """Return what this instance holds, in words; empty for nothing."""
    tables = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        # A freshly migrated instance knows its networks already, and has noted that.
        for model in (Clinic, User, Patient, Image):
            table = model._meta.db_table
            if table not in tables:
                continue
            cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {connection.ops.quote_name(table)})")  # noqa: S608 - our own name
            row = cursor.fetchone()
            if row is not None and row[0]:
                return f"rows of {model._meta.verbose_name_plural}"
    return "stored files" if _has_files("") else ""


def _has_files(folder: str) -> bool:
    try:
        folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return False
    return bool(files) or any(_has_files(os.path.join(folder, each)) for each in folders)  # noqa: PTH118 - a storage's name


def _empty_storage(folder: str) -> None:
    try:
        folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    for each in files:
        default_storage.delete(os.path.join(folder, each))  # noqa: PTH118 - a storage's name
    for each in folders:
        _empty_storage(os.path.join(folder, each))  # noqa: PTH118 - likewise


def _run(program: str, *arguments: str, feed: Iterable[bytes] = ()) -> None:
    """Run one of PostgreSQL's programs on this instance's database.

    Args:
        program: its name.
        arguments: of its command line.
        feed: what it reads from its standard input.

    Raises:
        BackupError: there is none, or it fails.
    """
    path = _program(program)
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 - PostgreSQL's own program
            [path, *arguments],
            env=connection_environment(connection.settings_dict),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
        ) as process,
    ):
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            # One that ends early says why itself.
            with suppress(BrokenPipeError):
                for chunk in feed:
                    process.stdin.write(chunk)
            with suppress(BrokenPipeError):
                process.stdin.close()
            status = process.wait()
        except BaseException:
            # Whoever stops us does not wait until it is done.
            process.kill()
            raise
        if status != 0:
            said.seek(0)
            words = said.read().decode(errors="replace").strip()[-500:]
            msg = f"{program} failed: {words}"
            raise BackupError(msg)
