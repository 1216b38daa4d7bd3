"""Starting child processes that never outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION = 0x20080522
# "nobody" on every Linux; the number is used because a minimal system may lack the name.
NOBODY = 65534
ENDING_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})

_started: list[subprocess.Popen[bytes]] = []


def free_port(preferred: int | None = None, *, tries: int = 100) -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on.

    Args:
        preferred: this one if it is free, else the next free one above it; None for any.
        tries: how many ports above ``preferred`` to try.

    Raises:
        OSError: none of them is free.
    """
    with free_socket(preferred, tries=tries) as held:
        return int(held.getsockname()[1])


def free_socket(preferred: int | None = None, *, tries: int = 100) -> socket.socket:
    """Return a socket bound to the port that :func:`free_port` would name.

    Whoever keeps the socket keeps the port: nobody can take it between the look and the use.

    Raises:
        OSError: none of the ports is free.
    """
    highest = 65_536
    candidates = [0] if preferred is None else range(preferred, min(preferred + tries, highest))
    for port in candidates:
        held = socket.socket()
        # As the server itself will: a port in TIME_WAIT counts as free.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind(("127.0.0.1", port))
        except OSError:
            held.close()
            continue
        return held
    msg = f"None of the ports {preferred} to {candidates[-1]} is free; name another: PORT=…"
    raise OSError(msg)


def start(  # noqa: PLR0913 - what a process needs to be told
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    log: Path | None = None,
    pipe: bool = False,
    keep: Sequence[int] = (),
    user: int | None = None,
    death_signal: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own that is told to end when this one dies.

    Args:
        command: the program and its arguments.
        environment: its whole environment; by default this process's.
        folder: where it starts; by default where this process is.
        log: a file that its output is appended to; by default it is thrown away.
        pipe: leave its standard output (not its errors) to the caller to read.
        keep: file descriptors that it inherits.
        user: as root, run it as this user (PostgreSQL refuses to run as root).
        death_signal: what the kernel sends it when this process dies (Linux).
    """
    output = log.open("ab") if log is not None else subprocess.DEVNULL
    try:
        # No signal may get between the start of a process and its being on the list of those
        # that must be stopped.
        with _signals_held() as before:
            process = subprocess.Popen(  # noqa: S603 - our own programs
                [str(part) for part in command],
                env=dict(environment) if environment is not None else None,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else output,
                stderr=output if pipe else subprocess.STDOUT,
                pass_fds=keep,
                start_new_session=True,
                preexec_fn=_before_exec(  # noqa: PLW1509 - these programs start no thread before
                    before, user=user, death_signal=death_signal
                ),
            )
            _started.append(process)
        return process
    finally:
        if not isinstance(output, int):
            output.close()


def stop(process: subprocess.Popen[bytes], *, sign: int, seconds: float) -> None:
    """End a process group: politely first, by force after ``seconds``."""
    if process.poll() is None:
        tell(process, sign)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            end_group(process)
            process.wait()
    # Whatever the process left behind in its group goes too.
    end_group(process)
    if process in _started:
        _started.remove(process)


def stop_rest(*, seconds: float) -> None:
    """End everything that :func:`start` started and nobody stopped, last started first."""
    for process in reversed(_started.copy()):
        stop(process, sign=signal.SIGTERM, seconds=seconds)


def tell(process: subprocess.Popen[bytes], sign: int) -> None:
    """Send a signal to the process itself, unless it ended."""
    # A process that ended by itself, or whose number is somebody else's by now, is not told.
    try:
        process.send_signal(sign)
    except (ProcessLookupError, PermissionError):
        return


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the process's group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


@contextmanager
def _signals_held() -> Iterator[set[int]]:
    """Keep the signals that end this process waiting; yields the mask that was set before."""
    before = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)}
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _before_exec(mask: set[int], *, user: int | None, death_signal: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None
    other = user if user is not None and os.geteuid() == 0 and libc is not None else None

    def prepare() -> None:
        # Whatever this process ignores or holds back, the child starts without it.
        for sign in ENDING_SIGNALS:
            signal.signal(sign, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if libc is None:
            return
        if other is not None:
            _become(other, libc)
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


def _become(user: int, libc: ctypes.CDLL) -> None:
    """Become another user, but keep the right to walk through folders that only root may enter.

    A checkout under ``/root`` would be out of reach otherwise. Where the kernel refuses (a
    container without that capability) the process simply goes on without it.
    """
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    bit = 1 << _CAP_DAC_OVERRIDE
    data = (_Data * 2)(_Data(bit, bit, bit), _Data(0, 0, 0))
    header = _Header(_CAPABILITY_VERSION, 0)
    if libc.capset(ctypes.byref(header), data) == 0:
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)
