"""How long web waits for PostgreSQL: no statement of a page takes longer than these bounds.

Workers and commands are not bounded: a migration, a backup or the nightly check may take an hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.backends.signals import connection_created

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


def bound_statements() -> None:
    """Bound every connection that this process opens from now on; ``wsgi.py`` calls it."""
    connection_created.connect(_bound, dispatch_uid="skinapp.databases")


def _bound(*, connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    bounds = {
        "statement_timeout": settings.DATABASE_STATEMENT_SECONDS,
        "lock_timeout": settings.DATABASE_LOCK_SECONDS,
    }
    with connection.cursor() as cursor:
        for name, seconds in bounds.items():
            cursor.execute("SELECT set_config(%s, %s, false)", [name, f"{int(seconds * 1000)}ms"])
