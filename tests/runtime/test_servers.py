"""The embedded servers: they start twice, mend themselves, and stop whole."""

from __future__ import annotations

import importlib.util
import os
import signal
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
import redis

from skinapp.runtime import servers as module
from skinapp.runtime.servers import ServerError, Servers, start_servers
from tests.runtime.installations import descendants, still_running, wait_until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_configured_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with all that a path may hold; PostgreSQL runs as nobody under root."""
    place = tmp_path / 'a "quoted" path'
    place.mkdir()
    for each in (place, tmp_path, *tmp_path.parents[:2]):
        if each.stat().st_uid == os.geteuid():
            each.chmod(each.stat().st_mode | 0o011)
    return place


def ask(url: str, statement: str) -> Any:
    connection: Any = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone() if cursor.description else None
    finally:
        connection.close()


def family_of(servers: Servers) -> dict[int, str]:
    return {
        pid: birth
        for process in servers.processes.values()
        for pid, birth in descendants(process.pid).items()
    }


def test_rows_and_messages_survive_a_kill_and_a_foreign_lock(folder: Path) -> None:
    first = start_servers(folder)
    ask(first.database_url, "CREATE TABLE kept AS SELECT 42 AS answer")
    with redis.Redis.from_url(first.redis_url) as client:
        client.rpush("queue", "nudge")
        client.execute_command("WAITAOF", 1, 0, 1000)
    family = family_of(first)
    for process in first.processes.values():
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    wait_until(lambda: not still_running(family), what="the old backends are gone")
    # The number in the stale lock is a living program's by now: this one's.
    lock = folder / "postgres" / "postmaster.pid"
    rest = lock.read_text(encoding="utf-8").partition("\n")[2]
    lock.write_text(f"{os.getppid()}\n{rest}", encoding="utf-8")
    second = start_servers(folder)
    try:
        assert ask(second.database_url, "SELECT answer FROM kept") == (42,)
        with redis.Redis.from_url(second.redis_url) as client:
            assert client.lrange("queue", 0, -1) == [b"nudge"]
    finally:
        second.stop()
    assert not lock.exists()


def test_an_empty_lock_and_a_broken_log_do_not_stop_the_start(folder: Path) -> None:
    first = start_servers(folder)
    with redis.Redis.from_url(first.redis_url) as client:
        client.rpush("queue", "nudge")
    family = family_of(first)
    first.stop()
    assert still_running(family) == []
    (folder / "postgres" / "postmaster.pid").touch()
    for part in (folder / "valkey" / "appendonlydir").glob("*.incr.aof"):
        part.write_bytes(b"*1\r\n$not a message\r\n" * 3)
    second = start_servers(folder)
    second.stop()
    assert len(list((folder / "valkey").glob("broken-*"))) == 1


def test_a_first_start_that_was_killed_is_made_again(folder: Path) -> None:
    (folder / "postgres.draft").mkdir()
    (folder / "postgres.draft" / "half").touch()
    (folder / ".initdb-0123").write_text("an old password", encoding="utf-8")
    servers = start_servers(folder, durable=False)
    try:
        assert ask(servers.database_url, "SELECT 1") == (1,)
        assert not list(folder.glob(".initdb-*"))
        assert not (folder / "postgres.draft").exists()
    finally:
        servers.stop()


def test_the_password_is_asked_for(folder: Path) -> None:
    servers = start_servers(folder, durable=False)
    try:
        password = (folder / "postgres.password").read_text(encoding="utf-8")
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            ask(servers.database_url.replace(password, "guessed"), "SELECT 1")
        bare = servers.redis_url.replace(servers.redis_url.split("@")[0], "redis://")
        with (
            redis.Redis.from_url(bare.replace("redis://@", "redis://")) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()
    finally:
        servers.stop()


def test_the_database_log_names_nobody(folder: Path) -> None:
    servers = start_servers(folder, durable=False)
    try:
        ask(servers.database_url, "CREATE TABLE person (name text PRIMARY KEY)")
        ask(servers.database_url, "INSERT INTO person VALUES ('Ada Private')")
        with pytest.raises(psycopg2.IntegrityError, match="Ada Private"):
            ask(servers.database_url, "INSERT INTO person VALUES ('Ada Private')")
    finally:
        servers.stop()
    log = (folder / "postgres.log").read_text(encoding="utf-8")
    assert "duplicate key value violates unique constraint" in log
    assert "Ada Private" not in log


def test_configured_servers_are_used_as_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://somewhere/else")
    monkeypatch.setenv("REDIS_URL", "redis://somewhere:1/0")
    servers = start_servers(folder)
    assert servers.processes == {}
    assert servers.environment()["DATABASE_URL"] == "postgres://somewhere/else"
    servers.stop()


@pytest.mark.parametrize(
    ("configured", "sentence"),
    [
        ("REDIS_URL", "No PostgreSQL: set DATABASE_URL"),
        ("DATABASE_URL", "No Valkey: set REDIS_URL"),
    ],
)
def test_a_missing_package_says_what_to_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch, configured: str, sentence: str
) -> None:
    monkeypatch.setenv(configured, "somewhere")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ServerError, match=sentence):
        start_servers(folder)


def test_a_server_that_never_comes_up_is_said_with_its_log(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://somewhere/else")
    monkeypatch.setattr(module, "_valkey_program", lambda: "/bin/false")
    with pytest.raises(ServerError, match=r"Valkey does not come up; see .*valkey\.log"):
        start_servers(folder)
