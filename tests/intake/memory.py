"""How much memory and processor time an upload needed, here and where it is decoded."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import sys
import time
from pathlib import Path

from classifier.intake.decoders import decoders

_PROCESSES = Path("/proc")
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def forget_peak() -> None:
    """Let the kernel count the process' peak memory from now on, where it can."""
    with contextlib.suppress(OSError):
        _CLEAR.write_text(_RESET_PEAK)


def peak_mebibytes() -> float:
    """Return the process' peak memory since the last :func:`forget_peak`."""
    if _STATUS.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
        if found is not None:
            return int(found.group(1)) / 1024
    # Linux counts kibibytes here, macOS bytes.
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def forget_decoders_peak() -> None:
    """Let the kernel count the decoding processes' peak memory from now on, where it can."""
    for pid in decoders().idle():
        with contextlib.suppress(OSError):
            (_PROCESSES / str(pid) / "clear_refs").write_text(_RESET_PEAK)


def decoders_peak_mebibytes() -> float:
    """Return the most that a decoding process held since :func:`forget_decoders_peak`."""
    found = [0.0]
    for pid in decoders().idle():
        text = (_PROCESSES / str(pid) / "status").read_text(encoding="utf-8")
        found += [int(kibibytes) / 1024 for kibibytes in re.findall(r"VmHWM:\s+(\d+)", text)]
    return max(found)


def decoders_seconds() -> dict[int, float]:
    """Return the processor time of each decoding process by its number."""
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for pid in decoders().idle():
        text = (_PROCESSES / str(pid) / "stat").read_text(encoding="utf-8")
        fields = text.rpartition(")")[2].split()
        found[pid] = (int(fields[11]) + int(fields[12])) / tick
    return found


def processor_seconds() -> float:
    """Return the processor time of this process and its decoding processes."""
    return time.process_time() + sum(decoders_seconds().values())
