"""Emptying tables between tests that commit, although triggers refuse TRUNCATE.

The suite's own role may switch triggers off for one transaction, as only a database's superuser
can; the application's role in a hospital is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def _flush(operations: Any, sql_list: Iterable[Any]) -> None:
    from django.db import connections, transaction

    alias = operations.connection.alias
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for sql in sql_list:
            cursor.execute(sql)


def pytest_sessionstart() -> None:
    """Let Django's flush of the test database get past the triggers."""
    # Not any earlier: Django must be set up before its models are imported.
    from django.db.backends.postgresql.operations import DatabaseOperations

    DatabaseOperations.execute_sql_flush = _flush  # type: ignore[method-assign,assignment]
