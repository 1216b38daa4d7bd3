"""Asking the database of a test in its own words."""

from __future__ import annotations

from typing import Any

from django.db import connection


def ask(statement: str) -> list[tuple[Any, ...]]:
    """Return the rows that a statement gives."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
