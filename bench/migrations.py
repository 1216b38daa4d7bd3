"""How long the newest migrations keep others from a database with 100 000 analyses.

A database on throw-away servers is brought to an earlier state, filled, and migrated by
``manage.py migrate``. Meanwhile others go on as web and workers do, in a process of their own:
every table is read and written all the time, an event is added, rows of a patient and an analysis
are changed, and two long reports keep all tables open for seconds, the second begun while the
first is under way. The longest that one of their statements had to wait is what a person would
have noticed; over a second it is a fault.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.migrations_others import Waits

_ANALYSES, _QUICK = 100_000, 2_000
# The last migration of the first released version.
_FROM = ("classifier", "0003_worklist_order")
# The others alone, to see how much of the waiting is this machine's.
_ALONE_SECONDS = 5.0
# A person notices a page that comes a second later, and no time limit of web or worker is near.
_LIMIT_SECONDS = 1.0
# How many rows of a table there are: once, or so often for each analysis; the others once for each.
_ONCE = ("classifier_clinic", "classifier_user")
_TIMES = {"classifier_transition": 3, "classifier_auditevent": 3}
_SERVERS = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")


class OthersWaitError(RuntimeError):
    """Somebody had to wait for too long; the message is the table."""


def run(*, quick: bool) -> str:
    """Measure in a process of its own, on servers of its own.

    Args:
        quick: with 2 000 analyses.

    Returns:
        A Markdown section.

    Raises:
        OthersWaitError: a statement of somebody else waited for more than a second.
    """
    python = sys.executable
    command = [python, "-m", "skinapp.runtime", "exec", "--", python, "-m", "bench.migrations"]
    amount = str(_QUICK if quick else _ANALYSES)
    environment = {key: value for key, value in os.environ.items() if key not in _SERVERS}
    done = subprocess.run(
        [*command, amount], check=False, stdout=subprocess.PIPE, text=True, env=environment
    )
    section = done.stdout.strip()
    if done.returncode:
        raise OthersWaitError(section or "the measurement itself failed")
    return section


def measure(amount: int) -> tuple[str, bool]:
    """Seed, migrate, and return the section and whether nobody had to wait for too long."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.test")
    import django  # noqa: PLC0415 - only this benchmark needs it

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415 - after setup
    from django.db import connection  # noqa: PLC0415 - likewise
    from django.db.migrations.executor import MigrationExecutor  # noqa: PLC0415 - likewise

    # A database of its own on that server: what is in the other stays.
    name = connection.creation.create_test_db(verbosity=0)
    MigrationExecutor(connection).migrate([_FROM])
    _seed(amount)
    executor = MigrationExecutor(connection)
    targets = [key for key in executor.loader.graph.leaf_nodes() if key[0] == _FROM[0]]
    plan = [migration.name for migration, _backwards in executor.migration_plan(targets)]
    alone = Others(connection.get_connection_params())
    time.sleep(_ALONE_SECONDS)
    lines = [
        f"## Migrations against {amount:,} analyses",
        "",
        "| migration | seconds | longest wait of a reader | of a writer |",
        "|---|---|---|---|",
        _line("none: the others alone", _ALONE_SECONDS, alone.stop()),
    ]
    well = True
    for migration in plan:
        others = Others(connection.get_connection_params())
        began = time.perf_counter()
        try:
            call_command("migrate", "classifier", migration, verbosity=0)
        finally:
            spent = time.perf_counter() - began
            waits = others.stop()
        well = well and max(seconds for seconds, _table in waits.values()) <= _LIMIT_SECONDS
        lines.append(_line(migration, spent, waits))
    lines += ["", f"Over {_LIMIT_SECONDS:.0f} s is a fault: {'none' if well else 'THERE IS ONE'}."]
    connection.creation.destroy_test_db(name, verbosity=0)
    return "\n".join(lines), well


class Others:
    """The process of those who go on working."""

    def __init__(self, connection: dict[str, Any]) -> None:
        """Start it and wait until everybody is at work.

        Args:
            connection: words for ``psycopg2.connect``.
        """
        words = ("dbname", "user", "password", "host", "port")
        facts = {key: value for key, value in connection.items() if key in words}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.migrations_others"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None  # noqa: S101 - for the type checker: both are pipes
        assert self._process.stdout is not None  # noqa: S101 - likewise
        self._process.stdin.write(json.dumps(facts) + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "at work\n":
            raise RuntimeError("The others could not begin.")

    def stop(self) -> Waits:
        """End it and return the longest waits."""
        told, _nothing = self._process.communicate(input="stop\n")
        if self._process.returncode:
            raise RuntimeError("One of the others got an error.")
        waits: Waits = {kind: (value[0], value[1]) for kind, value in json.loads(told).items()}
        return waits


def _line(what: str, spent: float, waits: Waits) -> str:
    cells = [f"{waits[kind][0] * 1e3:.0f} ms ({waits[kind][1]})" for kind in ("read", "write")]
    return f"| {what} | {spent:.2f} | {' | '.join(cells)} |"


def _seed(amount: int) -> None:
    """Make so many analyses, each with patient, image, prediction, moves, events and review."""
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
                [1 if table in _ONCE else amount * _TIMES.get(table, 1)],
            )
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("ANALYZE")


def _rows() -> dict[str, dict[str, str]]:
    """Return SQL for the columns whose value matters; ``n`` counts the rows from one."""
    key = "md5({} || n)::uuid"
    clinic = "(SELECT id FROM classifier_clinic LIMIT 1)"
    user = "(SELECT id FROM classifier_user LIMIT 1)"
    patient, image, prediction = key.format("'p'"), key.format("'i'"), key.format("'r'")
    of_clinic = {"clinic_id": clinic}
    # Several rows of these belong to one analysis.
    analysis = "md5('a' || 1 + (n - 1) / {})::uuid"
    return {
        "classifier_clinic": {"name": "'Clinic'"},
        "classifier_user": {"email": "'seed@clinic.example'"},
        "classifier_patient": of_clinic
        | {
            "id": patient,
            "created_by_id": user,
            "record_number": "'MRN-' || n",
            "name": "'Patient ' || n",
            "sex": "'unknown'",
            "skin_type": "'unknown'",
        },
        "classifier_lesion": of_clinic
        | {"patient_id": patient, "created_by_id": user, "body_site": "'back'"},
        "classifier_image": of_clinic
        | {
            "id": image,
            "patient_id": patient,
            "uploaded_by_id": user,
            "original_sha256": "md5('a' || n) || md5('b' || n)",
            "modality": "'dermoscopy'",
        },
        "classifier_prediction": of_clinic
        | {"id": prediction, "image_id": image, "decision": "'answer'", "confidence": "0.5"},
        "classifier_analysis": of_clinic
        | {
            "id": analysis.format(1),
            "patient_id": patient,
            "image_id": image,
            "prediction_id": prediction,
            "decision": "'answer'",
            "requested_by_id": user,
            "state": "'succeeded'",
            "finished_at": "now()",
            "label_set": "'isic9'",
        },
        "classifier_transition": {
            "analysis_id": analysis.format(_TIMES["classifier_transition"]),
            "to_state": "'succeeded'",
            "actor_kind": "'worker'",
        },
        "classifier_reading": of_clinic
        | {"analysis_id": analysis.format(1), "reader_id": user, "diagnosis": "'nevus'"},
        "classifier_review": of_clinic
        | {
            "analysis_id": analysis.format(1),
            "prediction_id": prediction,
            "reviewer_id": user,
            "verdict": "'agree'",
        },
        "classifier_auditevent": of_clinic
        | {
            "actor_kind": "'user'",
            "actor_id": user,
            "action": "'analysis.seen'",
            "subject_type": "'analysis'",
            "subject_id": analysis.format(_TIMES["classifier_auditevent"]) + "::text",
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


if __name__ == "__main__":
    SECTION, WELL = measure(int(sys.argv[1]))
    print(SECTION)
    sys.exit(0 if WELL else 1)
