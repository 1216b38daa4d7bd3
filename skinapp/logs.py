"""The log: every line carries the reference of its request, and none quotes a patient's row."""

from __future__ import annotations

import logging
from contextvars import ContextVar

NONE = "-"
reference: ContextVar[str] = ContextVar("reference", default=NONE)


class ReferenceFilter(logging.Filter):
    """Adds the reference of the request at hand to a record of the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Set ``record.reference``; outside a request it is a dash."""
        record.reference = reference.get()
        return True


class DiscreetFormatter(logging.Formatter):
    """Withholds what PostgreSQL quotes from a row, such as a record number that exists already."""

    def formatException(self, ei: object) -> str:  # noqa: N802 - the library's name
        """Return the traceback without the quoted values."""
        lines = super().formatException(ei).splitlines()  # type: ignore[arg-type] # the stubs hide its type
        return "\n".join(
            "DETAIL:  withheld" if line.lstrip().startswith("DETAIL:") else line for line in lines
        )
