"""What PostgreSQL does for each query of a page: ``EXPLAIN (ANALYZE, BUFFERS)``, kept as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Tables that grow with what a clinic does. The others (clinics, people, models, permissions) are
# small for ever, and PostgreSQL is right to read a small table from its beginning to its end.
GROWING = frozenset(
    "classifier_" + name
    for name in [
        "analysis",
        "auditevent",
        "auditlink",
        "auditpending",
        "consent",
        "erasure",
        "image",
        "imageevent",
        "lesion",
        "lesionevent",
        "patient",
        "patientevent",
        "prediction",
        "reading",
        "review",
        "reviewevent",
        "transition",
    ]
)
_SCANNED = re.compile(
    r"Seq Scan on (\w+).*?(?:rows=([\d.]+) loops=(\d+)|never executed)\)"
    r"(?:\n +(?! |->|Rows Removed by Filter).*)*(?:\n +Rows Removed by Filter: (\d+))?"
)
# A count that stops early may begin at the table's first page: that is no scan of the table.
_MOST_READ = 5_000
# A transaction's own words, and the session, which is written once a minute whatever the page.
_NOT_COUNTED = ("SAVEPOINT", "RELEASE", 'UPDATE "django_session"')
_EXPLAINED = ("SELECT", "INSERT", "(SELECT", "WITH")
_SPENT = re.compile(r"(?:Execution|Planning) Time: ([\d.]+) ms")


def plans_of(ask: Callable[[], Any]) -> tuple[int, list[dict[str, Any]]]:
    """Ask for a page and explain each of its queries.

    Returns:
        How many queries it made, and for each that reads rows: ``sql``, ``plan`` (text, indented),
        ``ms`` and ``scanned`` (growing tables that are read from end to end).
    """
    from django.db import connection  # noqa: PLC0415 - after setup

    asked: list[tuple[str, Any]] = []

    def keep(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - Django's signature
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(keep):
        ask()
    counted = [sql for sql, _params in asked if not sql.startswith(_NOT_COUNTED)]
    return len(counted), list(_explained(connection, asked))


def _explained(connection: Any, asked: list[tuple[str, Any]]) -> Iterator[dict[str, Any]]:
    from django.db import transaction  # noqa: PLC0415 - after setup

    for sql, params in asked:
        if not sql.lstrip().startswith(_EXPLAINED):
            continue
        with transaction.atomic(), connection.cursor() as cursor:
            # An INSERT is run as well, and taken back.
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {sql}", params)
            lines = [line for (line,) in cursor.fetchall()]
            shown = cursor.mogrify(sql, params).decode() if params else sql
            transaction.set_rollback(True)
        plan = "\n".join(lines)
        yield {
            "sql": shown,
            "plan": plan,
            "ms": sum(float(ms) for ms in _SPENT.findall(plan)),
            "scanned": sorted(scanned(plan)),
        }


def scanned(plan: str) -> set[str]:
    """Return the growing tables of which a plan reads more than a few rows from the beginning."""
    found = set()
    for table, rows, loops, removed in _SCANNED.findall(plan):
        read = (float(rows or 0) + int(removed or 0)) * int(loops or 0)
        if table in GROWING and read > _MOST_READ:
            found.add(table)
    return found
