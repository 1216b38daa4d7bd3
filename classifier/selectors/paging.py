"""Pages of a long list by position in the order, never by counting rows.

A cursor names the row a page starts after or ends before by its key alone. The ordering values
are read from that row, so an address never carries a patient's name, and a cursor that names a
row the person may not see is no cursor at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

M = TypeVar("M", bound=models.Model)

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
    _check_order(queryset.model, order)
    found = _read_cursor(queryset if anchors is None else anchors, order, cursor)
    if found is not None:
        direction, values = found
        page = _page_at(queryset, order, direction, values, size)
        if page is not None:
            return page
    rows = list(queryset.order_by(*order)[: size + 1])
    more = len(rows) > size
    rows = rows[:size]
    return KeysetPage(rows=rows, next=_cursor(_AFTER, rows[-1]) if more else "", previous="")


def _page_at(
    queryset: models.QuerySet[M],
    order: Sequence[str],
    direction: str,
    values: Sequence[Any],
    size: int,
) -> KeysetPage[M] | None:
    """Return the page beside the cursor's row, or None where the first page says it better."""
    if direction == _AFTER:
        rows = list(queryset.filter(_beyond(order, values)).order_by(*order)[: size + 1])
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
    rows = list(queryset.filter(_beyond(backwards, values)).order_by(*backwards)[: size + 1])
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

    The first column is bounded once more on its own, because PostgreSQL turns that (and not the
    alternatives) into the start of an index scan.
    """
    condition = Q()
    equal = Q()
    for name, value in zip(order, values, strict=True):
        column, operator = (name[1:], "lt") if name.startswith("-") else (name, "gt")
        condition |= equal & Q(**{f"{column}__{operator}": value})
        equal &= Q(**{column: value})
    column, operator = (order[0][1:], "lte") if order[0].startswith("-") else (order[0], "gte")
    return Q(**{f"{column}__{operator}": values[0]}) & condition
