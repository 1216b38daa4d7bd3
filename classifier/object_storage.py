"""Image files in an object store that speaks S3: private, never linked to, never overwritten.

Nothing imports this module unless ``MEDIA_S3_BUCKET`` is set: boto3 costs every process time and
memory.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.utils.deconstruct import deconstructible
from storages.backends.s3 import S3Storage

from classifier.storage import PrivateNames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

# Of one connection and one answer; a worker's lease is 150 s.
_CONNECT_SECONDS, _READ_SECONDS = 5, 20
# A display copy is about a megabyte: what is larger goes through a temporary file.
_MEMORY_BYTES = 8 * 1024 * 1024
# How stores say it, the first where an answer has no body.
_NO_OBJECT = frozenset({"404", "NoSuchKey"})


class StoreError(OSError):
    """The object store is away or refused; callers treat it like a disk that fails."""


@contextmanager
def _as_disk() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
        if code in _NO_OBJECT:
            # Somebody removed it since it was looked for.
            raise FileNotFoundError(errno.ENOENT, "the object store has no such object") from error
        msg = f"the object store failed: {type(error).__name__} {code}".strip()
        # A disk's own number for a fault that is not the caller's.
        raise StoreError(errno.EIO, msg) from error


@deconstructible
class PrivateS3Storage(PrivateNames, S3Storage):  # type: ignore[misc]  # the library ships no types
    """A bucket that only this application reads: requests are signed with its own keys.

    Objects get no access list, so the bucket's own (private) rule holds, and no address: bytes
    are streamed through the permission-checked view.
    """

    def get_default_settings(self) -> dict[str, Any]:
        """Return django-storages' settings, closed."""
        defaults: dict[str, Any] = super().get_default_settings()
        return defaults | {
            "file_overwrite": False,
            "default_acl": None,
            "max_memory_size": _MEMORY_BYTES,
            "client_config": Config(
                signature_version="s3v4",
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                retries={"max_attempts": 3, "mode": "standard"},
                # Works with every store; names in the host need DNS of the store's own.
                s3={"addressing_style": "path"},
            ),
        }

    def _open(self, name: str, mode: str = "rb") -> Any:
        with _as_disk():
            opened = super()._open(name, mode)
            if "r" in mode:
                # Fetched here, where a fault is ours to name, and not at the first read.
                _ = opened.file
            return opened

    def _save(self, name: str, content: Any) -> str:
        with _as_disk():
            return str(super()._save(name, content))

    def exists(self, name: str) -> bool:
        """Tell whether there is such an object."""
        with _as_disk():
            return bool(super().exists(name))

    def delete(self, name: str) -> None:
        """Delete an object; one that is not there is no fault."""
        with _as_disk():
            super().delete(name)

    def listdir(self, name: str) -> tuple[list[str], list[str]]:
        """Return the folders and the objects under a name."""
        with _as_disk():
            folders, objects = super().listdir(name)
            return list(folders), list(objects)

    def size(self, name: str) -> int:
        """Return an object's size in bytes."""
        with _as_disk():
            return int(super().size(name))

    def get_modified_time(self, name: str) -> datetime:
        """Return when an object was stored."""
        with _as_disk():
            modified: datetime = super().get_modified_time(name)
            return modified
