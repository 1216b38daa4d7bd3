"""A disk that is full when told, for machines on which no small file system can be mounted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.files.base import ContentFile
from django.utils.deconstruct import deconstructible

from classifier.storage import PrivateFileSystemStorage

if TYPE_CHECKING:
    from django.core.files import File


@deconstructible
class FullDiskStorage(PrivateFileSystemStorage):
    """Writes half of a file and then gets the kernel's own ENOSPC, while ``CHAOS_FULL`` exists."""

    def _save(self, name: str, content: File[bytes]) -> str:
        if not Path(os.environ["CHAOS_FULL"]).exists():
            return str(super()._save(name, content))
        whole = content.read()
        super()._save(name, ContentFile(whole[: len(whole) // 2]))
        # The one device that refuses every byte with "No space left on device".
        full = os.open("/dev/full", os.O_WRONLY)
        try:
            os.write(full, whole[len(whole) // 2 :])
        finally:
            os.close(full)
        return name
