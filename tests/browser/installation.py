"""A whole installation of its own, started as ``make run`` starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skinapp.runtime.leftovers import MARK
from skinapp.runtime.supervisor import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_START_SECONDS = 90.0
_STOP_SECONDS = 40.0
# What would point the installation at somebody else's servers or settings.
_OURS = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "DEMO_PASSWORD")


class InstallationError(RuntimeError):
    """The installation did not come up; the message carries the end of its words."""


@dataclass(frozen=True)
class Installation:
    """A running installation.

    Attributes:
        address: of the web server, without a slash at the end.
        password: of the demo accounts.
        folder: its ``var``.
    """

    address: str
    password: str
    folder: Path

    def manage(self, *arguments: str) -> str:
        """Run a ``manage.py`` command on its data and return what it printed."""
        command = [sys.executable, "-m", "skinapp.runtime", "manage", "--var", str(self.folder)]
        done = subprocess.run(
            [*command, *arguments],
            cwd=ROOT,
            env=_own_environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    @contextmanager
    def resting_workers(self) -> Iterator[None]:
        """Let its workers answer nothing meanwhile: they are faster than a page is opened."""
        mark = f"{MARK}={self.folder}".encode()
        workers = [
            int(place.name)
            for place in Path("/proc").glob("[0-9]*")
            if b"worker" in _read(place / "cmdline").split(b"\0")
            and mark in _read(place / "environ").split(b"\0")
        ]
        assert workers
        try:
            for pid in workers:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)


def _read(path: Path) -> bytes:
    """Return a file's bytes; of a process that has ended, none."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


@contextmanager
def running_installation(
    folder: Path, *, port: int = 8400, settings: Mapping[str, str] | None = None
) -> Iterator[Installation]:
    """Start an installation in an empty folder, and stop it at the end.

    Args:
        folder: its ``var``; it may not exist yet.
        port: the wished-for port; the next free one is taken.
        settings: words of its environment.

    Raises:
        InstallationError: it ended, or did not answer in time.
    """
    command = [sys.executable, "-m", "skinapp.runtime", "run", "--var", str(folder)]
    folder.mkdir(parents=True, exist_ok=True)
    words = folder / "supervisor.log"
    with words.open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=ROOT,
            env=_own_environment() | dict(settings or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _await_ready(process, words)
        yield Installation(
            address=(folder / "address").read_text(encoding="utf-8").strip(),
            password=(folder / "demo.password").read_text(encoding="utf-8").strip(),
            folder=folder,
        )
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _OURS}


def _await_ready(process: subprocess.Popen[bytes], words: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if "ready." in words.read_text(encoding="utf-8", errors="replace"):
            return
        time.sleep(0.1)
    tail = "\n".join(words.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
    msg = f"The installation is not ready:\n{tail}"
    raise InstallationError(msg)
