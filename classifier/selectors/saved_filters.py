"""A person's saved filters, as links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from classifier.models import SavedFilter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.models import User


@dataclass(frozen=True)
class SavedLink:
    """A saved filter above a list.

    Attributes:
        saved: the row.
        is_open: whether the list shows just what it finds.
    """

    saved: SavedFilter
    is_open: bool


def saved_links(user: User, *, page: str, query: Mapping[str, str]) -> list[SavedLink]:
    """Return the person's filters of a list, oldest first; the service bounds how many.

    Args:
        user: whose.
        page: a value of ``FilteredPage``.
        query: what the list's filter would keep now.
    """
    rows = SavedFilter.objects.visible_to(user).filter(page=page)
    return [SavedLink(row, row.query == dict(query)) for row in rows]
