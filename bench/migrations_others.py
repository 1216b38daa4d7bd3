"""``python -m bench.migrations_others``: others go on working while a database is migrated.

Takes the words for a connection as JSON on the first line of its input, says "at work", works until
the next line, and prints the longest wait of a reader and of a writer with what it was that waited.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg2

if TYPE_CHECKING:
    from collections.abc import Callable

Waits = dict[str, tuple[float, str]]

# What there was at the first released version. Deleting nothing takes the lock that every insert,
# update and delete takes, and leaves the append-only tables as they are.
_TABLES = (
    *("clinic", "user", "membership", "patient", "lesion", "image", "analysis", "transition"),
    *("prediction", "reading", "review", "modelversion", "auditevent"),
)
_PAUSE_SECONDS = 0.03
# Two people's reports: each keeps every table open for so long and then, for so long, none. The
# second begins while the first is under way, so that in each round there are a time of one, of
# both, of the other alone, and of nobody.
_REPORT_SECONDS, _BETWEEN_SECONDS = 3.0, 3.0
_REPORTS_BEGIN_SECONDS = (0.0, 1.5)

_ADD = """
INSERT INTO classifier_auditevent
  (at, actor_kind, action, subject_type, subject_id, reason, details)
  VALUES (now(), 'system', 'bench', '', '', '', '{}')
"""
_STORY = (
    "UPDATE classifier_patient SET notes = 'n' || clock_timestamp() WHERE id = md5('p1')::uuid",
    "UPDATE classifier_analysis SET attempt = attempt WHERE id = md5('a1')::uuid",
    _ADD,
)


class Others:
    """Readers, writers and reports, each with a connection of its own."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        """Prepare; nobody works yet."""
        self._connect = connect
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []
        self.waits: Waits = {"read": (0.0, "nothing"), "write": (0.0, "nothing")}
        tables = [(table, f"classifier_{table}") for table in _TABLES]
        reads = [(table, [f"SELECT 1 FROM {name} LIMIT 25"]) for table, name in tables]  # noqa: S608 - our own names
        writes = [(table, [f"DELETE FROM {name} WHERE false"]) for table, name in tables]  # noqa: S608 - likewise
        looks = [f"SELECT 1 FROM {name} LIMIT 1" for _, name in tables]  # noqa: S608 - likewise
        jobs = [
            *((self._keep_asking, ("read", reads[part::2])) for part in range(2)),
            *((self._keep_asking, ("write", writes[part::2])) for part in range(2)),
            (self._keep_asking, ("write", [("a change and its event", list(_STORY))])),
            *((self._keep_reporting, (looks, begin)) for begin in _REPORTS_BEGIN_SECONDS),
        ]
        self._threads = [
            threading.Thread(target=self._guarded, args=(work, facts)) for work, facts in jobs
        ]

    def start(self) -> None:
        """Let everybody begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let everybody finish.

        Raises:
            BaseException: what one of them met, like a deadlock.
        """
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for error in self._errors:
            raise error

    def _guarded(self, work: Callable[..., None], facts: tuple[Any, ...]) -> None:
        connection = self._connect()
        try:
            with connection.cursor() as cursor:
                work(connection, cursor, *facts)
        except psycopg2.Error as error:
            self._errors.append(error)
        finally:
            connection.close()

    def _keep_asking(
        self, connection: Any, cursor: Any, kind: str, works: list[tuple[str, list[str]]]
    ) -> None:
        while not self._stop.is_set():
            for what, statements in works:
                began = time.perf_counter()
                for statement in statements:
                    cursor.execute(statement)
                connection.commit()
                spent = time.perf_counter() - began
                with self._lock:
                    self.waits[kind] = max(self.waits[kind], (spent, what))
                self._stop.wait(_PAUSE_SECONDS)

    def _keep_reporting(
        self, connection: Any, cursor: Any, statements: list[str], begin: float
    ) -> None:
        self._stop.wait(begin)
        while not self._stop.is_set():
            for statement in statements:
                cursor.execute(statement)
            self._stop.wait(_REPORT_SECONDS)
            connection.rollback()
            self._stop.wait(_BETWEEN_SECONDS)


def main() -> None:
    """Work until told to stop."""
    facts = json.loads(sys.stdin.readline())
    others = Others(lambda: psycopg2.connect(**facts))
    others.start()
    print("at work", flush=True)
    sys.stdin.readline()
    others.stop()
    print(json.dumps(others.waits))


if __name__ == "__main__":
    main()
