"""Child processes: their ports, their signals, their end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from skinapp.runtime import children
from tests.runtime.installations import birth_of, descendants, still_running, wait_until

if TYPE_CHECKING:
    from pathlib import Path

SLEEP = "import time; time.sleep(600)"


def test_a_taken_port_is_passed_over() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert children.free_port(taken) > taken


def test_a_held_port_cannot_be_taken() -> None:
    with children.free_socket() as held:
        held.listen()
        port = held.getsockname()[1]
        assert children.free_port(port) != port
    assert children.free_port(port) == port


def test_no_free_port_is_said_with_what_to_do() -> None:
    with children.free_socket() as held:
        held.listen()
        with pytest.raises(OSError, match="name another: PORT="):
            children.free_port(held.getsockname()[1], tries=1)


def test_output_goes_to_the_log_or_to_the_caller(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "import sys; print('out', flush=True); print('err', file=sys.stderr)"
    first = children.start([sys.executable, "-c", script], log=log)
    first.wait()
    assert log.read_text(encoding="utf-8") == "out\nerr\n"
    second = children.start([sys.executable, "-c", script], log=log, pipe=True)
    assert second.stdout is not None
    with second.stdout as lines:
        assert lines.read() == b"out\n"
    second.wait()
    assert log.read_text(encoding="utf-8") == "out\nerr\nerr\n"
    for process in (first, second):
        children.stop(process, sign=signal.SIGTERM, seconds=1)


def test_a_child_ignores_no_signal_that_its_parent_ignores(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = (
        "import signal; print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "
        "signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    )
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        process = children.start([sys.executable, "-c", script], log=log)
    finally:
        signal.signal(signal.SIGTERM, before)
    process.wait()
    children.stop(process, sign=signal.SIGTERM, seconds=1)
    assert log.read_text(encoding="utf-8") == "True False\n"


def test_a_stubborn_child_and_its_children_are_killed() -> None:
    script = (
        "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"subprocess.run([sys.executable, '-c', {SLEEP!r}])"
    )
    process = children.start([sys.executable, "-c", script])
    wait_until(lambda: len(descendants(process.pid)) == 1, what="the grandchild runs")
    family = descendants(process.pid)
    children.stop(process, sign=signal.SIGTERM, seconds=0.2)
    assert process.returncode == -signal.SIGKILL
    wait_until(lambda: not still_running(family), what="the grandchild is gone", seconds=10)


def test_stopping_what_has_ended_is_no_fault() -> None:
    process = children.start([sys.executable, "-c", ""])
    process.wait()
    children.stop(process, sign=signal.SIGTERM, seconds=1)
    children.tell(process, signal.SIGTERM)
    assert process.returncode == 0


def test_whatever_nobody_stopped_is_stopped_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    # The servers of this very session are children of this process too.
    monkeypatch.setattr(children, "_started", [])
    process = children.start([sys.executable, "-c", SLEEP])
    children.stop_rest(seconds=5)
    assert process.returncode == -signal.SIGTERM


# PR_SET_PDEATHSIG has no counterpart elsewhere; there the next start ends what was left behind.
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of the death")
def test_a_child_ends_when_its_parent_is_killed() -> None:
    script = (
        "import sys, time; from skinapp.runtime.children import start; "
        f"print(start([sys.executable, '-c', {SLEEP!r}]).pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout as lines:
        child = int(lines.readline())
    assert birth_of(child)
    parent.kill()
    parent.wait()
    wait_until(lambda: not birth_of(child), what="the child has ended", seconds=10)


def test_the_parent_keeps_its_own_signal_mask() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    process = children.start([sys.executable, "-c", ""])
    process.wait()
    children.stop(process, sign=signal.SIGTERM, seconds=1)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    assert os.getpid() != process.pid
