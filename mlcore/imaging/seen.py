"""What walking a file has brought to light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlcore.imaging.errors import ImageError

# Phones that keep a depth map beside the picture write up to a few megabytes; what is far beyond
# them would cost a decoder memory for nothing.
MOST_METADATA = 8 * 1024 * 1024
# Segments, chunks or boxes.
MOST_PARTS = 20_000


@dataclass
class Seen:
    """What a file's structure says; filled as far as the walk came.

    Attributes:
        width: the widest picture the file speaks of, in pixels; 0 where it speaks of none.
        height: of the same picture.
        end: the offset behind the picture, in bytes; what follows is not part of it.
        exif: the block of camera facts, beginning with its byte order, or nothing.
        fault: why the file deserves to be refused, or None.
    """

    width: int = 0
    height: int = 0
    end: int = 0
    exif: bytes = b""
    fault: ImageError | None = None

    def states(self, width: int, height: int) -> None:
        """Keep the largest size stated: whatever lies inside may be what a decoder unpacks."""
        if width * height >= self.width * self.height:
            self.width, self.height = width, height
