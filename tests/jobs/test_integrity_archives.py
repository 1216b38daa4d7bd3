"""Archives of old images: one too many is found and swept, a lost one ends its import only."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from classifier.choices import ImportEnd, ImportState
from classifier.exchange import import_work
from classifier.exchange.importing import start
from classifier.models import AuditEvent, Image, ImportRun, IntegrityRun
from classifier.services.integrity_runs import go_on, open_run
from classifier.tasks import imports
from classifier.tasks.imports import run_imports_task
from tests.exchange.imported import HEAD, packed, sent, through
from tests.jobs.test_integrity import age, check
from tests.web.uploaded import picture_bytes

if TYPE_CHECKING:
    from tests.conftest import Cast


def an_import(cast: Cast, number: int) -> ImportRun:
    """Send an archive of one picture."""
    table = f"{HEAD}N-{number},Ada {number},,,,,clinical,a.jpg\n"
    return sent(cast, packed(table, {"a.jpg": picture_bytes(number)}))


def path_of(run: ImportRun) -> Path:
    return Path(default_storage.path(run.archive.name or ""))


def test_an_archive_that_no_import_needs_is_found_and_swept_after_its_time(cast: Cast) -> None:
    run = an_import(cast, 1)
    assert check() == (0, check()[1])
    assert check()[1]["looked_at"] == {"archives": 1}
    # What a process leaves that is killed between the commit and the removal, or the reverse.
    for name in (f"imports/{run.pk}.zip", f"imports/{run.pk}.0123abcd.zip", "imports/notes.txt"):
        default_storage.save(name, ContentFile(b"names patients"))
    Path(default_storage.path("imports/deep")).mkdir()
    assert check("--sweep")[1]["counts"] == {"file_unknown": 1}
    for path in path_of(run).parent.glob("*.*"):
        age(path, 25)
    _status, report = check()
    assert {(row["code"], row["subject"]) for row in report["findings"]} == {
        ("file_orphan", f"imports/{run.pk}.zip"),
        ("file_orphan", f"imports/{run.pk}.0123abcd.zip"),
        ("file_unknown", "imports/notes.txt"),
        ("file_unknown", "imports/deep/"),
    }
    # Removed is what we made ourselves, and not what an import needs, however old.
    _status, report = check("--sweep")
    assert (report["swept"], report["counts"]) == (2, {"file_unknown": 2})
    assert default_storage.exists(run.archive.name or "")
    assert default_storage.exists("imports/notes.txt")


def test_archives_of_imports_that_earlier_versions_finished_go(
    transactional_db: None, cast: Cast
) -> None:
    run = an_import(cast, 1)
    path = path_of(run)
    ImportRun.objects.update(state=ImportState.FINISHED, finished_at=run.created_at)
    assert check()[1]["counts"] == {}
    _status, report = check("--grace-hours=0")
    assert report["counts"] == {"file_orphan": 1}
    assert check("--sweep", "--grace-hours=0")[1]["swept"] == 1
    assert not path.exists()
    assert ImportRun.objects.get().archive.name == ""


def test_an_import_without_its_archive_is_found_and_ended_at_night(cast: Cast) -> None:
    run = an_import(cast, 1)
    through(run)
    path_of(run).unlink()
    status, report = check()
    assert (status, report["counts"]) == (1, {"file_missing": 1})
    assert report["findings"][0]["subject"] == run.archive.name
    assert go_on(open_run(), seconds=600)
    assert IntegrityRun.objects.get().counts == {"file_missing": 1}
    run.refresh_from_db()
    assert (run.state, run.ended_for) == (ImportState.ENDED, ImportEnd.LOST)
    page = cast.client_of(cast.administrator).get(run.get_absolute_url()).content.decode()
    assert "The archive is missing or damaged" in page
    assert check()[0] == 0


@pytest.mark.parametrize("damage", ["missing", "damaged", "empty"])
def test_a_lost_archive_ends_its_own_import_and_stops_no_other(cast: Cast, damage: str) -> None:
    lost, other = an_import(cast, 1), an_import(cast, 2)
    for run in (lost, other):
        through(run)
        start(run=run, by=cast.administrator)
    whole = path_of(lost).read_bytes()
    if damage == "missing":
        path_of(lost).unlink()
    else:
        path_of(lost).write_bytes(whole[:-30] if damage == "damaged" else b"")
    for _ in range(2):
        run_imports_task()
    for run in (lost, other):
        run.refresh_from_db()
    assert (lost.state, lost.ended_for) == (ImportState.ENDED, ImportEnd.LOST)
    assert AuditEvent.objects.get(action="import.ended").subject_id == str(lost.pk)
    assert (other.state, Image.objects.count()) == (ImportState.FINISHED, 1)
    # Sent again, it goes on where it was.
    again = sent(cast, io.BytesIO(whole))
    assert (again.pk, again.state, again.ended_for) == (lost.pk, ImportState.CHECKING, "")
    through(again)
    start(run=again, by=cast.administrator)
    again.refresh_from_db()
    through(again)
    assert Image.objects.count() == 2


def test_an_archive_that_cannot_be_read_now_is_tried_again_and_stops_no_other(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, other = an_import(cast, 1), an_import(cast, 2)
    sent_on: list[int] = []

    def failing(run: ImportRun, **options: Any) -> bool:
        if run == broken:
            raise OSError(5, "Input/output error")
        return import_work.go_on(run, **options)

    monkeypatch.setattr(imports, "go_on", failing)
    monkeypatch.setattr(run_imports_task, "apply_async", lambda **_options: sent_on.append(1))
    run_imports_task()
    for run in (broken, other):
        run.refresh_from_db()
    assert (broken.state, other.state) == (ImportState.CHECKING, ImportState.CHECKED)
    assert f"import {broken.pk} cannot go on now" in caplog.text
    # The schedule tries it again; a message of its own would be tried without a pause.
    run_imports_task()
    assert sent_on == []

    def too_long(_run: ImportRun, **_options: Any) -> bool:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(imports, "go_on", too_long)
    with pytest.raises(SoftTimeLimitExceeded):
        run_imports_task()


def test_a_fault_of_the_disk_is_no_damaged_archive(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = an_import(cast, 1)
    path_of(run).unlink()
    path_of(run).mkdir()
    with pytest.raises(IsADirectoryError):
        through(run)
    run.refresh_from_db()
    assert run.state == ImportState.CHECKING


def test_a_backup_names_the_archive_that_is_missing(
    transactional_db: None, cast: Cast, tmp_path: Path
) -> None:
    run = an_import(cast, 1)
    name = run.archive.name or ""
    path_of(run).unlink()
    with pytest.raises(CommandError, match=f"1 files of rows are missing, {name}"):
        call_command("backup", str(tmp_path / "archive.tar"))
    # That is what the sentence goes on with.
    assert check("--sweep")[1]["counts"] == {"file_missing": 1}
    call_command("backup", str(tmp_path / "archive.tar"))
