"""Real processes for the tests of the job: a broker, workers, beat."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from django.db import connection

from skinapp.runtime.children import start, stop

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from celery import Task

ROOT = Path(__file__).resolve().parent.parent.parent
_PATIENCE = 60.0


def wait_until(true: Callable[[], bool], what: str, *, seconds: float = _PATIENCE) -> None:
    """Wait for something to become true.

    Raises:
        AssertionError: it does not within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.05)


@dataclass
class OwnBroker:
    """A Valkey of one test."""

    url: str
    process: subprocess.Popen[bytes]

    def suspend(self) -> None:
        """Let it keep its connections and answer nobody."""
        self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """End it, suspended or not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        stop(self.process, sign=signal.SIGTERM, seconds=5)


@dataclass
class Worker:
    """A running ``celery worker`` with the child processes that do its work."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        """Return what it wrote so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def children(self) -> list[int]:
        """Return the process numbers of its pool."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text(encoding="ascii").split()]

    def everybody(self, sign: int) -> None:
        """Send a signal to the worker and its pool at once."""
        os.killpg(self.process.pid, sign)

    def kill_all(self) -> None:
        """End the worker and its pool as a power cut would."""
        self.everybody(signal.SIGKILL)
        self.process.wait()


def database_url() -> str:
    """Return the address of the database that the test itself uses."""
    facts = connection.settings_dict
    user = f"{quote(facts['USER'])}:{quote(facts['PASSWORD'], safe='')}"
    return f"postgres://{user}@{facts['HOST']}:{facts['PORT']}/{facts['NAME']}"


@dataclass
class Cluster:
    """Starts processes the way ``make run`` does, on the test's own servers and files."""

    broker_url: str
    media: Path
    releases: Path
    logs: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environment(self, **extra: str) -> dict[str, str]:
        """Return the environment of a process."""
        return (
            os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "skinapp.settings.local",
                "SECRET_KEY": "only-for-tests-" + "y" * 40,
                "DATABASE_URL": database_url(),
                "REDIS_URL": self.broker_url,
                "MEDIA_ROOT": str(self.media),
                "MLCORE_RELEASES": str(self.releases),
                "ANALYSIS_LEASE_SECONDS": "60",
                "ANALYSIS_BACKOFF_SECONDS": "0",
                "ANALYSIS_SWEEP_SECONDS": "1",
                "PYTHONUNBUFFERED": "1",
            }
            | extra
        )

    def start_worker(self, **extra: str) -> Worker:
        """Start a worker and wait until it takes messages."""
        log = self.logs / f"worker-{len(self.processes)}.log"
        worker = Worker(
            self._start(
                [
                    "worker",
                    "--queues=analysis,maintenance,reruns",
                    "--loglevel=INFO",
                    "--without-gossip",
                ],
                log,
                **extra,
            ),
            log,
        )
        wait_until(lambda: " ready." in worker.said(), f"a worker; see {log}")
        return worker

    def send(self, task: Task[..., None]) -> None:
        """Send a message by itself, as the web server or beat would."""
        # Celery keeps connections of its own open, which belong to the broker of another test.
        with task.app.connection_for_write() as connection:
            task.apply_async(connection=connection)  # type: ignore[call-arg]  # see wake_worker

    def start_beat(self) -> None:
        """Start beat, which sends the sweep."""
        schedule = f"--schedule={self.logs / 'beat-schedule'}"
        self._start(["beat", schedule, "--pidfile=", "--loglevel=INFO"], self.logs / "beat.log")

    def _start(self, arguments: list[str], log: Path, **extra: str) -> subprocess.Popen[bytes]:
        process = start(
            [sys.executable, "-m", "celery", f"--workdir={ROOT}", "-A", "skinapp", *arguments],
            environment=self.environment(**extra),
            log=log,
        )
        self.processes.append(process)
        return process

    def end(self) -> None:
        """End everything that still runs, suspended or not."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
