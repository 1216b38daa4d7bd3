"""Telling a part that is away or full from a mistake of ours: the first passes by itself."""

from __future__ import annotations

import errno

from django.db import InterfaceError, OperationalError
from redis.exceptions import RedisError

# No space, no quota, a file that may not grow, a file system that went read-only or fails.
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
# The deepest chain of causes that is followed.
_MOST_CAUSES = 10


def is_outage(error: BaseException | None) -> bool:
    """Tell whether the database, the disk, the object store or Redis is away, full or too slow.

    PostgreSQL that stops, starts, is full, or cancels a statement that waited too long raises
    ``OperationalError``; a connection that broke earlier, ``InterfaceError``. What caused an error
    is looked at as well.
    """
    for _cause in range(_MOST_CAUSES):
        if error is None:
            return False
        if isinstance(error, OperationalError | InterfaceError | RedisError):
            return True
        if isinstance(error, OSError) and error.errno in _DISK:
            return True
        error = error.__cause__ or error.__context__
    return False
