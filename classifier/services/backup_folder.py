"""Where an archive is written until it is whole: nothing of a backup that was killed stays there.

What lies there is patients' data, not encrypted yet: a backup that is killed cannot remove it, so
the next one does. A lock, which the kernel lets go of however its process ends, tells a place that
was left behind from one where another backup is at work.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PREFIX, _LOCK = ".skinapp-backup-", "lock"
# As versions before called theirs. They held no lock: what nobody has touched for so long is left.
_FORMER = (".skinapp-*.tar.part", ".backup-*")
_FORMER_SECONDS = 3600


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """Yield a new folder inside ``folder`` that only we may read, and remove it in the end.

    What killed backups left in ``folder`` is removed before.
    """
    _sweep(folder)
    place, handle = _own(folder)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(handle)


def _own(folder: Path) -> tuple[Path, int]:
    """Make a place and lock it; another backup may sweep it before it is locked."""
    while True:
        place = folder / tempfile.mkdtemp(dir=folder, prefix=_PREFIX)
        try:
            handle = _lock(place, fcntl.LOCK_EX)
        except FileNotFoundError:
            continue
        if (place / _LOCK).exists():
            return place, handle
        os.close(handle)


def _lock(place: Path, how: int) -> int:
    """Lock a place.

    Raises:
        BlockingIOError: somebody holds it, and ``how`` says not to wait.
    """
    handle = os.open(place / _LOCK, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, how)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _sweep(folder: Path) -> None:
    for place in folder.glob(f"{_PREFIX}*/"):
        try:
            handle = _lock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, FileNotFoundError):
            continue
        try:
            shutil.rmtree(place)
        finally:
            os.close(handle)
    for pattern in _FORMER:
        for left in folder.glob(pattern):
            if _untouched(left):
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _untouched(path: Path) -> bool:
    newest = max((each.stat().st_mtime for each in [path, *path.glob("*")]), default=0.0)
    return newest < time.time() - _FORMER_SECONDS
