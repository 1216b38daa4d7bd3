"""How long the newest migrations keep others from a database with 100 000 analyses.

A database on throw-away servers is brought to an earlier state, filled, and migrated, while two
others go on reading and writing analyses as web and workers do. The longest that one of them had
to wait is the lock that matters.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import Any

_ANALYSES, _QUICK = 100_000, 2_000
# The last migration of the first released version.
_FROM = ("classifier", "0003_worklist_order")
_PAUSE = 0.005
_SERVERS = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")


def run(*, quick: bool) -> str:
    """Measure in a process of its own, on servers of its own.

    Args:
        quick: with 2 000 analyses.

    Returns:
        A Markdown section.
    """
    python = sys.executable
    command = [python, "-m", "skinapp.runtime", "exec", "--", python, "-m", "bench.migrations"]
    amount = str(_QUICK if quick else _ANALYSES)
    environment = {key: value for key, value in os.environ.items() if key not in _SERVERS}
    done = subprocess.run(
        [*command, amount], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    return done.stdout.strip()


def measure(amount: int) -> str:
    """Seed, migrate, and return the section."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.test")
    import django  # noqa: PLC0415 - only this benchmark needs it

    django.setup()
    from django.db import connection  # noqa: PLC0415 - after setup
    from django.db.migrations.executor import MigrationExecutor  # noqa: PLC0415 - likewise

    # A database of its own on that server: what is in the other stays.
    name = connection.creation.create_test_db(verbosity=0)
    MigrationExecutor(connection).migrate([_FROM])
    _seed(amount)
    lines = [
        f"## Migrations against {amount:,} analyses",
        "",
        "| migration | seconds | longest wait of a reader | of a writer |",
        "|---|---|---|---|",
    ]
    executor = MigrationExecutor(connection)
    targets = [key for key in executor.loader.graph.leaf_nodes() if key[0] == _FROM[0]]
    for migration, _backwards in executor.migration_plan(targets):
        waits = {"read": 0.0, "write": 0.0}
        stop = threading.Event()
        others = [
            threading.Thread(target=_go_on, args=(kind, waits, stop)) for kind in ("read", "write")
        ]
        for other in others:
            other.start()
        began = time.perf_counter()
        try:
            MigrationExecutor(connection).migrate([(migration.app_label, migration.name)])
        finally:
            spent = time.perf_counter() - began
            stop.set()
            for other in others:
                other.join()
        lines.append(
            f"| {migration.name} | {spent:.2f} | {waits['read'] * 1e3:.0f} ms "
            f"| {waits['write'] * 1e3:.0f} ms |"
        )
    connection.creation.destroy_test_db(name, verbosity=0)
    return "\n".join(lines)


def _seed(amount: int) -> None:
    """Copy one analysis, with its image, patient and result-less row, so many times."""
    from django.db import connection  # noqa: PLC0415 - after setup

    with connection.cursor() as cursor:
        # Triggers note each row elsewhere; rows are what is wanted here, not their story.
        cursor.execute("SET session_replication_role = replica")
        for table, facts in _rows().items():
            columns = _defaults(cursor, table) | facts
            names = ", ".join(f'"{name}"' for name in columns)
            values = ", ".join(columns.values())
            cursor.execute(
                f"INSERT INTO {table} ({names}) SELECT {values} FROM generate_series(1, %s) n",  # noqa: S608 - our own words
                [1 if table.endswith(("clinic", "user")) else amount],
            )
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("ANALYZE")


def _rows() -> dict[str, dict[str, str]]:
    """Return SQL for the columns whose value matters; ``n`` counts the rows from one."""
    key = "md5({} || n)::uuid"
    clinic = "(SELECT id FROM classifier_clinic LIMIT 1)"
    user = "(SELECT id FROM classifier_user LIMIT 1)"
    patient, image = key.format("'p'"), key.format("'i'")
    return {
        "classifier_clinic": {"name": "'Clinic'"},
        "classifier_user": {"email": "'seed@clinic.example'"},
        "classifier_patient": {
            "id": patient,
            "clinic_id": clinic,
            "created_by_id": user,
            "record_number": "'MRN-' || n",
            "name": "'Patient ' || n",
            "sex": "'unknown'",
            "skin_type": "'unknown'",
        },
        "classifier_image": {
            "id": image,
            "clinic_id": clinic,
            "patient_id": patient,
            "uploaded_by_id": user,
            "original_sha256": "md5('a' || n) || md5('b' || n)",
            "modality": "'dermoscopy'",
        },
        "classifier_analysis": {
            "id": key.format("'a'"),
            "clinic_id": clinic,
            "patient_id": patient,
            "image_id": image,
            "requested_by_id": user,
            "state": "'cancelled'",
            "finished_at": "now()",
            "label_set": "'isic9'",
        },
    }


def _defaults(cursor: Any, table: str) -> dict[str, str]:
    """Return a plain value for each column that must have one."""
    cursor.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s "
        "AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' "
        "AND is_generated = 'NEVER'",
        [table],
    )
    plain = {
        "uuid": "gen_random_uuid()",
        "boolean": "true",
        "timestamp with time zone": "now()",
        "date": "current_date",
        "jsonb": "'{}'::jsonb",
        "bytea": "''::bytea",
    }
    return {
        name: plain.get(kind, "''" if "char" in kind or kind == "text" else "1")
        for name, kind in cursor.fetchall()
    }


def _go_on(kind: str, waits: dict[str, float], stop: threading.Event) -> None:
    """Read or write analyses until told to stop, and note the longest wait."""
    from django.db import connection  # noqa: PLC0415 - after setup

    statement = {
        "read": "SELECT count(*) FROM (SELECT 1 FROM classifier_analysis LIMIT 25) a",
        "write": "UPDATE classifier_analysis SET attempt = attempt WHERE id = "
        "(SELECT id FROM classifier_analysis LIMIT 1)",
    }[kind]
    with connection.cursor() as cursor:
        while not stop.is_set():
            began = time.perf_counter()
            cursor.execute(statement)
            waits[kind] = max(waits[kind], time.perf_counter() - began)
            time.sleep(_PAUSE)
    connection.close()


if __name__ == "__main__":
    print(measure(int(sys.argv[1])))
