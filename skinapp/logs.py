"""The log: every line carries the reference of its request, and none quotes a patient's row."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

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
