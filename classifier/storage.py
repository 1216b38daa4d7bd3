"""Where image files lie: under names that say nothing about a patient."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.files.storage import FileSystemStorage
from django.utils.deconstruct import deconstructible

if TYPE_CHECKING:
    from django.core.files.base import File

    from classifier.models import Image, ImportRun


class PrivateNames:
    """Files that have no address and are never overwritten.

    A name that exists already is a fault, never a reason to pick another one silently.
    """

    if TYPE_CHECKING:

        def exists(self, name: str) -> bool:
            """Tell whether there is such a file; the storage beside this class says."""

    def url(self, name: str | None, *_: Any, **__: Any) -> str:
        """Refuse: bytes leave through the permission-checked view only.

        Raises:
            ValueError: always.
        """
        msg = f"Stored files have no address; link to the image's view instead (asked for {name})."
        raise ValueError(msg)

    def get_available_name(self, name: str, max_length: int | None = None) -> str:  # noqa: ARG002 - the interface
        """Return ``name`` itself.

        Raises:
            FileExistsError: the name is taken.
        """
        if self.exists(name):
            msg = f"A stored file would be overwritten: {name}"
            raise FileExistsError(msg)
        return name


@deconstructible
class PrivateFileSystemStorage(PrivateNames, FileSystemStorage):
    """A folder outside every web root, whose files outlive a power cut once they are saved.

    The row that names a file is committed after it, and the database does not come back from a
    power cut without its rows: a picture that was said to be stored must be on the disk by then.
    """

    def _save(self, name: str, content: File[bytes]) -> str:
        """Write a file and wait until the disk has it, and the folders that lead to it."""
        folder = Path(self.path(name)).parent
        root = Path(self.location)
        # From the file's own folder up to the first that is there: that one gets a new entry.
        above = [each for each in (folder, *folder.parents) if each.is_relative_to(root)]
        made = [each for each in above if not each.exists()]
        saved = str(super()._save(name, content))  # type: ignore[misc]  # the stubs leave it out
        for path in (Path(self.path(saved)), folder, *(each.parent for each in made)):
            sync(path)
        return saved


def sync(path: Path) -> None:
    """Wait until the disk has a file's bytes, or a folder's entries."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _path(image: Image, variant: str, extension: str) -> str:
    key = str(image.pk)
    # Two levels keep a folder at a few thousand entries when there are millions of images.
    return f"images/{key[:2]}/{key[2:4]}/{key}.{variant}.{extension}"


def display_path(image: Image, _filename: str) -> str:
    """Return the display copy's name; the upload's own name is ignored."""
    return _path(image, "display", "jpg")


def thumbnail_path(image: Image, _filename: str) -> str:
    """Return the thumbnail's name."""
    return _path(image, "thumbnail", "jpg")


def archive_path(run: ImportRun, _filename: str) -> str:
    """Return the name of an import's archive.

    Each has one of its own: an archive that is sent again must not take the name of one that is
    just being removed.
    """
    return f"imports/{run.pk}.{uuid.uuid4().hex[:8]}.zip"


def network_source_path(image: Image, _filename: str) -> str:
    """Return the name of the lossless small copy the network reads."""
    return _path(image, "network", "png")
