"""How connections to PostgreSQL are used: how it plans, and how long web waits for it.

**Planning.** The statements of a page join up to a dozen tables by their keys, each row to one
other: in whatever order that is done, it takes a fraction of a millisecond, while weighing all
orders takes up to seven. Compiling an expression (JIT) takes longer than it saves on what a page
asks for.

**Waiting.** No statement of a page takes longer than these bounds. PostgreSQL itself ends a
statement that takes too long. A PostgreSQL that is frozen (a stopped container, a virtual machine
that is being moved, a disk that does not answer) ends nothing, and where the network goes on
confirming what is sent, TCP notices nothing either: libpq would wait for ever, and soon every
thread with it. Therefore the waiting itself is bounded here as well.

Workers and commands are not bounded: a migration, a backup or the nightly check may take an hour.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.backends.signals import connection_created
from psycopg2 import OperationalError
from psycopg2.extensions import (
    POLL_OK,
    POLL_READ,
    STATUS_BEGIN,
    STATUS_READY,
    set_wait_callback,
)

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2's own name

# PostgreSQL's own bound comes first where it is able to keep it, and says more.
GRACE_SECONDS = 5.0

# PostgreSQL's own are 8 and on.
_PLANNING = "SELECT set_config('join_collapse_limit', '6', false), set_config('jit', 'off', false)"


def plan_quickly() -> None:
    """Bound how long PostgreSQL plans on every connection that is opened from now on."""
    connection_created.connect(_plan, dispatch_uid="skinapp.databases.planning")


def _plan(*, connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_PLANNING)


def bound_statements() -> None:
    """Bound every connection that this process opens from now on; ``wsgi.py`` calls it."""
    connection_created.connect(_bound, dispatch_uid="skinapp.databases")
    set_wait_callback(_wait)


def unbound_statements() -> None:
    """Take that back."""
    connection_created.disconnect(dispatch_uid="skinapp.databases")
    set_wait_callback(None)


def _bound(*, connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    bounds = {
        "statement_timeout": settings.DATABASE_STATEMENT_SECONDS,
        "lock_timeout": settings.DATABASE_LOCK_SECONDS,
    }
    with connection.cursor() as cursor:
        for name, seconds in bounds.items():
            cursor.execute("SELECT set_config(%s, %s, false)", [name, f"{int(seconds * 1000)}ms"])


def _wait(connection: Connection) -> None:
    """Wait until PostgreSQL has answered; psycopg2 calls it for every statement.

    When it fails, psycopg2 closes the connection, and Django opens another for the next request.

    Raises:
        OperationalError: it has not answered for longer than it may take.
    """
    is_open = connection.status in (STATUS_READY, STATUS_BEGIN)
    if is_open:
        # As PostgreSQL understands it: 0 is for ever.
        bound = settings.DATABASE_STATEMENT_SECONDS
        seconds = bound + GRACE_SECONDS if bound else None
    else:
        # libpq keeps no time of its own where somebody else does the waiting.
        seconds = settings.DATABASE_CONNECT_SECONDS or None
    end = None if seconds is None else time.monotonic() + seconds
    state = connection.poll()
    while state != POLL_OK:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN if state == POLL_READ else select.POLLOUT)
        left = None if end is None else max(0.0, end - time.monotonic()) * 1000
        if not poll.poll(left):
            msg = f"PostgreSQL has not answered for {seconds:.0f} s"
            raise OperationalError(msg)
        state = connection.poll()
