"""The log: every line carries the reference of its request, and none quotes a patient's row."""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar
from typing import Any

NONE = "-"
reference: ContextVar[str] = ContextVar("reference", default=NONE)


# What PostgreSQL says below the first line of a fault, to the end: a value that it quotes may have
# lines of its own. The next traceback is Python's again.
_QUOTED = re.compile(
    r"(DETAIL:|CONTEXT:|LINE \d+:).*?"
    r"(?=\n[ |+]*(?:Exception Group )?Traceback \(|\nStack \("
    r"|\n[ |]*The above exception was|\n[ |]*During handling of the above|\Z)",
    re.DOTALL,
)


class ReferenceFilter(logging.Filter):
    """Adds the reference of the request at hand to a record of the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Set ``record.reference``; outside a request it is a dash."""
        record.reference = reference.get()
        return True


class DiscreetFormatter(logging.Formatter):
    """Withholds what PostgreSQL quotes from a row, such as a record number that exists already."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line and its traceback without the quoted values.

        Messages as well as tracebacks: Celery's line of a failed task holds the fault's ``repr``.
        """
        return _QUOTED.sub(r"\1  withheld", super().format(record))


# For ``settings.LOGGING``.
CONFIGURATION: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "()": DiscreetFormatter,
            "format": "{asctime} {levelname} {reference} {name} {message}",
            "style": "{",
        },
    },
    "filters": {"reference": {"()": ReferenceFilter}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "plain",
            "filters": ["reference"],
        },
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": ["console"], "level": "INFO", "propagate": False},
        # A refused address is somebody's typing error or a stranger, not our fault to mend.
        "django.security.DisallowedHost": {"level": "ERROR"},
        "celery": {"level": "INFO"},
    },
}
