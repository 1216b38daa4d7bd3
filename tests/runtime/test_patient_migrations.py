"""Migrations keep nobody waiting: short locks, batches, and another try instead of a queue."""

from __future__ import annotations

import io
import threading
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from django.core.management import CommandError, call_command
from django.db import (
    OperationalError,
    connection,
    migrations,
    models,
    transaction,
)
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from classifier.management.commands import migrate
from classifier.schema_changes import (
    AddIndexPatiently,
    AtOnce,
    RemoveIndexPatiently,
    in_batches,
    take_tables,
)
from classifier.services import audit
from tests import factories
from tests.runtime.statements import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db(transaction=True)

HELD = """
SELECT relation::regclass::text FROM pg_locks
WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock' AND relation IS NOT NULL ORDER BY 1
"""
WHOLE = "LOCK TABLE classifier_clinic IN ACCESS EXCLUSIVE MODE"


@contextmanager
def reading(table: str) -> Iterator[Any]:
    """Give the connection of somebody whose long report reads a table."""
    words = {"dbname", "user", "password", "host", "port"}
    facts = {k: v for k, v in connection.get_connection_params().items() if k in words}
    other = psycopg2.connect(**facts)
    try:
        with other.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - our own table's name
        yield other
    finally:
        other.close()


@pytest.fixture
def reader() -> Iterator[Any]:
    """Return the connection of somebody whose long report reads the clinics."""
    with reading("classifier_clinic") as other:
        yield other


@contextmanager
def later(seconds: float, act: Callable[[], None]) -> Iterator[threading.Timer]:
    """Let something happen after a while, before the end of the block."""
    timer = threading.Timer(seconds, act)
    timer.start()
    try:
        yield timer
    finally:
        timer.join()


def pretend(monkeypatch: pytest.MonkeyPatch, *, forget: bool = False) -> list[str]:
    """Make migrating nothing but one statement that needs a table for itself; return the tries."""
    tries: list[str] = []

    def handle(*_args: Any, **_options: Any) -> None:
        tries.append(ask("SHOW lock_timeout")[0][0])
        block = transaction.atomic()
        block.__enter__()
        with connection.cursor() as cursor:
            try:
                cursor.execute(WHOLE)
            except OperationalError as error:
                # As Django does where the statements at the end of a migration fail.
                if not forget:
                    block.__exit__(type(error), error, error.__traceback__)
                raise
        block.__exit__(None, None, None)

    monkeypatch.setattr("classifier.management.commands.migrate.DjangoMigrate.handle", handle)
    return tries


@pytest.mark.parametrize("forget", [False, True])
def test_a_table_in_use_is_tried_again_and_nobody_queues_behind_it(
    monkeypatch: pytest.MonkeyPatch, reader: Any, *, forget: bool
) -> None:
    tries = pretend(monkeypatch, forget=forget)
    monkeypatch.setattr(migrate, "PAUSE_SECONDS", 0.05)
    said = io.StringIO()
    with later(0.8, reader.rollback):
        call_command("migrate", stdout=said)
    assert len(tries) > 1
    assert set(tries) == {"500ms"}
    assert said.getvalue().count("A table is in use") == len(tries) - 1
    assert ask("SHOW lock_timeout") == [("0",)]
    assert connection.get_autocommit()
    assert not connection.in_atomic_block


def test_after_the_last_try_the_failure_is_told(
    monkeypatch: pytest.MonkeyPatch,
    reader: Any,
) -> None:
    tries = pretend(monkeypatch)
    monkeypatch.setattr(migrate, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(migrate, "TRIES", 2)
    with pytest.raises(OperationalError, match="lock timeout"):
        call_command("migrate", stdout=io.StringIO())
    assert len(tries) == 2
    assert ask("SHOW lock_timeout") == [("0",)]


def test_a_table_that_is_never_free_is_tried_for_once_and_not_again(
    monkeypatch: pytest.MonkeyPatch, reader: Any
) -> None:
    pauses: list[float] = []

    def handle(*_args: Any, **_options: Any) -> None:
        with connection.schema_editor() as editor:
            take_tables(editor, ["classifier_clinic"])

    monkeypatch.setattr("classifier.management.commands.migrate.DjangoMigrate.handle", handle)
    monkeypatch.setattr("classifier.schema_changes.time.sleep", pauses.append)
    monkeypatch.setattr("classifier.schema_changes.TRIES", 3)
    monkeypatch.setattr("classifier.schema_changes.LOCK_MILLISECONDS", 50)
    monkeypatch.setattr(migrate, "TRIES", 3)
    with pytest.raises(CommandError, match=r"classifier_clinic.* run migrate again"):
        call_command("migrate", stdout=io.StringIO())
    assert len(pauses) == 2
    assert ask("SHOW lock_timeout") == [("0",)]


def test_another_failure_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def handle(*_args: Any, **_options: Any) -> None:
        tries.append(1)
        ask("SET LOCAL statement_timeout = 10; SELECT pg_sleep(5)")

    monkeypatch.setattr("classifier.management.commands.migrate.DjangoMigrate.handle", handle)
    with pytest.raises(OperationalError, match="statement timeout"):
        call_command("migrate", stdout=io.StringIO())
    assert len(tries) == 1


def test_operations_at_once_do_and_undo_what_they_do_one_by_one() -> None:
    many = AtOnce(
        [
            migrations.CreateModel("Thing", [("id", models.BigAutoField(primary_key=True))]),
            migrations.AddField("thing", "name", models.CharField(max_length=9, db_default="x")),
            migrations.AddIndex("thing", models.Index(fields=["name"], name="thing_by_name")),
        ],
        tables=["classifier_clinic"],
    )
    before, after = ProjectState(), ProjectState()
    many.state_forwards("classifier", after)
    assert set(after.models["classifier", "thing"].fields) == {"id", "name"}
    with connection.schema_editor() as editor:
        many.database_forwards("classifier", editor, before, after)
    index = "SELECT tablename FROM pg_indexes WHERE indexname = 'thing_by_name'"
    assert ask(index) == [("classifier_thing",)]
    assert ask("INSERT INTO classifier_thing DEFAULT VALUES RETURNING name") == [("x",)]
    with connection.schema_editor() as editor:
        many.database_backwards("classifier", editor, after, before)
    assert ask("SELECT to_regclass('classifier_thing')") == [(None,)]


def test_tables_are_taken_together_when_nobody_uses_any_of_them(
    monkeypatch: pytest.MonkeyPatch, reader: Any
) -> None:
    held: list[Any] = []

    def pause(_seconds: float) -> None:
        held.append(ask(HELD))
        if len(held) == 2:
            reader.rollback()

    monkeypatch.setattr("classifier.schema_changes.time.sleep", pause)
    # Patients are free: they must be given back while clinics are waited for.
    with connection.schema_editor() as editor:
        take_tables(editor, ["classifier_patient", "classifier_clinic"])
        assert ask(HELD) == [("classifier_clinic",), ("classifier_patient",)]
    assert held == [[], []]
    assert ask("SHOW lock_timeout") == [("0",)]


def test_all_tables_together_are_waited_for_no_longer_than_one(
    monkeypatch: pytest.MonkeyPatch, reader: Any
) -> None:
    """Two reports end one after the other, each soon enough for one table."""
    pauses: list[Any] = []
    with (
        reading("classifier_patient") as second,
        later(0.35, reader.rollback),
        later(0.7, second.rollback) as last,
    ):

        def pause(_seconds: float) -> None:
            pauses.append(ask(HELD))
            last.join()

        monkeypatch.setattr("classifier.schema_changes.time.sleep", pause)
        with connection.schema_editor() as editor:
            ask("SET LOCAL statement_timeout = '77s'; SELECT 1")
            take_tables(editor, ["classifier_clinic", "classifier_patient"])
            assert ask(HELD) == [("classifier_clinic",), ("classifier_patient",)]
            # What the migration itself does may take as long as before.
            assert ask("SHOW statement_timeout") == [("77s",)]
    assert pauses == [[]]


def test_whoever_cancels_a_migration_that_waits_ends_it(
    monkeypatch: pytest.MonkeyPatch, reader: Any
) -> None:
    monkeypatch.setattr("classifier.schema_changes.LOCK_MILLISECONDS", 30_000)
    ((me,),) = ask("SELECT pg_backend_pid()")

    def cancel() -> None:
        with reader.cursor() as cursor:
            cursor.execute("SELECT pg_cancel_backend(%s)", [me])

    with (
        later(0.2, cancel),
        pytest.raises(OperationalError, match="user request"),
        connection.schema_editor() as editor,
    ):
        take_tables(editor, ["classifier_clinic"])


def test_tables_are_not_taken_where_no_transaction_would_hold_them() -> None:
    many = AtOnce([migrations.RunSQL("SELECT 1")], tables=["classifier_clinic"])
    for write_only in (False, True):
        with (
            connection.schema_editor(collect_sql=write_only, atomic=False) as editor,
            pytest.raises(CommandError, match=r"atomic = False is none: move the operations"),
        ):
            many.database_forwards("classifier", editor, ProjectState(), ProjectState())
    with (
        connection.schema_editor(atomic=False) as editor,
        pytest.raises(CommandError, match="atomic = False"),
    ):
        take_tables(editor, ["classifier_clinic"])


def misplaced(migration: migrations.Migration) -> list[str]:
    """Return those operations of a migration that need a transaction, or need to be in none."""
    wrong = (AddIndexPatiently, RemoveIndexPatiently) if migration.atomic else AtOnce
    return [each.describe() for each in migration.operations if isinstance(each, wrong)]


def test_every_migration_is_of_the_kind_that_its_operations_need() -> None:
    found = MigrationLoader(None).disk_migrations
    ours = {name: each for (app, name), each in found.items() if app == "classifier"}
    assert {name: misplaced(each) for name, each in ours.items() if misplaced(each)} == {}
    # Turned round, the one with indexes and the one that takes tables would be found.
    for name in ("0005_records", "0006_audit_indexes"):
        kind = type(ours[name])
        turned = type("Turned", (kind,), {"atomic": not kind.atomic})
        assert misplaced(turned(name, "classifier"))


def test_statements_are_written_before_any_is_sent_and_sent_in_one_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Eighty operations build models for seconds; the first statement's lock would last as long.
    happened: list[str] = []
    clone = ProjectState.clone

    def cloned(state: ProjectState) -> ProjectState:
        happened.append("models")
        return clone(state)

    def noted(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        happened.append(sql.split(maxsplit=1)[0])
        return execute(sql, params, many, context)

    monkeypatch.setattr(ProjectState, "clone", cloned)
    # A percent sign is a sign, not a place for a value.
    words = [f"SELECT {number}, '100 %'" for number in range(3)]
    many = AtOnce(
        [migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in words],
        tables=["classifier_clinic"],
    )
    # Opening a connection says how to plan.
    connection.ensure_connection()
    with connection.execute_wrapper(noted), connection.schema_editor() as editor:
        many.database_forwards("classifier", editor, ProjectState(), ProjectState())
    sent = [word for word in happened if word not in {"SAVEPOINT", "RELEASE"}]
    assert sent == ["models"] * 3 + ["SET", "SHOW", "SET", "LOCK", "SET", "SELECT"]


def test_rows_of_the_time_before_get_one_first_version_each() -> None:
    clinic = factories.make_clinic("Old Clinic")
    owner = factories.make_member(clinic, email="old@clinic.example")
    for number in range(5):
        factories.make_patient(clinic, owner, name=f"Old {number}")
        audit.record(action="test", actor=owner, clinic_id=clinic.pk)
    with connection.cursor() as cursor:
        # As before there were triggers.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("DELETE FROM classifier_patientevent WHERE name <> 'Old 3'")
        cursor.execute("DELETE FROM classifier_auditpending")
        cursor.execute("RESET session_replication_role")
    keep_first = import_module("classifier.migrations.0008_first_versions").keep_first
    for _time in range(2):
        with connection.schema_editor(atomic=False) as editor:
            keep_first(None, editor)
        labels = ask("SELECT name, pgh_label FROM classifier_patientevent ORDER BY name")
        assert [name for name, _label in labels] == [f"Old {number}" for number in range(5)]
        assert [label == "found" for _name, label in labels] == [True, True, True, False, True]
        assert ask("SELECT count(*) FROM classifier_auditpending") == [(5,)]


def test_batches_cover_every_row_once() -> None:
    clinic = factories.make_clinic("A Clinic")
    owner = factories.make_member(clinic, email="owner@clinic.example")
    for number in range(5):
        factories.make_patient(clinic, owner, name=f"P{number}")
    statement = """
        UPDATE classifier_patient SET notes = notes || 'x'
        WHERE (%(above)s IS NULL OR id > %(above)s) AND id <= %(upto)s
    """
    with connection.schema_editor(atomic=False) as editor:
        assert in_batches(editor, statement, table="classifier_patient", batch=2) == 3
        assert in_batches(editor, statement, table="classifier_lesion") == 0
    assert ask("SELECT DISTINCT notes FROM classifier_patient") == [("x",)]
