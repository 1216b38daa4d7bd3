"""What it costs to decode uploads in processes of their own, under a memory limit.

Each picture is taken in here, by the library's own calls, and through ``classifier.intake``'s
decoding process; processor time is compared, which other work on the machine stretches less.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.intake import picture_of, take_in

if TYPE_CHECKING:
    from collections.abc import Callable

_SIZES = {1: (1152, 864), 12: (4000, 3000), 64: (9_216, 6_912)}
_FORMATS = ("JPEG", "PNG", "HEIC")


def run(*, quick: bool) -> str:
    """Measure every format at one, twelve and sixty-four megapixels.

    Args:
        quick: without the largest, fewer times each.

    Returns:
        A Markdown section.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.local")
    import django  # noqa: PLC0415 - only this benchmark needs it

    django.setup()
    from classifier.intake.accept import intake_limits  # noqa: PLC0415 - after setup
    from classifier.intake.decoders import decoders, end_decoders  # noqa: PLC0415 - likewise

    limits = intake_limits()
    lines = [
        "## Decoding in a process of its own, under a memory limit",
        "",
        "| megapixels | format | in web | in its own | web's share | ratio | peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for mega, size in _SIZES.items():
        if quick and mega > 12:  # noqa: PLR2004 - the largest
            continue
        for kind in _FORMATS:
            data = picture_of(size, kind)
            if len(data) > limits.max_bytes:
                lines.append(f"| {mega} | {kind} | {len(data) / 1e6:.0f} MB: refused | | | | |")
                continue
            rounds = 1 if mega > 12 else (40 if mega == 1 else 4) // (2 if quick else 1)  # noqa: PLR2004
            take_in(data)
            here = _spent(lambda: take_in(data), rounds)  # noqa: B023 - called at once
            end_decoders()
            decoders().decode(data, limits)
            (pid,) = decoders().idle()
            before = _child_seconds(pid)
            share = _spent(lambda: decoders().decode(data, limits), rounds)  # noqa: B023 - likewise
            there = (_child_seconds(pid) - before) / rounds
            peak = _peak(pid)
            lines.append(
                f"| {mega} | {kind} | {here * 1e3:.0f} ms | {(there + share) * 1e3:.0f} ms "
                f"| {share * 1e3:.1f} ms | {(there + share) / here:.2f} | {peak:.0f} MiB |"
            )
    began = time.perf_counter()
    end_decoders()
    decoders().decode(picture_of(_SIZES[1], "JPEG"), limits)
    lines += [
        "",
        f"Starting a process and decoding the first picture: {time.perf_counter() - began:.2f} s.",
    ]
    end_decoders()
    return "\n".join(lines)


def _spent(act: Callable[[], object], rounds: int) -> float:
    """Return the processor seconds that one call took here, over all threads."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(rounds):
        act()
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent / rounds


def _child_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
