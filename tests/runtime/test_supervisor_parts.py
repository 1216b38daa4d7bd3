"""What the supervisor is made of: back-off, lock, password, its words on a closed window."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from skinapp.runtime import __main__ as command
from skinapp.runtime import leftovers, prepare, supervisor
from skinapp.runtime.children import start
from skinapp.runtime.servers import ServerError
from skinapp.runtime.supervisor import ROOT, AlreadyRunningError, Member, Supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings


class Clock:
    """A monotonic clock that only moves when told."""

    now = 1000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(supervisor, "time", found)
    return found


def dead() -> subprocess.Popen[bytes]:
    """Start a process that ends at once, and wait for it."""
    process = start([sys.executable, "-S", "-c", ""])
    process.wait()
    return process


def test_what_keeps_dying_is_started_ever_later(clock: Clock) -> None:
    member = Member("web", dead)
    member.start()
    pauses = []
    for _time in range(9):
        member.tend()
        assert member.due is not None
        pauses.append(member.due - clock.now)
        clock.now = member.due - 0.01
        member.tend()
        assert member.due is not None
        clock.now += 0.02
        member.tend()
        assert member.due is None
    assert pauses == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 30])


def test_what_ran_for_a_while_is_started_soon(clock: Clock) -> None:
    member = Member("web", dead, pause=16.0)
    member.start()
    clock.now += 61
    member.tend()
    assert member.due == pytest.approx(clock.now + 0.5)


def test_a_failing_start_is_said_and_tried_again(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> subprocess.Popen[bytes]:
        raise ServerError("no disk")

    member = Member("postgres", fail, due=clock.now)
    member.tend()
    assert capsys.readouterr().out == "skinapp: postgres could not be started: no disk\n"
    assert member.due == pytest.approx(clock.now + 0.5)


def test_the_lock_names_who_holds_it(tmp_path: Path) -> None:
    assert supervisor.supervised_by(tmp_path) is None
    with (tmp_path / "run.lock").open("w", encoding="utf-8") as lock:
        lock.write("4711")
        lock.flush()
        assert supervisor.supervised_by(tmp_path) is None
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert supervisor.supervised_by(tmp_path) == "4711"
        second = Supervisor(tmp_path)
        with pytest.raises(AlreadyRunningError, match=r"process 4711, starting\)"):
            second._take_lock()
    second._take_lock()
    assert supervisor.supervised_by(tmp_path) == str(os.getpid())
    assert second._lock is not None
    second._lock.close()


def test_a_given_demo_password_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_PASSWORD", "given by a person")
    assert Supervisor(tmp_path).demo_password() == "given by a person"
    monkeypatch.delenv("DEMO_PASSWORD")
    assert Supervisor(tmp_path).demo_password() == "given by a person"
    # A kill between making and filling the file.
    (tmp_path / "demo.password").write_text("", encoding="utf-8")
    assert len(Supervisor(tmp_path).demo_password()) == 12


def test_a_long_log_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_LOG_BYTES", 10)
    log = Supervisor(tmp_path)._log("web")
    log.write_text("short", encoding="utf-8")
    assert Supervisor(tmp_path)._log("web").read_text(encoding="utf-8") == "short"
    log.write_text("long enough", encoding="utf-8")
    assert not Supervisor(tmp_path)._log("web").exists()
    assert (tmp_path / "logs" / "web.log.1").read_text(encoding="utf-8") == "long enough"


def test_nobody_reading_is_no_fault() -> None:
    """``make run | head`` ends its reader first; what is said later must not break the stop."""
    script = (
        "from skinapp.runtime.terminal import say; import sys\n"
        "sys.stdin.readline()\nsay('one')\nsay('two')\nsys.exit(5)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _nothing, errors = process.communicate(b"\n", timeout=30)
    assert process.returncode == 5
    assert errors == b""


def test_a_stranger_is_no_leftover(tmp_path: Path) -> None:
    """Another folder's process, and a person's own command in this one, are left alone."""
    other = {**os.environ, leftovers.MARK: str(tmp_path / "other")}
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"],
        stdin=subprocess.PIPE,
        cwd=tmp_path,
        env=other,
    )
    try:
        assert leftovers.find_leftovers(tmp_path) == {}
        assert process.pid in leftovers.find_leftovers(tmp_path / "other")
    finally:
        process.communicate(b"\n")


def test_a_leftover_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "_POLITE_SECONDS", 0.5)
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", script],
        env={**os.environ, leftovers.MARK: str(tmp_path)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout as lines:
        lines.readline()
    assert leftovers.end_leftovers(tmp_path) == 1
    assert process.wait(10) == -9


@pytest.mark.parametrize("arguments", [["manage", "check"], ["manage", "--var", "/nowhere", "x"]])
def test_manage_needs_something_that_runs(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["runtime", *arguments])
    assert command.main() == 1
    assert capsys.readouterr().err == "skinapp: nothing runs here; start it with make run.\n"


def test_without_releases_it_says_that_uploads_wait(
    tmp_path: Path, settings: LazySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.MLCORE_RELEASES = tmp_path
    prepare._register()
    said = capsys.readouterr().out
    assert said.startswith(
        f"there is no trained network in {tmp_path}: uploads are taken in and wait"
    )
