"""Keeping the processes of one installation alive, and ending them all together."""

from __future__ import annotations

import ctypes
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

from skinapp.runtime.children import (
    ENDING_SIGNALS,
    end_group,
    free_socket,
    start,
    stop,
    stop_rest,
    tell,
)
from skinapp.runtime.commands import supervised_commands
from skinapp.runtime.leftovers import MARK, end_leftovers
from skinapp.runtime.servers import (
    ServerError,
    Servers,
    start_postgres,
    start_servers,
    start_valkey,
)
from skinapp.runtime.terminal import Terminal, say, show

if TYPE_CHECKING:
    import socket
    import subprocess
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent.parent
# A process that keeps dying is started again ever later, up to this many seconds.
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_STABLE_SECONDS = 60.0
_WEB_SECONDS = 60.0
_TICK = 0.25
_LOCK_SECONDS = 0.5
_STOP_SECONDS = 15.0
_LOG_BYTES = 10_000_000
_PR_SET_PDEATHSIG = 1


class AlreadyRunningError(RuntimeError):
    """Another supervisor holds this folder."""


class StartError(RuntimeError):
    """The application does not come up; the message says where to look."""


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
    pause: float = _FIRST_PAUSE
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
                self._start_again()
            return
        if self.process is None or self.process.poll() is None:
            return
        # Children of a killed process would go on working beside their successors.
        end_group(self.process)
        if now - self.started > _STABLE_SECONDS:
            self.pause = _FIRST_PAUSE
        say(f"{self.name} ended with status {self.process.returncode}; it is started again.")
        self._wait(now)

    def _start_again(self) -> None:
        try:
            self.start()
        except (ServerError, OSError) as error:
            say(f"{self.name} could not be started: {error}")
            self._wait(time.monotonic())

    def _wait(self, now: float) -> None:
        self.due = now + self.pause
        self.pause = min(self.pause * 2, _LONGEST_PAUSE)


def supervised_by(folder: Path) -> str | None:
    """Return the process number of the supervisor that holds ``folder``, None without one."""
    try:
        with (folder / "run.lock").open("r+", encoding="utf-8") as lock:
            return None if _locked(lock) else lock.read().strip()
    except FileNotFoundError:
        return None


def _locked(lock: IO[str]) -> bool:
    """Take the lock if nobody else holds it, and say whether that went well."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@dataclass
class Supervisor:
    """Web, worker and beat on embedded or configured servers.

    Attributes:
        folder: ``var``: data, logs, lock.
        port: the wished-for port of the web server.
        patients: how many demo patients a first start draws.
    """

    folder: Path
    port: int = 8000
    patients: int = 6
    members: list[Member] = field(default_factory=list)
    _lock: IO[str] | None = None
    _listener: socket.socket | None = None
    _past: subprocess.Popen[bytes] | None = None
    _ending: bool = False

    def run(self) -> int:
        """Start everything, keep it alive until told to stop, and return the exit status.

        Raises:
            AlreadyRunningError: another supervisor holds the folder.
            ServerError, StartError: something does not come up; nothing is left running.
        """
        self._listen_to_signals()
        servers: Servers | None = None
        try:
            self._take_lock()
            if end_leftovers(self.folder):
                say("ended what an earlier run that was killed had left behind.")
            say("starting the database and the broker …")
            servers = start_servers(self.folder)
            environment = self._environment(servers)
            self._prepare(environment)
            self._adopt(servers, environment)
            self._announce()
            self._remember(environment)
            terminal = Terminal()
            while not self._ending and not terminal.is_gone():
                for member in self.members:
                    member.tend()
                time.sleep(_TICK)
        except _Ending:
            pass
        finally:
            self._stop_all(servers)
        return 0

    def _listen_to_signals(self) -> None:
        for sign in ENDING_SIGNALS:
            # nohup's wish is respected.
            if sign != signal.SIGHUP or signal.getsignal(sign) != signal.SIG_IGN:
                signal.signal(sign, self._end)
        if "MAKELEVEL" in os.environ and sys.platform.startswith("linux"):
            # A killed make takes its terminal's Ctrl-C with it: nobody could stop this any more.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    def _end(self, _sign: int, _frame: Any) -> None:
        if not self._ending:
            self._ending = True
            raise _Ending

    def _take_lock(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            # PostgreSQL runs as somebody else then, and must reach its own folder.
            self.folder.chmod(self.folder.stat().st_mode | 0o011)
        lock = (self.folder / "run.lock").open("a+", encoding="utf-8")
        deadline = time.monotonic() + _LOCK_SECONDS
        # The kernel drops this lock when the process dies, however it dies.
        while not _locked(lock):
            # For a moment it may be somebody who only looks whether it is held.
            if time.monotonic() > deadline:
                lock.close()
                raise AlreadyRunningError(self._who_runs())
            time.sleep(_TICK)
        self._lock = lock
        (self.folder / "address").unlink(missing_ok=True)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()

    def _who_runs(self) -> str:
        where = self.folder / "address"
        address = where.read_text(encoding="utf-8") if where.is_file() else "starting"
        return (
            f"Skinapp runs already in this folder (process {supervised_by(self.folder)}, "
            f"{address}); stop it with Ctrl-C in its own window."
        )

    def _environment(self, servers: Servers) -> dict[str, str]:
        own = {
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
            "SKINAPP_VAR": str(self.folder),
        }
        path = self.folder / "servers.json"
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps(own), encoding="utf-8")
        environment = os.environ | own | {"PYTHONUNBUFFERED": "1", MARK: str(self.folder)}
        environment.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.local")
        return environment

    def _prepare(self, environment: dict[str, str]) -> None:
        log = self._log("prepare")
        process = start(
            [sys.executable, "-m", "skinapp.runtime.prepare", f"--patients={self.patients}"],
            environment=environment | {"DEMO_PASSWORD": self.demo_password()},
            folder=ROOT,
            log=log,
            pipe=True,
        )
        for sentence in process.stdout or ():
            say(sentence.decode().rstrip())
        if process.wait() != 0:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
            msg = f"the database could not be made ready; the end of {log}:\n{tail}"
            raise StartError(msg)

    def _remember(self, environment: dict[str, str]) -> None:
        """Give the demo clinic a past, once, beside everything else: nobody waits for it."""
        if self.patients and not (self.folder / "demo.past").exists():
            command = [sys.executable, "-m", "skinapp.runtime.past"]
            log = self._log("past")
            self._past = start(command, environment=environment, folder=ROOT, log=log)

    def demo_password(self) -> str:
        """Return the demo accounts' password, drawn once for this installation."""
        path = self.folder / "demo.password"
        if not path.is_file() or not path.stat().st_size:
            path.touch(mode=0o600)
            path.write_text(
                os.environ.get("DEMO_PASSWORD") or secrets.token_urlsafe(9), encoding="utf-8"
            )
        return path.read_text(encoding="utf-8").strip()

    def _log(self, name: str) -> Path:
        path = self.folder / "logs" / f"{name}.log"
        path.parent.mkdir(exist_ok=True)
        if path.is_file() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
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
        # Held here for as long as this runs: nobody can take the port while web is started again,
        # and whoever calls meanwhile waits instead of being refused.
        self._listener = free_socket(self.port)
        self._listener.listen(128)
        wished, self.port = self.port, int(self._listener.getsockname()[1])
        if self.port != wished:
            say(f"port {wished} is taken; using {self.port}.")
        environment.setdefault("SITE_ADDRESS", f"http://127.0.0.1:{self.port}")
        for name, command in supervised_commands(self._listener.fileno()).items():
            member = Member(name, self._launcher(name, command, environment))
            self.members.append(member)
            member.start()

    def _launcher(
        self, name: str, command: list[str], environment: dict[str, str]
    ) -> Callable[[], subprocess.Popen[bytes]]:
        keep = [self._listener.fileno()] if self._listener and name == "web" else []
        return lambda: start(
            command, environment=environment, folder=ROOT, log=self._log(name), keep=keep
        )

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
                time.sleep(0.05)
        else:
            msg = f"The web server does not answer; see {self._log('web')}."
            raise StartError(msg)
        (self.folder / "address").write_text(address, encoding="utf-8")
        say("ready.")
        show(
            f"\n  Address    {address}\n"
            f"  Sign in    clinician@demo.example   (or reader@…, admin@demo.example)\n"
            f"  Password   {self.demo_password()}\n"
            f"  Logs       {os.path.relpath(self.folder / 'logs')}\n\n"
            "  Ctrl-C stops everything.\n"
        )

    def _stop_all(self, servers: Servers | None) -> None:
        for sign in ENDING_SIGNALS:
            signal.signal(sign, signal.SIG_IGN)
        if self._lock is None:
            return
        say("stopping …")
        running = {member.name: member.process for member in self.members if member.process}
        application = [
            process for name, process in running.items() if name not in ("postgres", "valkey")
        ]
        if self._past is not None:
            application.append(self._past)
        for process in application:
            tell(process, signal.SIGTERM)
        if self._listener is not None:
            self._listener.close()
        for process in application:
            # Told already: a second signal would cut a graceful stop short.
            stop(process, sign=0, seconds=_STOP_SECONDS)
        if servers is not None:
            servers.processes |= {
                name: running[name] for name in servers.processes.keys() & running.keys()
            }
            servers.stop()
        stop_rest(seconds=_STOP_SECONDS)
        for name in ("servers.json", "address"):
            (self.folder / name).unlink(missing_ok=True)
        self._lock.close()
        say("stopped.")


class _Ending(Exception):  # noqa: N818 - a signal, not an error
    """Somebody asked the supervisor to stop."""
