"""Ending what an earlier run left behind when it was killed.

The kernel tells children when their supervisor dies (``children.start``), but they need a moment,
and a child whose own parent was killed as well hears nothing. Linux only: elsewhere there is no
``/proc`` to look in, and nothing is found.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

# Every supervised process carries this variable with the folder that it works for.
MARK = "SKINAPP_SUPERVISED"
_PROCESSES = Path("/proc")
_POLITE_SECONDS = 10.0


def is_postmaster(pid: int, data: Path) -> bool:
    """Say whether a process is a PostgreSQL server on the data folder ``data``."""
    # The command line, because root in a container may not look closer at another user's process.
    words = _read(pid, "cmdline").split(b"\0")
    return len(words) > 1 and words[0].endswith(b"postgres") and os.fsencode(data) in words


def find_leftovers(folder: Path) -> dict[int, int]:
    """Return the processes that work for ``folder``, each with the signal that ends it politely.

    The caller holds the folder's lock, so that none of them belongs to a living supervisor.
    """
    found: dict[int, int] = {}
    if not _PROCESSES.is_dir():
        return found
    mark = f"{MARK}={folder}".encode()
    for entry in _PROCESSES.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        pid = int(entry.name)
        if is_postmaster(pid, folder / "postgres"):
            found[pid] = signal.SIGINT
        elif mark in _read(pid, "environ").split(b"\0") or _is_valkey(pid, folder / "valkey"):
            found[pid] = signal.SIGTERM
    return found


def end_leftovers(folder: Path) -> int:
    """End what :func:`find_leftovers` finds and return how many processes that were."""
    ended: set[int] = set()
    deadline = time.monotonic() + _POLITE_SECONDS
    while found := find_leftovers(folder):
        late = time.monotonic() > deadline
        for pid, sign in found.items():
            if pid in ended and not late:
                continue
            ended.add(pid)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL if late else sign)
        if time.monotonic() > deadline + _POLITE_SECONDS:
            break
        time.sleep(0.05)
    return len(ended)


def _is_valkey(pid: int, data: Path) -> bool:
    # It overwrites its own title and environment, but works in its data folder.
    with suppress(OSError):
        place = _PROCESSES / str(pid)
        return (place / "exe").readlink().name.startswith("valkey-server") and (
            place / "cwd"
        ).readlink() == data
    return False


def _read(pid: int, name: str) -> bytes:
    with suppress(OSError):
        return (_PROCESSES / str(pid) / name).read_bytes()
    return b""
