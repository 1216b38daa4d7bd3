"""``manage.py migrate``: Django's, but it does not make others wait.

A migration waits for a table that others use for half a second at most, gives up what it has, and
tries again a little later; ``classifier.schema_changes`` says why.
"""

from __future__ import annotations

import time
from typing import Any

from django.core.management.commands.migrate import Command as DjangoMigrate
from django.db import OperationalError, connections

from classifier.schema_changes import LOCK_MILLISECONDS, PAUSE_SECONDS, TRIES, in_use


class Command(DjangoMigrate):
    """Migrate, and try again where a table is in use; each migration is whole or not done."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Run Django's command with a bound on waiting for locks.

        Raises:
            OperationalError: at every try a table was in use, or the database failed
                otherwise.
        """
        connection = connections[options["database"]]
        if connection.in_atomic_block:
            # Somebody else's transaction is not ours to give up.
            super().handle(*args, **options)
            return
        for left in reversed(range(TRIES)):
            with connection.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = {LOCK_MILLISECONDS}")
            try:
                super().handle(*args, **options)
            except BaseException as error:
                # Where the last statements of a migration fail, those that Django puts off until
                # its end, Django leaves the transaction open, and with it every lock. The bound
                # goes with the connection as well.
                connection.close()
                connection.connect()
                if not left or not (isinstance(error, OperationalError) and in_use(error)):
                    raise
                self.stdout.write(
                    "A table is in use; what was begun was taken back, trying again …"
                )
                time.sleep(PAUSE_SECONDS)
            else:
                with connection.cursor() as cursor:
                    cursor.execute("RESET lock_timeout")
                return
