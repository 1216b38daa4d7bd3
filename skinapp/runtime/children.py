"""Starting child processes that never outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION = 0x20080522
# "nobody" on every Linux; the number is used because a minimal system may lack the name.
NOBODY = 65534


def free_port(preferred: int | None = None, *, tries: int = 100) -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on.

    Args:
        preferred: this one if it is free, else the next free one above it; None for any.
        tries: how many ports above ``preferred`` to try.

    Raises:
        OSError: none of them is free.
    """
    candidates = [0] if preferred is None else range(preferred, preferred + tries)
    for port in candidates:
        with socket.socket() as probe:
            # As the server itself will: a port in TIME_WAIT counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    msg = f"No free port from {preferred} on."
    raise OSError(msg)


def start(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
    unprivileged: bool = False,
    death_signal: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own that is told to end when this one dies.

    Args:
        command: the program and its arguments.
        environment: its whole environment; by default this process's.
        log: a file that its output is appended to; by default it is thrown away.
        unprivileged: as root, run it as nobody (PostgreSQL refuses to run as root).
        death_signal: what the kernel sends it when this process dies (Linux).
    """
    output = log.open("ab") if log is not None else subprocess.DEVNULL
    try:
        return subprocess.Popen(  # noqa: S603 - our own programs
            [str(part) for part in command],
            env=dict(environment) if environment is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_before_exec(  # noqa: PLW1509 - no thread is started before the children
                unprivileged=unprivileged, death_signal=death_signal
            ),
        )
    finally:
        if not isinstance(output, int):
            output.close()


def stop(process: subprocess.Popen[bytes], *, sign: int, seconds: float) -> None:
    """End a process group: politely first, by force after ``seconds``."""
    if process.poll() is None:
        _signal(process, sign, group=False)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL, group=True)
            process.wait()
    # Whatever the process left behind in its group goes too.
    _signal(process, signal.SIGKILL, group=True)


def _signal(process: subprocess.Popen[bytes], sign: int, *, group: bool) -> None:
    try:
        if group:
            os.killpg(process.pid, sign)
        else:
            process.send_signal(sign)
    except (ProcessLookupError, PermissionError):
        # It ended by itself, or the group's number is somebody else's by now.
        return


def _before_exec(*, unprivileged: bool, death_signal: int) -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    drop = unprivileged and os.geteuid() == 0

    def prepare() -> None:
        if drop:
            _become_nobody(libc)
        # After the change of user, which clears it.
        libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)

    return prepare


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _become_nobody(libc: ctypes.CDLL) -> None:
    """Become nobody, but keep the right to walk through folders that only root may enter.

    A checkout under ``/root`` would be out of reach otherwise. Where the kernel refuses (a
    container without that capability) the process simply goes on without it.
    """
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    bit = 1 << _CAP_DAC_OVERRIDE
    data = (_Data * 2)(_Data(bit, bit, bit), _Data(0, 0, 0))
    header = _Header(_CAPABILITY_VERSION, 0)
    if libc.capset(ctypes.byref(header), data) == 0:
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)
