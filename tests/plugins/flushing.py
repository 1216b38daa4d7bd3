"""Emptying tables between tests that commit, although triggers refuse it.

The suite's own role may switch triggers off for one transaction, as only a database's superuser
can; the application's role in a hospital is none.

Django would truncate every table, which makes new files for each of them and its indexes, and
then make the content types and permissions again. A test leaves a handful of rows; deleting them
costs a tenth, and what migrations make and no test changes stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg2 import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

# Made from the models by a signal after migrations, not by the tests.
_KEPT = {"django_content_type", "auth_permission"}


def _statements(operations: Any, style: Any, tables: Iterable[str], **_options: bool) -> list[Any]:
    """Return what empties the tables; sequences go on, as they do with Django's own flush."""
    del operations, style
    names = sorted(set(tables) - _KEPT)
    return [sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) for name in names]


def _flush(operations: Any, sql_list: Iterable[Any]) -> None:
    from django.db import connections, transaction

    alias = operations.connection.alias
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        # Neither triggers nor foreign keys look.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql.SQL("; ").join(sql_list))


def pytest_sessionstart() -> None:
    """Let Django's flush of the test database get past the triggers, and quickly."""
    # Not any earlier: Django must be set up before its models are imported.
    from django.core.management.commands import flush
    from django.db.backends.postgresql.operations import DatabaseOperations

    DatabaseOperations.sql_flush = _statements  # type: ignore[method-assign,assignment]
    DatabaseOperations.execute_sql_flush = _flush  # type: ignore[method-assign,assignment]
    # Content types and permissions are still there.
    flush.emit_post_migrate_signal = lambda *_args, **_options: None  # type: ignore[attr-defined]  # not in the stubs
