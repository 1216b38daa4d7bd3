"""Uploads while they arrive: a large one lies in a temporary file."""

from __future__ import annotations

from django.core.files.uploadhandler import TemporaryFileUploadHandler


class TidyFileUploadHandler(TemporaryFileUploadHandler):
    """Removes the file of an upload for which there was no room, at once.

    Django leaves it to the garbage collection, and a full disk full meanwhile.
    """

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        """Write a piece down.

        Raises:
            OSError: there is no room for it.
        """
        try:
            super().receive_data_chunk(raw_data, start)
        except OSError:
            self.file.close()
            raise
        return None
