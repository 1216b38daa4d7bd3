"""An archive of any size is written and read piece by piece, and one of before is read as well."""

from __future__ import annotations

import io
import json
import tarfile
import tracemalloc
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.base import ContentFile
from django.db import connection

from classifier.models import Image
from classifier.services import backups
from classifier.services.backup_archive import ArchiveWriter, BackupError, verify_backup
from classifier.services.backups import make_backup, restore_backup
from tests import factories
from tests.web.uploaded import stored_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.conf import LazySettings

    from tests.conftest import Cast

Parts = list[tuple[str, bytes]]


def parts_of(archive: Path) -> Parts:
    """Return what an archive holds."""
    with tarfile.open(archive) as opened:
        bodies = [(member.name, opened.extractfile(member)) for member in opened]
        return [(name, body.read()) for name, body in bodies if body is not None]


def archive_of(parts: Parts, target: Path) -> Path:
    """Write an archive of these parts, whatever they are."""
    with tarfile.open(target, "w") as opened:
        for name, data in parts:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            opened.addfile(header, io.BytesIO(data))
    return target


def as_before(parts: Parts) -> Parts:
    """Return the parts as format 1 had them: all entries in the manifest."""
    held = dict(parts)
    lines = [json.loads(line) for line in held["entries.txt"].splitlines()]
    manifest = json.loads(held["manifest.json"])
    former = {name: manifest[name] for name in ("made_at", "migrations", "gone")} | {
        "format": 1,
        "entries": {line.pop("name"): line for line in lines},
    }
    body = json.dumps(former, indent=1).encode()
    return [*(part for part in parts if part[0] in former["entries"]), ("manifest.json", body)]


@pytest.fixture
def whole(cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an archive of two images; PostgreSQL's programs are not asked."""
    for _image in range(2):
        factories.make_image(cast.patient, cast.owner)

    def run(program: str, *arguments: str, feed: object = ()) -> None:
        for argument in arguments:
            if program == "pg_dump" and argument.startswith("--file="):
                Path(argument.removeprefix("--file=")).write_bytes(b"rows")

    @contextmanager
    def snapshot() -> Iterator[tuple[str, Any]]:
        yield "now", connection

    monkeypatch.setattr(backups, "_run", run)
    monkeypatch.setattr(backups, "_snapshot", snapshot)
    monkeypatch.setattr(backups, "_empty_database", lambda: None)
    summary = make_backup(target=tmp_path / "whole.tar")
    assert summary.files == 6
    return tmp_path / "whole.tar"


@pytest.mark.parametrize("former", [False, True])
def test_an_archive_of_either_format_gives_its_files_back(
    whole: Path, tmp_path: Path, settings: LazySettings, former: bool
) -> None:
    parts = parts_of(whole)
    assert [name for name, _data in parts[-2:]] == ["entries.txt", "manifest.json"]
    assert [name for name, _data in parts[1:-2]] == sorted(name for name, _data in parts[1:-2])
    archive = archive_of(as_before(parts), tmp_path / "before.tar") if former else whole
    assert verify_backup(archive=archive)["format"] == (1 if former else 2)
    before = {path: path.read_bytes() for path in stored_files(settings)}
    for path in before:
        path.write_bytes(b"other")
    summary = restore_backup(archive=archive, replace=True)
    assert (summary.files, summary.size) == (6, sum(map(len, before.values())) + len(b"rows"))
    assert {path: path.read_bytes() for path in stored_files(settings)} == before


def swapped(parts: Parts) -> Parts:
    """Return the first two files in each other's place."""
    return [parts[0], parts[2], parts[1], *parts[3:]]


@pytest.mark.parametrize("former", [False, True])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda parts: [(parts[0][0], b"other"), *parts[1:]],
        lambda parts: parts[1:],
        lambda parts: [*parts[:2], *parts[3:]],
        lambda parts: [*parts[:2], parts[1], *parts[2:]],
        lambda parts: [*parts[:2], ("media/more.jpg", b"x"), *parts[2:]],
        lambda parts: [*parts[:2], ("more", b"x"), *parts[2:]],
        lambda parts: [*parts, ("media/more.jpg", b"x")],
        lambda parts: [*parts[:-1], ("manifest.json", b"[]")],
        lambda parts: [*parts[:-1], ("manifest.json", b'{"format": 3}')],
        lambda parts: [*parts[:-1], ("manifest.json", b'{"format": 2}')],
        lambda parts: [*parts[:-1], ("manifest.json", b'{"format": 1}')],
        lambda parts: [*parts[:-1], ("entries.txt", b""), parts[-1]],
        swapped,
    ],
)
def test_whatever_is_not_as_it_was_written_is_refused(
    whole: Path, tmp_path: Path, former: bool, spoil: Callable[[Parts], Parts]
) -> None:
    parts = as_before(parts_of(whole)) if former else parts_of(whole)
    with pytest.raises(BackupError):
        verify_backup(archive=archive_of(spoil(parts), tmp_path / "spoilt.tar"))


def test_the_first_part_that_was_changed_is_named(whole: Path, tmp_path: Path) -> None:
    parts = parts_of(whole)
    name = parts[3][0]
    for each in (parts, as_before(parts)):
        spoilt = [*each[:3], (name, b"other"), *each[4:]]
        with pytest.raises(BackupError, match=f"'{name}' first"):
            verify_backup(archive=archive_of(spoilt, tmp_path / "spoilt.tar"))


def test_names_are_read_once_each_and_in_order(whole: Path) -> None:
    first, second = Image.objects.order_by("pk")
    # A name that two rows share, and characters that a language would sort otherwise.
    Image.objects.filter(pk=first.pk).update(thumbnail=second.display.name, display="images/Z")
    names = list(backups._named(connection))
    assert names == sorted(set(names))
    assert len(names) == 5


def peak(work: Callable[[], object]) -> int:
    """Return the most bytes that a piece of work holds at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    def write(count: int) -> None:
        with (
            tarfile.open(tmp_path / f"{count}.tar", "w") as archive,
            (tmp_path / "lines").open("w+b") as lines,
        ):
            writer = ArchiveWriter(archive, lines)
            writer.add("database.dump", io.BytesIO(b"rows"), 4)
            for number in range(count):
                writer.add(f"media/{number:09}", ContentFile(b"x"), 1)
            writer.finish(made_at="now", migrations=[], gone=[])

    few, many = 200, 4_000
    for work in (write, lambda count: verify_backup(archive=tmp_path / f"{count}.tar")):
        work(few)
        grown = peak(lambda work=work: work(many)) - peak(lambda work=work: work(few))  # type: ignore[misc]
        # It was 1 600 bytes a file.
        assert grown < 20 * (many - few)
