"""Pages of a long list by position in the order, never by counting rows.

A cursor names the row a page starts after or ends before by its key alone. The ordering values
are read from that row, so an address never carries a patient's name, and a cursor that names a
row the person may not see is no cursor at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

M = TypeVar("M", bound=models.Model)
M_co = TypeVar("M_co", bound=models.Model, covariant=True)

_AFTER = "after"
_BEFORE = "before"


@dataclass(frozen=True)
class KeysetPage(Generic[M]):
    """One page of a list.

    Attributes:
        rows: at most the asked number of rows, in the list's order.
        next: cursor of the page after this one; empty when this is the last.
        previous: cursor of the page before this one; empty when this is the first.
    """

    rows: list[M]
    next: str
    previous: str

    def __iter__(self) -> Iterator[M]:
        """Iterate over the rows."""
        return iter(self.rows)

    def __len__(self) -> int:
        """Return the number of rows on this page."""
        return len(self.rows)

    @property
    def has_others(self) -> bool:
        """Whether there is anything to page to."""
        return bool(self.next or self.previous)


def paginate(
    queryset: models.QuerySet[M],
    *,
    order: Sequence[str],
    cursor: str | None,
    size: int,
    anchors: models.QuerySet[M] | None = None,
) -> KeysetPage[M]:
    """Return one page of ``queryset``; at most three queries, whatever the length of the list.

    A cursor that is malformed, or whose row is not among ``anchors``, gives the first page.

    Args:
        queryset: the filtered list; its own ordering is replaced.
        order: column names, ``-`` for descending, each never null; the last is ``id``.
        cursor: ``page.next`` or ``page.previous`` of an earlier page, as the browser sent it.
        size: rows on a page.
        anchors: where the cursor's row is looked up; ``queryset`` itself unless given. Give the
            unfiltered ``visible_to(user)`` where rows leave the list while a person reads it
            (a reviewed row leaves the worklist), so that "next" still works from such a row.

    Raises:
        ValueError: the order does not end in ``id`` or holds a column that may be null.
    """

    def window(order: Sequence[str], beyond: Q, most: int) -> models.QuerySet[M]:
        return queryset.filter(beyond).order_by(*order)[:most]

    return paginate_windows(
        window,
        order=order,
        cursor=cursor,
        size=size,
        anchors=queryset if anchors is None else anchors,
    )


class Window(Protocol[M_co]):
    """Looks up some rows of a list."""

    def __call__(self, order: Sequence[str], beyond: Q, most: int, /) -> Iterable[M_co]:
        """Return the first ``most`` rows in ``order`` of those that lie ``beyond`` a row."""


def paginate_windows(
    window: Window[M],
    *,
    order: Sequence[str],
    cursor: str | None,
    size: int,
    anchors: models.QuerySet[M],
) -> KeysetPage[M]:
    """Return one page of a list that is looked up in a way of its own.

    Args:
        window: gives rows; it is asked twice at most.
        order: see :func:`paginate`.
        cursor: likewise.
        size: likewise.
        anchors: likewise; with the order's annotations.

    Raises:
        ValueError: see there.
    """
    _check_order(anchors.model, order)
    found = _read_cursor(anchors, order, cursor)
    if found is not None:
        direction, values = found
        page = _page_at(window, order, direction, values, size)
        if page is not None:
            return page
    rows = list(window(order, Q(), size + 1))
    more = len(rows) > size
    rows = rows[:size]
    return KeysetPage(rows=rows, next=_cursor(_AFTER, rows[-1]) if more else "", previous="")


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

    Unlike :func:`paginate` it never falls back to the first page: a program would then read the
    same rows for ever.

    Args:
        queryset: see :func:`paginate`.
        order: see :func:`paginate`.
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


def _page_at(
    window: Window[M],
    order: Sequence[str],
    direction: str,
    values: Sequence[Any],
    size: int,
) -> KeysetPage[M] | None:
    """Return the page beside the cursor's row, or None where the first page says it better."""
    if direction == _AFTER:
        rows = list(window(order, _beyond(order, values), size + 1))
        if not rows:
            return None
        more = len(rows) > size
        rows = rows[:size]
        return KeysetPage(
            rows=rows,
            next=_cursor(_AFTER, rows[-1]) if more else "",
            previous=_cursor(_BEFORE, rows[0]),
        )
    backwards = [_reversed(name) for name in order]
    rows = list(window(backwards, _beyond(backwards, values), size + 1))
    if len(rows) <= size:
        # Nothing lies before this page: show the first page, and show it full.
        return None
    rows = rows[:size][::-1]
    return KeysetPage(rows=rows, next=_cursor(_AFTER, rows[-1]), previous=_cursor(_BEFORE, rows[0]))


def _check_order(model: type[models.Model], order: Sequence[str]) -> None:
    if not order or order[-1].lstrip("-") not in {"id", "pk"}:
        msg = f"The order must end in the row's key to be total: {order}"
        raise ValueError(msg)
    for name in order:
        try:
            field = model._meta.get_field(name.lstrip("-"))
        except FieldDoesNotExist:
            continue  # An annotation; its author answers for nulls.
        if getattr(field, "null", False):
            msg = f"Rows without {name} would fall out of every page."
            raise ValueError(msg)


def _read_cursor(
    anchors: models.QuerySet[M], order: Sequence[str], cursor: str | None
) -> tuple[str, Sequence[Any]] | None:
    direction, _dot, key = (cursor or "").partition(".")
    if direction not in {_AFTER, _BEFORE}:
        return None
    try:
        pk = anchors.model._meta.pk.to_python(key)
    except (ValidationError, ValueError, OverflowError):
        return None
    if pk is None:
        return None
    bare = anchors.order_by().select_related(None).prefetch_related(None)
    values = bare.filter(pk=pk).values_list(*(name.lstrip("-") for name in order)).first()
    return None if values is None else (direction, values)


def _cursor(direction: str, row: models.Model) -> str:
    return f"{direction}.{row.pk}"


def _reversed(name: str) -> str:
    return name[1:] if name.startswith("-") else f"-{name}"


def _beyond(order: Sequence[str], values: Sequence[Any]) -> Q:
    """Return the condition "comes after ``values`` in ``order``".

    Each column is bounded once more on its own, because PostgreSQL turns that (and not the
    alternatives) into the start of an index scan; where the columns before it are constants, that
    is the first bound that counts.
    """
    name, value = order[0], values[0]
    column, after = (name[1:], "lt") if name.startswith("-") else (name, "gt")
    beyond = Q(**{f"{column}__{after}": value})
    if len(order) == 1:
        return beyond
    tied = Q(**{column: value}) & _beyond(order[1:], values[1:])
    return Q(**{f"{column}__{after}e": value}) & (beyond | tied)
