"""Indexes are built and dropped beside the work; a failed attempt leaves no half of one."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, migrations, models
from django.db.migrations.state import ProjectState

from classifier.schema_changes import AddIndexPatiently, RemoveIndexPatiently
from tests import factories
from tests.runtime.statements import ask

pytestmark = pytest.mark.django_db(transaction=True)


def clinics() -> ProjectState:
    """Return the state of an application that keeps clinics, without an index on their names."""
    state = ProjectState()
    migrations.CreateModel(
        "Clinic", [("id", models.UUIDField(primary_key=True)), ("name", models.TextField())]
    ).state_forwards("classifier", state)
    return state


def test_after_a_failure_only_the_index_that_failed_is_built_again() -> None:
    names = [f"clinic_for_a_test_{number}" for number in range(4)]
    operations = [AddIndexPatiently("clinic", models.Index(fields=["name"], name=n)) for n in names]
    states = [clinics()]
    for operation in operations:
        states.append(states[-1].clone())
        operation.state_forwards("classifier", states[-1])

    def build(some: list[AddIndexPatiently]) -> None:
        with connection.schema_editor(atomic=False) as editor:
            for operation, before, after in zip(some, states, states[1:], strict=False):
                operation.database_forwards("classifier", editor, before, after)

    def indexes() -> dict[str, tuple[int, bool, str]]:
        rows = ask(
            "SELECT relname, indexrelid, indisvalid, pg_get_indexdef(indexrelid) FROM pg_index"
            " JOIN pg_class ON pg_class.oid = indexrelid WHERE relname ~ '^clinic_for_a_test_'"
        )
        return {row[0]: row[1:] for row in rows}

    factories.make_clinic("One")
    factories.make_clinic("Another")
    try:
        build(operations[:2])
        # PostgreSQL keeps what it could not finish.
        with connection.cursor() as cursor, pytest.raises(IntegrityError):
            cursor.execute(
                f"CREATE UNIQUE INDEX CONCURRENTLY {names[2]} ON classifier_clinic ((true))"
            )
        before = indexes()
        assert [before[name][1] for name in names[:3]] == [True, True, False]
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '321ms'")
        build(operations)
        after = indexes()
        assert [after[name] for name in names[:2]] == [before[name] for name in names[:2]]
        assert after[names[2]][0] != before[names[2]][0]
        for _oid, valid, definition in after.values():
            assert (valid, definition.endswith("(name)")) == (True, True)
        assert set(after) == set(names)
        assert ask("SHOW lock_timeout") == [("321ms",)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"RESET lock_timeout; DROP INDEX IF EXISTS {', '.join(names)}")


def test_a_dropped_index_comes_back_also_where_an_attempt_left_half_of_it() -> None:
    name = "clinic_for_another_test"
    without = clinics()
    with_it = without.clone()
    add = AddIndexPatiently("clinic", models.Index(fields=["name"], name=name))
    add.state_forwards("classifier", with_it)
    drop = RemoveIndexPatiently("clinic", name)
    valid = (
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('clinic_for_another_test')"
    )
    factories.make_clinic("One")
    factories.make_clinic("Another")
    try:
        with connection.schema_editor(atomic=False) as editor:
            add.database_forwards("classifier", editor, without, with_it)
            drop.database_forwards("classifier", editor, with_it, without)
        assert ask(valid) == []
        with connection.cursor() as cursor, pytest.raises(IntegrityError):
            cursor.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON classifier_clinic ((true))")
        assert ask(valid) == [(False,)]
        with connection.schema_editor(atomic=False) as editor:
            drop.database_backwards("classifier", editor, without, with_it)
        assert ask(valid) == [(True,)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP INDEX IF EXISTS {name}")
