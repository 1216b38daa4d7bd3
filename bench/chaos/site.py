"""A throw-away installation on this machine whose parts can be killed one by one."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg2

from skinapp.runtime.children import end_group, free_socket, start, stop
from skinapp.runtime.commands import supervised_commands
from skinapp.runtime.servers import start_postgres, start_valkey
from skinapp.runtime.supervisor import ROOT

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

_NOT_OURS = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "CELERY_BROKER_URL")
_START_SECONDS = 120.0
# Small, so that lost work comes back within the run: in a hospital they are 150 s and 10 s.
_PACE = {
    "ANALYSIS_LEASE_SECONDS": "8",
    "ANALYSIS_BACKOFF_SECONDS": "1,2,4",
    "ANALYSIS_SWEEP_SECONDS": "2",
    # One person sends everything.
    "UPLOAD_REQUESTS_PER_MINUTE": "100000",
}


@dataclass
class Site:
    """PostgreSQL, Valkey, web, workers and beat.

    Start and stop it, and each of its parts, from the main thread: the kernel ends a process when
    the thread that started it ends.

    Attributes:
        folder: for everything it keeps.
        workers: how many worker processes there are.
        releases: the folder of the networks; by default the shipped ones.
        megabytes: how large the disk of the images is, where one can be mounted.
        mounted: whether the images lie on a small file system of their own.
        pace: settings, as words of the environment, that make losses come back soon.
    """

    folder: Path
    workers: int = 2
    releases: Path | None = None
    megabytes: int = 128
    environment: dict[str, str] = field(default_factory=dict)
    mounted: bool = False
    pace: dict[str, str] = field(default_factory=_PACE.copy)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    database_url: str = ""
    redis_url: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _listener: socket.socket | None = None
    _commands: dict[str, list[str]] = field(default_factory=dict)
    # How long each log was when its process was started.
    _said: dict[str, int] = field(default_factory=dict)

    @property
    def media(self) -> Path:
        """Where the images lie."""
        return self.folder / "media"

    @property
    def full(self) -> Path:
        """The file that says that the disk is full, where none could be mounted."""
        return self.folder / "disk-is-full"

    @property
    def address(self) -> str:
        """Where its pages are."""
        assert self._listener is not None  # noqa: S101 - for the type checker: it was started
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def worker_names(self) -> list[str]:
        """The names of its workers."""
        return [f"worker{number}" for number in range(self.workers)]

    def start(
        self, *, patients: int, mount: bool = True, members: Sequence[str] | None = None
    ) -> None:
        """Start everything and wait until the first page is answered, if there is a web server.

        Args:
            patients: how many patients to register.
            mount: try to give the images a small file system of their own.
            members: which parts to start beside the servers; all by default.

        Raises:
            RuntimeError: it does not come up.
        """
        self.folder.chmod(0o711)
        self.media.mkdir()
        self.mounted = mount and _mount(self.media, self.megabytes)
        self.database_url, self.processes["postgres"] = start_postgres(self.folder)
        self.redis_url, self.processes["valkey"] = start_valkey(self.folder)
        self.environment = self._environment()
        self._prepare(patients)
        self._listener = free_socket()
        # Whoever calls while web is started again waits, as with ``make run``.
        self._listener.listen(128)
        commands = supervised_commands(self._listener.fileno())
        for name in self.worker_names:
            self._commands[name] = [*commands["worker"], f"--hostname={name}@chaos"]
        self._commands |= {"web": commands["web"], "beat": commands["beat"]}
        chosen = self._commands.keys() if members is None else members
        for name in chosen:
            self.launch(name)
        if "web" in chosen:
            self.await_web()

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
        own = {
            "DJANGO_SETTINGS_MODULE": "bench.chaos.settings",
            "SKINAPP_VAR": str(self.folder),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "MEDIA_ROOT": str(self.media),
            "DEMO_PASSWORD": self.password,
            "PYTHONUNBUFFERED": "1",
        }
        if self.releases is not None:
            own["MLCORE_RELEASES"] = str(self.releases)
        if not self.mounted:
            own["CHAOS_FULL"] = str(self.full)
        return inherited | self.pace | own

    def _prepare(self, patients: int) -> None:
        self.finish([sys.executable, "-m", "bench.chaos.prepare", str(patients)])

    def finish(self, command: Sequence[str], *, legal: tuple[int, ...] = (0,)) -> str:
        """Run a program of the installation to its end and return what it printed.

        Raises:
            RuntimeError: it ended with another status than the ``legal`` ones.
        """
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode not in legal:
            msg = f"{command} ended with {done.returncode}: {done.stderr[-2000:]}"
            raise RuntimeError(msg)
        return done.stdout

    def manage(self, *arguments: str, legal: tuple[int, ...] = (0,)) -> str:
        """Run a ``manage.py`` command."""
        return self.finish([sys.executable, str(ROOT / "manage.py"), *arguments], legal=legal)

    def launch(self, name: str) -> None:
        """Start web, beat or a worker."""
        keep = [self._listener.fileno()] if self._listener and name == "web" else []
        log = self.log(name)
        self._said[name] = log.stat().st_size if log.exists() else 0
        self.processes[name] = start(
            self._commands[name],
            environment=self.environment,
            folder=ROOT,
            log=log,
            keep=keep,
        )

    def await_worker(self, name: str) -> None:
        """Wait until a worker takes up work.

        One that still starts has no handler yet: the signal that asks it to stop ends it at once.

        Raises:
            RuntimeError: it does not.
        """
        deadline = time.monotonic() + _START_SECONDS
        while b" ready." not in self.log(name).read_bytes()[self._said.get(name, 0) :]:
            if time.monotonic() > deadline:
                msg = f"{name} does not take up work; see {self.log(name)}."
                raise RuntimeError(msg)
            time.sleep(0.1)

    def log(self, name: str) -> Path:
        """Return where a part writes its words."""
        return self.folder / f"{name}.log"

    def kill(self, name: str) -> None:
        """End a part and its children as a power cut would."""
        self.processes[name].kill()
        end_group(self.processes[name])
        self.processes[name].wait()

    def restart_postgres(self) -> None:
        """Start PostgreSQL again where its clients know it."""
        port = urlsplit(self.database_url).port
        _url, self.processes["postgres"] = start_postgres(self.folder, port=port)

    def restart_broker(self) -> None:
        """Start Valkey again where its clients know it."""
        _url, self.processes["valkey"] = start_valkey(self.folder, url=self.redis_url)

    def connect(self) -> Any:
        """Return a connection to the database that commits each statement.

        Raises:
            psycopg2.OperationalError: it does not answer.
        """
        connection: Any = psycopg2.connect(self.database_url, connect_timeout=5)
        connection.autocommit = True
        return connection

    def ask(self, statement: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows that a statement gives."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                rows: list[tuple[Any, ...]] = cursor.fetchall()
                return rows
        finally:
            connection.close()

    def await_web(self) -> None:
        """Wait until web answers.

        Raises:
            RuntimeError: it does not.
        """
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"{self.address}/healthz", timeout=30).close()  # noqa: S310 - our own address
                return
        msg = f"Web does not answer; see {self.log('web')}."
        raise RuntimeError(msg)

    def stop_gently(self, name: str, *, seconds: float = 90.0) -> int:
        """Ask a part to stop, wait for it, and return its exit status; -9 when it does not."""
        process = self.processes[name]
        stop(process, sign=signal.SIGTERM, seconds=seconds)
        return int(process.returncode)

    def stop(self) -> None:
        """End everything and give the disk back."""
        for name in [*self._commands, "valkey", "postgres"]:
            if name in self.processes:
                sign = signal.SIGINT if name == "postgres" else signal.SIGTERM
                stop(self.processes[name], sign=sign, seconds=20)
        if self._listener is not None:
            self._listener.close()
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.media)], check=True)


def _mount(place: Path, megabytes: int) -> bool:
    """Mount a file system of that size in memory, if this machine lets us."""
    program = shutil.which("mount")
    if program is None or os.geteuid() != 0 or not sys.platform.startswith("linux"):
        return False
    options = f"size={megabytes}m,mode=0700"
    done = subprocess.run(
        [program, "-t", "tmpfs", "-o", options, "skinapp-chaos", str(place)],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def new_folder() -> Path:
    """Return an empty folder for an installation."""
    return Path(tempfile.mkdtemp(prefix="skinapp-chaos-"))
