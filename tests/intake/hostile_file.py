"""What a row of the table of hostile files is."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Hostile:
    """A file that must be refused.

    Attributes:
        name: the file's name as it is sent; unique in the table.
        what: what it is, in a few words.
        make: builds its bytes.
        code: the refusal, a key of ``classifier.intake.REFUSALS``.
    """

    name: str
    what: str
    make: Callable[[], bytes]
    code: str

    @functools.cached_property
    def data(self) -> bytes:
        """Its bytes; some take a second to build."""
        return self.make()
