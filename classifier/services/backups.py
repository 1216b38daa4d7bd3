"""One archive of everything: the database and the files its rows name, of one moment.

What it is made of stands in :mod:`classifier.services.backup_archive`. Rows and files agree because
the list of files and the dump come from one snapshot, and a stored file is never changed. Files
come from and go to the storage of the settings, a folder or an object store, one after the other:
an archive that was made with one can be restored into the other, and no more than one picture is
held in memory, nor a list of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.models import FileField
from django.utils import timezone

from classifier.models import Clinic, Image, Patient, User
from classifier.services.backup_archive import (
    DUMP,
    MEDIA,
    ArchiveWriter,
    BackupError,
    chunks,
    parts,
    verify_backup,
)
from classifier.services.backup_folder import workplace
from classifier.services.postgres_programs import connection_environment, find_program
from classifier.storage import sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


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
    dump = place / DUMP
    # Names and lines lie in files: a million of them would be gigabytes of memory.
    with (place / "names").open("w+") as names, (place / "lines").open("w+b") as lines:
        with _snapshot() as (snapshot, own):
            _run("pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--file={dump}")
            names.writelines(json.dumps(name) + "\n" for name in _named(own))
        names.seek(0)
        writer = ArchiveWriter(archive, lines)
        with dump.open("rb") as opened:
            writer.add(DUMP, opened, dump.stat().st_size)
        dump.unlink()
        gone = []
        for name in map(json.loads, names):
            try:
                with default_storage.open(name, "rb") as stored:
                    writer.add(MEDIA + name, stored, stored.size)
            except FileNotFoundError:
                gone.append(name)
        _refuse_losses(gone)
        made_at = timezone.now().isoformat(timespec="seconds")
        writer.finish(made_at=made_at, migrations=_applied(), gone=gone)
    return Summary(made_at, writer.files, writer.size, len(gone))


def _refuse_losses(gone: list[str]) -> None:
    """Refuse a backup that lacks files which rows still name.

    An erasure takes rows and files away together, an import's end a name and its archive; any
    other gap is a loss.

    Raises:
        BackupError: there is one.
    """
    missing = set(gone)
    if missing and (lost := [name for name in _named(connection) if name in missing]):
        msg = f"{len(lost)} files of rows are missing, {lost[0]} first. See check_integrity."
        raise BackupError(msg)


def _applied() -> list[str]:
    return sorted(".".join(key) for key in MigrationLoader(connection).applied_migrations)


@contextmanager
def _snapshot() -> Iterator[tuple[str, Any]]:
    """Hold a moment of the database; yields its name and a connection that sees it."""
    own: Any = connections.create_connection("default")
    try:
        own.set_autocommit(False)
        with own.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            cursor.execute("SELECT pg_export_snapshot()")
            (name,) = cursor.fetchone()
        yield name, own
    finally:
        own.rollback()
        own.close()


def _named(own: Any) -> Iterator[str]:
    """Yield the names of all stored files, each once, in the order of their characters."""
    quote = own.ops.quote_name
    asked = [
        f"SELECT {quote(field.column)} AS name FROM {quote(model._meta.db_table)}"  # noqa: S608 - our own names
        f" WHERE {quote(field.column)} <> ''"
        for model in apps.get_models()
        for field in model._meta.local_fields
        if isinstance(field, FileField) and model._meta.managed
    ]
    names = f"SELECT name FROM ({' UNION '.join(asked)}) AS named"  # noqa: S608 - likewise
    # Fetched in pieces.
    with own.chunked_cursor() as cursor:
        cursor.execute(f'{names} ORDER BY name COLLATE "C"')
        for (name,) in cursor:
            yield name


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
    _program("pg_restore")
    _empty_database()
    with tarfile.open(archive, "r:") as opened:
        for name, body in parts(opened):
            if name == DUMP:
                _run(
                    "pg_restore",
                    *("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"),
                    # That on an extension is its owner's to write, who may be somebody else.
                    "--no-comments",
                    f"--dbname={connection.settings_dict['NAME']}",
                    feed=chunks(body),
                )
                # Not before: pictures that are gone while their rows are, too, are gone for good.
                _empty_storage("")
            else:
                default_storage.save(name.removeprefix(MEDIA), File(body))
    missing = [name for name in _named(connection) if not default_storage.exists(name)]
    if unexplained := sorted(set(missing) - set(manifest["gone"])):
        msg = f"{len(unexplained)} files of rows are missing after all, {unexplained[0]} first."
        raise BackupError(msg)
    return Summary(
        str(manifest["made_at"]), manifest["files"], manifest["bytes"], len(manifest["gone"])
    )


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
