"""Keeping the processes of one installation alive, and ending them all together."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from skinapp.runtime.children import free_port, start, stop
from skinapp.runtime.servers import (
    Servers,
    start_postgres,
    start_servers,
    start_valkey,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent.parent
# A process that keeps dying is started again ever later, up to this many seconds.
_LONGEST_PAUSE = 30.0
_STABLE_SECONDS = 60.0
_WEB_SECONDS = 60.0
_TICK = 0.25
_STOP_SECONDS = 15.0


class AlreadyRunningError(RuntimeError):
    """Another supervisor holds this folder."""


@dataclass
class Member:
    """One supervised process.

    Attributes:
        name: as shown and as its log is called.
        launch: starts it and returns the process.
        process: what runs now.
        started: when, on the monotonic clock.
        pause: how long to wait before the next start.
        due: when it may be started again; None while it runs.
    """

    name: str
    launch: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = 0.5
    due: float | None = None

    def start(self) -> None:
        """Start the process."""
        self.process = self.launch()
        self.started = time.monotonic()
        self.due = None

    def tend(self) -> None:
        """Start the process again if it died, after a pause that grows while it keeps dying."""
        now = time.monotonic()
        if self.due is not None:
            if now >= self.due:
                self.start()
            return
        if self.process is None or self.process.poll() is None:
            return
        if now - self.started > _STABLE_SECONDS:
            self.pause = 0.5
        say(f"{self.name} ended with status {self.process.returncode}; it is started again.")
        self.due = now + self.pause
        self.pause = min(self.pause * 2, _LONGEST_PAUSE)


def say(sentence: str) -> None:
    """Print a line of progress."""
    print(f"skinapp: {sentence}", flush=True)  # noqa: T201 - the command's own words


@dataclass
class Supervisor:
    """Web, worker and beat on embedded or configured servers.

    Attributes:
        folder: ``var``: data, logs, lock.
        port: the wished-for port of the web server.
    """

    folder: Path
    port: int = 8000
    members: list[Member] = field(default_factory=list)
    _lock: IO[str] | None = None
    _ending: bool = False

    def run(self) -> int:
        """Start everything, keep it alive until told to stop, and return the exit status."""
        self._take_lock()
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, self._end)
        servers: Servers | None = None
        try:
            say("starting the database and the broker …")
            servers = start_servers(self.folder)
            environment = self._environment(servers)
            self._prepare(environment)
            self._adopt(servers, environment)
            self._announce()
            while not self._ending:
                for member in self.members:
                    member.tend()
                time.sleep(_TICK)
        except _Ending:
            pass
        finally:
            self._stop_all(servers)
        return 0

    def _end(self, _sign: int, _frame: Any) -> None:
        if not self._ending:
            self._ending = True
            raise _Ending

    def _take_lock(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "run.lock"
        self._lock = path.open("a+", encoding="utf-8")
        try:
            # The kernel drops this lock when the process dies, however it dies.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            pid = self._lock.read().strip()
            msg = f"Skinapp is running already in {self.folder} (process {pid})."
            raise AlreadyRunningError(msg) from None
        self._lock.seek(0)
        self._lock.truncate()
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def _environment(self, servers: Servers) -> dict[str, str]:
        environment = servers.environment() | {"PYTHONUNBUFFERED": "1"}
        environment.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.local")
        path = self.folder / "servers.json"
        path.touch(mode=0o600)
        addresses = {name: environment[name] for name in ("DATABASE_URL", "REDIS_URL")}
        path.write_text(json.dumps(addresses), encoding="utf-8")
        return environment

    def _prepare(self, environment: dict[str, str]) -> None:
        say("bringing the database up to date …")
        self._manage(environment, "migrate", "--verbosity", "0")
        say("registering the networks …")
        self._manage(environment, "register_models")
        self._manage(environment, "collectstatic", "--noinput", "--verbosity", "0")
        password = self.demo_password()
        self._manage(environment, "seed_demo", extra={"DEMO_PASSWORD": password})

    def _manage(
        self,
        environment: dict[str, str],
        command: str,
        *arguments: str,
        extra: dict[str, str] | None = None,
    ) -> None:
        log = self._log("manage")
        process = start(
            [sys.executable, ROOT / "manage.py", command, *arguments],
            environment=environment | (extra or {}),
            log=log,
        )
        try:
            code = process.wait()
        except _Ending:
            stop(process, sign=signal.SIGTERM, seconds=_STOP_SECONDS)
            raise
        if code != 0:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
            msg = f"manage.py {command} failed; the end of {log}:\n{tail}"
            raise SystemExit(msg)

    def demo_password(self) -> str:
        """Return the demo accounts' password, drawn once for this installation."""
        given = os.environ.get("DEMO_PASSWORD", "")
        path = self.folder / "demo.password"
        if not path.is_file():
            path.touch(mode=0o600)
            path.write_text(given or secrets.token_urlsafe(9), encoding="utf-8")
        return path.read_text(encoding="utf-8").strip()

    def _log(self, name: str) -> Path:
        path = self.folder / "logs" / f"{name}.log"
        path.parent.mkdir(exist_ok=True)
        return path

    def _adopt(self, servers: Servers, environment: dict[str, str]) -> None:
        """Make members of everything that runs."""
        restart: dict[str, Callable[[], subprocess.Popen[bytes]]] = {
            "postgres": lambda: start_postgres(
                self.folder, port=urlsplit(servers.database_url).port
            )[1],
            "valkey": lambda: start_valkey(self.folder, url=servers.redis_url)[1],
        }
        for name, process in servers.processes.items():
            member = Member(name, restart[name], process, time.monotonic())
            self.members.append(member)
        wished, self.port = self.port, free_port(self.port)
        if self.port != wished:
            say(f"port {wished} is taken; using {self.port}.")
        for name, command in self._commands().items():
            member = Member(name, self._launcher(name, command, environment))
            self.members.append(member)
            member.start()

    def _launcher(
        self, name: str, command: list[str], environment: dict[str, str]
    ) -> Callable[[], subprocess.Popen[bytes]]:
        return lambda: start(command, environment=environment, log=self._log(name))

    def _commands(self) -> dict[str, list[str]]:
        python = sys.executable
        run = self.folder / "run"
        run.mkdir(exist_ok=True)
        return {
            "web": [
                python,
                "-m",
                "gunicorn",
                "skinapp.wsgi:application",
                f"--bind=127.0.0.1:{self.port}",
                "--workers=2",
                "--threads=4",
                "--worker-class=gthread",
                f"--chdir={ROOT}",
                "--access-logfile=-",
                # No query string: a search may hold a patient's name.
                "--access-logformat=%(t)s %(m)s %(U)s %(s)s %(b)s %(M)sms",
            ],
            "worker": [
                python,
                "-m",
                "celery",
                f"--workdir={ROOT}",
                "-A",
                "skinapp",
                "worker",
                "--queues=analysis,maintenance",
                "--loglevel=INFO",
                "--without-gossip",
                "--without-mingle",
            ],
            "beat": [
                python,
                "-m",
                "celery",
                f"--workdir={ROOT}",
                "-A",
                "skinapp",
                "beat",
                f"--schedule={run / 'beat-schedule'}",
                "--pidfile=",
                "--loglevel=INFO",
            ],
        }

    def _announce(self) -> None:
        address = f"http://127.0.0.1:{self.port}"
        say("waiting for the first page …")
        deadline = time.monotonic() + _WEB_SECONDS
        while time.monotonic() < deadline:
            for member in self.members:
                member.tend()
            try:
                with urllib.request.urlopen(f"{address}/healthz", timeout=2):  # noqa: S310 - our own address
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        else:
            msg = f"The web server does not answer; see {self._log('web')}."
            raise SystemExit(msg)
        (self.folder / "address").write_text(address, encoding="utf-8")
        host = address.replace("127.0.0.1", "localhost")
        say("ready.")
        print(  # noqa: T201 - the command's own words
            f"\n  Address    {host}\n"
            f"  Sign in    clinician@demo.example   (or reader@…, admin@demo.example)\n"
            f"  Password   {self.demo_password()}\n"
            f"  Logs       {os.path.relpath(self.folder / 'logs')}\n\n"
            "  Ctrl-C stops everything.\n",
            flush=True,
        )

    def _stop_all(self, servers: Servers | None) -> None:
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, signal.SIG_IGN)
        say("stopping …")
        last = ("valkey", "postgres")
        for member in reversed(self.members):
            if member.name not in last and member.process is not None:
                stop(member.process, sign=signal.SIGTERM, seconds=_STOP_SECONDS)
        if servers is not None:
            for member in self.members:
                if member.name in last and member.process is not None:
                    servers.processes[member.name] = member.process
            servers.stop()
        say("stopped.")


class _Ending(Exception):  # noqa: N818 - a signal, not an error
    """Somebody asked the supervisor to stop."""
