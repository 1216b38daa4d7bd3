"""Pages for programs, which read on from a row by its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.db import models

from classifier.selectors.paging import _AFTER, _beyond, _check_order, _read_cursor

if TYPE_CHECKING:
    from collections.abc import Sequence

M = TypeVar("M", bound=models.Model)


class UnknownRowError(LookupError):
    """The row that a page should follow is not there, or not for this person."""


def page_after(
    queryset: models.QuerySet[M],
    *,
    order: Sequence[str],
    after: Any,
    size: int,
    anchors: models.QuerySet[M],
) -> tuple[list[M], Any]:
    """Return a page for a program: what follows a row, and the key to ask on with.

    Unlike ``paging.paginate`` it never falls back to the first page: a program would then read the
    same rows for ever.

    Args:
        queryset: see ``paging.paginate``.
        order: see ``paging.paginate``.
        after: the last row's key of the page before; None for the first page.
        size: rows on a page.
        anchors: where that row is looked up; rows that have left the list since are in it.

    Returns:
        The rows, and the key of the last one where more follow, else None.

    Raises:
        UnknownRowError: there is no such row among ``anchors``.
    """
    _check_order(queryset.model, order)
    if after is not None:
        found = _read_cursor(anchors, order, f"{_AFTER}.{after}")
        if found is None:
            raise UnknownRowError
        queryset = queryset.filter(_beyond(order, found[1]))
    rows = list(queryset.order_by(*order)[: size + 1])
    more = len(rows) > size
    rows = rows[:size]
    return rows, rows[-1].pk if more else None
