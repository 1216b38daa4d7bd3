"""Which processes of an installation the processor's time goes to."""

from __future__ import annotations

import os
from pathlib import Path

# By a word of the command line; the first that fits counts.
_PARTS = (
    ("intake/child.py", "decoding and cutting copies"),
    ("gunicorn", "web"),
    ("celery", "worker and beat"),
    ("postgres", "PostgreSQL"),
    ("valkey-server", "broker"),
)


def spent() -> dict[str, float]:
    """Return milliseconds of processor time since the start, by part of the application.

    All installations of the machine together: the difference of two calls tells of the one that
    works meanwhile. Empty where there is no ``/proc``.
    """
    tick = 1e3 / os.sysconf("SC_CLK_TCK")
    found: dict[str, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (
                (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
            # After the name, which may hold anything, in parentheses.
            words = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            # It has ended meanwhile.
            continue
        part = next((part for word, part in _PARTS if word in command), None)
        if part is not None:
            # With that of its children which have ended and were waited for.
            found[part] = found.get(part, 0.0) + sum(map(int, words[11:15])) * tick
    return found
