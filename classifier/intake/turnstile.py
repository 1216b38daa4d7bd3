"""One large picture at a time.

A picture of 64 megapixels takes half a gigabyte while it is decoded. A few of them sent at the
same moment, each a small file, would otherwise take more memory than the web processes have.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Above what phones send by default, so that nearly every upload goes straight through.
LARGE_PIXELS = 16_000_000


@contextlib.contextmanager
def one_large_at_a_time(pixels: int) -> Iterator[None]:
    """Wait until no other thread or process of this machine holds a large picture.

    Args:
        pixels: of the picture about to be decoded; a small one waits for nothing.
    """
    if pixels <= LARGE_PIXELS:
        yield
        return
    # The kernel lets go of the lock when a process dies, however it dies.
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(_lock_file(), flags, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _lock_file() -> Path:
    return Path(tempfile.gettempdir()) / f"skinapp-intake-{os.getuid()}.lock"
