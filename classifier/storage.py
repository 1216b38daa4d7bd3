"""Where image files lie: under names that say nothing about a patient."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.core.files.storage import FileSystemStorage
from django.utils.deconstruct import deconstructible

if TYPE_CHECKING:
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
    """A folder outside every web root."""


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
