"""What the audit trail costs a writer, and what sealing and examining the chain cost.

Three ways of keeping a chain are compared on a server that syncs every commit: no chain at all,
the way it is done (the writer leaves a note, a task seals), and a chain that every writer extends
inside its own transaction under one lock.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psycopg2

from skinapp.runtime.servers import start_servers

_WRITERS = (1, 4, 8)
_INSERT = (
    "INSERT INTO classifier_auditevent (at, actor_kind, action, subject_type, subject_id,"
    " reason, details) VALUES (now(), 'system', 'patient.viewed', 'patient', %s, '', '{}')"
)
_UNCHAINED = "ALTER TABLE classifier_auditevent DISABLE TRIGGER USER"
_NOTED = "ALTER TABLE classifier_auditevent ENABLE TRIGGER USER"
# What was not chosen: the writer holds the lock until its commit is on the disk.
_EXTENDED = """
CREATE TABLE bench_chain (position bigserial PRIMARY KEY, event bigint, digest text);
CREATE FUNCTION bench_extend() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE before text;
BEGIN
  PERFORM pg_advisory_xact_lock(1);
  SELECT digest INTO before FROM bench_chain ORDER BY position DESC LIMIT 1;
  INSERT INTO bench_chain (event, digest)
    VALUES (NEW.id, skinapp_audit_digest(COALESCE(before, ''), NEW));
  RETURN NULL;
END $$;
CREATE TRIGGER bench_extend AFTER INSERT ON classifier_auditevent
  FOR EACH ROW EXECUTE FUNCTION bench_extend();
ALTER TABLE classifier_auditevent DISABLE TRIGGER USER;
ALTER TABLE classifier_auditevent ENABLE TRIGGER bench_extend;
"""
_MANY = """
INSERT INTO classifier_auditevent
  (at, actor_kind, action, subject_type, subject_id, reason, details)
SELECT now(), 'system', 'patient.viewed', 'patient', n::text, '', '{{}}'
FROM generate_series(1, {many}) AS n
"""
_EXAMINE = """
SELECT count(*) FROM classifier_auditlink l
JOIN classifier_auditevent e ON e.id = l.event_key
JOIN classifier_auditlink before ON before.position = l.position - 1
WHERE l.digest <> skinapp_audit_digest(before.digest, e)
"""


def run(*, quick: bool) -> str:
    """Measure and return a section in Markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # PostgreSQL runs as nobody when this runs as root, and must reach its own folder.
        folder.chmod(0o711)
        servers = start_servers(folder, durable=True)
        try:
            return _measured(servers.database_url, 50 if quick else 200)
        finally:
            servers.stop()


def _measured(url: str, events: int) -> str:
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "skinapp.settings.test",
    }
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(migrate, env=environment, check=True)
    lines = [
        "| way | " + " | ".join(f"{count} writers" for count in _WRITERS) + " |",
        "|---|" + "---|" * len(_WRITERS),
    ]
    for way, prepare in (
        ("no chain", _UNCHAINED),
        ("noted, sealed later (as it is)", _NOTED),
        ("extended by every writer", _EXTENDED),
    ):
        _execute(url, prepare)
        cells = [_cell(_writing(url, count, events)) for count in _WRITERS]
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    _execute(url, "DROP TRIGGER bench_extend ON classifier_auditevent")
    _execute(url, _NOTED)
    many = events * 100
    _execute(url, _MANY.format(many=many))
    seal = _seconds(url, "SELECT skinapp_audit_seal(10000000)") / many
    verify = _seconds(url, _EXAMINE) / many
    return "\n".join(
        [
            "## audit trail",
            "",
            "One event with its commit (median / 95th percentile), all writers' events a second:",
            "",
            *lines,
            "",
            f"Sealing: {seal * 1e6:.0f} µs an event. Examining: {verify * 1e6:.0f} µs an event.",
        ]
    )


def _cell(measured: tuple[list[float], float]) -> str:
    times, rate = measured
    ordered = sorted(times)
    late = ordered[int(len(ordered) * 0.95)]
    return f"{statistics.median(ordered) * 1000:.1f} / {late * 1000:.1f} ms, {rate:.0f}/s"


def _writing(url: str, writers: int, events: int) -> tuple[list[float], float]:
    times: list[float] = []

    def write() -> None:
        connection = psycopg2.connect(url)
        with connection.cursor() as cursor:
            for number in range(events):
                began = time.perf_counter()
                cursor.execute(_INSERT, [str(number)])
                connection.commit()
                times.append(time.perf_counter() - began)
        connection.close()

    threads = [threading.Thread(target=write) for _ in range(writers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, writers * events / (time.perf_counter() - began)


def _execute(url: str, sql: str) -> None:
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(sql)
    connection.close()


def _seconds(url: str, sql: str) -> float:
    began = time.perf_counter()
    _execute(url, sql)
    return time.perf_counter() - began
