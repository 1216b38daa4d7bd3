"""Migrations that keep nobody waiting: operations for what has to be changed while others work.

PostgreSQL holds every lock that a statement takes until the transaction ends. Two things make that
long: what happens between two statements, and a backfill. For the first there is :class:`AtOnce`,
for the second :func:`in_batches`, and for indexes :class:`AddIndexPatiently`.

A third is somebody else's long transaction: whoever wants a table for itself waits for it, and
whoever comes later waits behind, so that one report makes the site stand still. Therefore nothing
here waits for a table for longer than half a second; it gives up, lets the others pass, and tries
again. ``manage.py migrate`` does so with whole migrations, for what is not written with these.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.operations import (
    AddIndexConcurrently,
    CreateExtension,
    RemoveIndexConcurrently,
)
from django.core.management.base import CommandError
from django.db import DatabaseError, OperationalError, transaction
from django.db.migrations.operations import AddConstraint, AddIndex
from django.db.migrations.operations.base import Operation, OperationCategory
from pgtrigger.migrations import AddTrigger
from psycopg2.errors import DeadlockDetected, LockNotAvailable, QueryCanceled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.migrations.state import ProjectState

_BATCH = 2000
# They ask a model for its table and columns, none of which they change.
_ON_A_TABLE = (AddIndex, AddConstraint, AddTrigger)
# For so long others may have to wait behind a migration that itself waits for a table ...
LOCK_MILLISECONDS = 500
# ... then they pass for so long ...
PAUSE_SECONDS = 1.0
# ... and after so many tries, two minutes at least, a person must look who keeps the table open.
TRIES = 80


class AtOnce(Operation):
    """Several operations whose statements are sent together.

    Django rebuilds its models before each operation, a tenth of a second on a busy machine. In a
    migration of eighty operations the first lock would be held for seconds of pure Python. Here
    all statements are written first, then all tables are taken together, and then everything is
    sent in one go: a table is held for as long as PostgreSQL itself needs.

    In its migration nothing that others use may be changed before it, and the migration has to be
    one transaction: with ``atomic = False`` the tables would be given back as soon as taken.
    """

    category = OperationCategory.MIXED

    def __init__(self, operations: Sequence[Operation], *, tables: Sequence[str]) -> None:
        """Hold the operations in their order.

        Args:
            operations: what to do.
            tables: every table that they or foreign keys of new tables touch and that others use.
        """
        self.operations = list(operations)
        self.tables = list(tables)

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change the models as all operations do, one after the other."""
        _forget_built(state)
        for operation in self.operations:
            operation.state_forwards(app_label, state)

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,  # noqa: ARG002 - Django's signature
    ) -> None:
        """Write the statements, then take the tables and run them."""
        states = self._states(app_label, from_state)
        with self._written(schema_editor) as writer:
            for operation, before, after in zip(self.operations, states, states[1:], strict=False):
                operation.database_forwards(app_label, writer, before, after)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,  # noqa: ARG002 - Django's signature
        to_state: ProjectState,
    ) -> None:
        """Take the operations back in reverse order, likewise."""
        states = self._states(app_label, to_state)
        steps = list(zip(self.operations, states, states[1:], strict=False))
        with self._written(schema_editor) as writer:
            for operation, before, after in reversed(steps):
                operation.database_backwards(app_label, writer, after, before)

    @contextmanager
    def _written(
        self, schema_editor: BaseDatabaseSchemaEditor
    ) -> Iterator[BaseDatabaseSchemaEditor]:
        """Give an editor that only writes statements down; send them at the end."""
        _demand_transaction(schema_editor)
        if schema_editor.collect_sql:
            yield schema_editor
            return
        with schema_editor.connection.schema_editor(collect_sql=True, atomic=False) as writer:
            yield writer
        take_tables(schema_editor, self.tables)
        if writer.collected_sql:
            schema_editor.execute("\n".join(writer.collected_sql), params=None)

    def _states(self, app_label: str, first: ProjectState) -> list[ProjectState]:
        """Return the models before the first, between all, and after the last operation."""
        first.apps  # noqa: B018 - a property that builds what the statements need
        states = [first]
        for alike, run in groupby(self.operations, key=lambda one: isinstance(one, _ON_A_TABLE)):
            if alike:
                # One state after all of them, built once, does for each.
                operations = list(run)
                state = states[-1].clone()
                _forget_built(state)
                for operation in operations:
                    operation.state_forwards(app_label, state)
                state.apps  # noqa: B018 - as above
                states += [state] * len(operations)
                continue
            for operation in run:
                # Once built, models are changed with the state.
                state = states[-1].clone()
                operation.state_forwards(app_label, state)
                state.apps  # noqa: B018 - as above
                states.append(state)
        return states

    def describe(self) -> str:
        """Return what it does, for ``manage.py sqlmigrate``."""
        return "; ".join(operation.describe() for operation in self.operations)


def _forget_built(state: ProjectState) -> None:
    """Let the models of a state be built when they are next asked for, all of them at once.

    Otherwise every operation builds the changed model again and all that are related to it, which
    takes most of the time of a whole run of migrations.
    """
    state.__dict__.pop("apps", None)


class VectorExtension(CreateExtension):
    """Makes pgvector's types known to the database, or says who has to.

    Only a superuser of PostgreSQL may, so on a server of the hospital's own its administrator does
    it once for this database; migrating finds it then. Going back leaves it where it is.
    """

    _OLDEST = (0, 8)

    def __init__(self) -> None:
        """Name the extension."""
        super().__init__("vector")

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Create it where it is not there, and look at its version.

        Raises:
            VectorMissingError: it cannot be created by this role, is not installed, or is too old.
        """
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        except DatabaseError as error:
            raise VectorMissingError(str(error).strip().splitlines()[0]) from error
        if schema_editor.collect_sql:
            return
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
            (version,) = cursor.fetchone()
        if tuple(int(part) for part in version.split(".")[:2]) < self._OLDEST:
            raise VectorMissingError("it is " + version)

    def database_backwards(self, *_how: Any) -> None:
        """Leave it: it may be somebody else's, too."""


class VectorMissingError(CommandError):
    """The database lacks pgvector, and this role cannot help it."""

    def __init__(self, why: str) -> None:
        """Say what to do."""
        super().__init__(
            f"The database needs pgvector 0.8 or later ({why}). Install it on the database server, "
            "let a superuser run CREATE EXTENSION vector (or ALTER EXTENSION vector UPDATE) in "
            "this database, and run migrate again."
        )


class StillInUseError(CommandError):
    """Somebody used a table at every try; it is not tried again by itself."""

    def __init__(self, tables: Sequence[str]) -> None:
        """Say which tables are asked for."""
        super().__init__(
            f"One of these tables was in use at every try: {', '.join(tables)}. A backup, a report "
            "or a forgotten session keeps it; run migrate again when it has ended."
        )


class NoTransactionError(CommandError):
    """Tables are to be taken in a migration that is no transaction."""

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__(
            "AtOnce holds tables until the end of its transaction, and a migration with "
            "atomic = False is none: move the operations into a migration of their own, without "
            "atomic = False."
        )


def _demand_transaction(schema_editor: BaseDatabaseSchemaEditor) -> None:
    if not schema_editor.connection.in_atomic_block:
        raise NoTransactionError


def take_tables(schema_editor: BaseDatabaseSchemaEditor, tables: Sequence[str]) -> None:
    """Take tables for this transaction alone, as soon as nobody uses any of them.

    Raises:
        StillInUseError: somebody used one of them at every try.
        NoTransactionError: there is no transaction that could hold them.
    """
    _demand_transaction(schema_editor)
    if not tables:
        return
    connection = schema_editor.connection
    names = ", ".join(schema_editor.quote_name(table) for table in tables)
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
        cursor.execute("SHOW statement_timeout")
        (bound,) = cursor.fetchone()
        for left in reversed(range(TRIES)):
            began = time.monotonic()
            try:
                # What was taken is given back with the savepoint.
                with transaction.atomic(using=connection.alias):
                    # The other bound begins anew with every table of the statement: those who
                    # queue for the first table would wait for the last one as well.
                    cursor.execute(f"SET LOCAL statement_timeout = {LOCK_MILLISECONDS}")
                    cursor.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
                    cursor.execute(f"SET LOCAL statement_timeout = '{bound}'")
            except OperationalError as error:
                late = time.monotonic() - began >= LOCK_MILLISECONDS / 1000
                if not in_use(error) and not (late and _was_cancelled(error)):
                    raise
                if not left:
                    raise StillInUseError(tables) from error
                time.sleep(PAUSE_SECONDS)
            else:
                return


def in_use(error: OperationalError) -> bool:
    """Tell whether a statement failed because others use a table."""
    return isinstance(error.__cause__, LockNotAvailable | DeadlockDetected)


def _was_cancelled(error: OperationalError) -> bool:
    """Tell whether a statement took too long, or somebody with the right to do so ended it."""
    return isinstance(error.__cause__, QueryCanceled)


_IS_VALID = """
SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid = to_regclass(quote_ident(%s)) AND relname = %s
"""


class AddIndexPatiently(AddIndexConcurrently):
    """Build an index while others write, however long they take, and after a failure once more.

    Building concurrently waits for every transaction that is open, but nobody waits for it: here
    the bound on waiting does not apply. An index that an earlier attempt finished stays. One that
    it left behind half done, which PostgreSQL calls invalid, is thrown away first: otherwise its
    name would be taken for ever.
    """

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Build it, unless it is there."""
        build = partial(super().database_forwards, app_label, schema_editor, from_state, to_state)
        table = to_state.apps.get_model(app_label, self.model_name)._meta.db_table
        _build_patiently(schema_editor, table, self.index.name, build)


class RemoveIndexPatiently(RemoveIndexConcurrently):
    """Drop an index while others write; going back builds it as :class:`AddIndexPatiently` does."""

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Build it again, unless it is there."""
        build = partial(super().database_backwards, app_label, schema_editor, from_state, to_state)
        table = to_state.apps.get_model(app_label, self.model_name)._meta.db_table
        _build_patiently(schema_editor, table, self.name, build)


def _build_patiently(
    schema_editor: BaseDatabaseSchemaEditor, table: str, index: str, build: Callable[[], None]
) -> None:
    if schema_editor.collect_sql:
        build()
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(_IS_VALID, [table, index])
        found = cursor.fetchone()
        cursor.execute("SHOW lock_timeout")
        (bound,) = cursor.fetchone()
    if found == (True,):
        return
    schema_editor.execute("SET lock_timeout = 0")
    if found:
        schema_editor.execute(f"DROP INDEX CONCURRENTLY {schema_editor.quote_name(index)}")
    build()
    schema_editor.execute(f"SET lock_timeout = '{bound}'")


def in_batches(
    schema_editor: BaseDatabaseSchemaEditor, statement: str, *, table: str, batch: int = _BATCH
) -> int:
    """Run a statement for the rows of a table, some at a time, each time in its own transaction.

    Args:
        schema_editor: of a migration with ``atomic = False``.
        statement: what to do with the rows whose ``id`` lies above ``%(above)s`` (all of them when
            that is NULL) and not above ``%(upto)s``. It must do nothing for a row that was dealt
            with before: after a failure all of them come again.
        table: whose rows.
        batch: how many rows at a time.

    Returns:
        How many times it was run.
    """
    times = 0
    with schema_editor.connection.cursor() as cursor:
        above: Any = None
        while True:
            cursor.execute(
                f"SELECT id FROM {table} WHERE %(above)s IS NULL OR id > %(above)s"  # noqa: S608 - our own table's name
                " ORDER BY id LIMIT %(batch)s",
                {"above": above, "batch": batch},
            )
            found = cursor.fetchall()
            if not found:
                return times
            upto = found[-1][0]
            cursor.execute(statement, {"above": above, "upto": upto})
            above = upto
            times += 1
