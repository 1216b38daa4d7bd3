"""A backup that is killed leaves patients' data behind, and the next one removes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from django.core.management import call_command

from classifier.services.backup_folder import workplace
from skinapp.runtime.supervisor import ROOT
from tests.jobs.processes import database_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Cast

_PATIENCE = 60.0


@contextmanager
def waiting_backup(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a backup and yield it when it has begun to write; it can go no further."""
    own: Any = psycopg2.connect(database_url())
    # pg_dump waits for this table, having made its file.
    own.cursor().execute("LOCK TABLE django_session IN ACCESS EXCLUSIVE MODE")
    process = subprocess.Popen(
        [sys.executable, "manage.py", "backup", str(folder)],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database_url()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + _PATIENCE
        while not list(folder.rglob("database.dump")):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()
        own.close()


def names(folder: Path) -> list[str]:
    """Return what lies in a folder, whatever it is."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.timeout(300)
def test_only_whole_archives_are_left_by_a_backup_after_one_that_was_killed(
    transactional_db: None, cast: Cast, tmp_path: Path
) -> None:
    with waiting_backup(tmp_path) as killed:
        killed.send_signal(signal.SIGKILL)
        killed.wait(_PATIENCE)
    assert len(names(tmp_path)) == 1
    call_command("backup", str(tmp_path / "whole.tar"))
    assert names(tmp_path) == ["whole.tar"]


@pytest.mark.timeout(300)
def test_a_backup_that_is_told_to_stop_removes_what_it_has_written(
    transactional_db: None, cast: Cast, tmp_path: Path
) -> None:
    with waiting_backup(tmp_path) as stopped:
        stopped.terminate()
        # Docker waits for ten seconds; nor does it wait for PostgreSQL's program.
        assert stopped.wait(8) == 128 + signal.SIGTERM
        assert names(tmp_path) == []


def test_a_backup_at_work_is_left_alone(tmp_path: Path) -> None:
    with workplace(tmp_path) as first:
        (first / "database.dump").write_bytes(b"rows")
        with workplace(tmp_path) as second:
            assert names(tmp_path) == sorted([first.name, second.name])
            assert first.stat().st_mode & 0o777 == 0o700
        assert (first / "database.dump").read_bytes() == b"rows"
    assert names(tmp_path) == []


def test_what_versions_before_left_goes_once_nobody_touches_it(tmp_path: Path) -> None:
    for age in (10, 7200):
        draft, place = tmp_path / f".skinapp-{age}.tar.part", tmp_path / f".backup-{age}"
        place.mkdir()
        for path in (draft, place / "database.dump", place):
            if path != place:
                path.write_bytes(b"rows")
            os.utime(path, times=(time.time() - age,) * 2)
    (tmp_path / "skinapp-old.tar").write_bytes(b"archive")
    with workplace(tmp_path) as place:
        assert names(tmp_path) == sorted(
            [".backup-10", ".skinapp-10.tar.part", "skinapp-old.tar", place.name]
        )
