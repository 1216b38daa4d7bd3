"""A whole installation for the tests: ``make run`` as a process of its own, and what it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skinapp.runtime.supervisor import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 90.0
_NOT_INHERITED = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "MAKELEVEL")


def bare_environment() -> dict[str, str]:
    """Return the environment without the servers of the test session."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}


def wait_until(true: Callable[[], bool], *, what: str, seconds: float = PATIENCE) -> None:
    """Wait until something holds; fail with ``what`` when it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.05)


def birth_of(pid: int) -> str:
    """Return when a process was started, in the kernel's ticks; empty when it does not run."""
    try:
        words = (Path("/proc") / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2]
    except OSError:
        return ""
    fields = words.split()
    return "" if fields[0] in "ZX" else fields[19]


def descendants(root: int) -> dict[int, str]:
    """Return every process below ``root`` with its birth, so that a reused number is no match."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text(encoding="utf-8")
            except OSError:
                continue
            parents[int(entry.name)] = int(text.rpartition(")")[2].split()[1])
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return {pid: birth for pid in family - {root} if (birth := birth_of(pid))}


def still_running(family: dict[int, str]) -> list[int]:
    """Return those of ``family`` that run."""
    return [pid for pid, birth in family.items() if birth_of(pid) == birth]


@dataclass
class Installation:
    """A supervisor under test.

    Attributes:
        folder: its ``--var``.
        port: the port it was asked for.
        process: the supervisor, once started.
    """

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """Return what it has printed since it was last started."""
        path = self.folder.with_suffix(".out")
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    @property
    def pid(self) -> int:
        """Return the supervisor's process number."""
        assert self.process is not None
        return self.process.pid

    def start(self, *, stdout: int | None = None) -> None:
        """Start it and wait until it says that it is ready (or, with ``stdout``, answers)."""
        # A killed run's.
        (self.folder / "address").unlink(missing_ok=True)
        with self.folder.with_suffix(".out").open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "skinapp.runtime", "run", "--patients=0"),
                    *(f"--var={self.folder}", f"--port={self.port}"),
                ],
                cwd=ROOT,
                env=bare_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output if stdout is None else stdout,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def up() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.output
            return (self.folder / "address").is_file()

        wait_until(up, what=f"the application is up: {self.output}")

    @property
    def address(self) -> str:
        """Return where its pages are."""
        return (self.folder / "address").read_text(encoding="utf-8")

    def member(self, name: str) -> int | None:
        """Return the process number of a member by what its command line says; None without one."""
        mark = {
            "web": b"skinapp.wsgi:application",
            "worker": b"\0worker\0",
            "beat": b"\0beat\0",
            "postgres": str(self.folder / "postgres").encode(),
            "valkey": b"valkey-server",
        }[name]
        for pid in sorted(descendants(self.pid)):
            place = Path("/proc") / str(pid)
            try:
                parent = place.joinpath("stat").read_text(encoding="utf-8").rpartition(")")[2]
                command = place.joinpath("cmdline").read_bytes()
            except OSError:
                # It ended between the two looks.
                continue
            if int(parent.split()[1]) == self.pid and mark in command:
                return pid
        return None

    def stop(self, sign: int = signal.SIGTERM) -> None:
        """Ask it to stop, and wait until it has."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(sign)
        self.process.wait(PATIENCE)

    def kill(self) -> None:
        """Kill the supervisor itself, and nothing else."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
