"""The chain over the audit trail: sealing events into it, and finding what does not fit.

Writers only note that an event is to be sealed; one after the other, in batches, committed events
become links. So no writer ever waits for another one's commit, and there is one chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.db.models import Max

from classifier.models import AuditEvent, AuditLink

if TYPE_CHECKING:
    from collections.abc import Callable

_BATCH = 5_000
_RANGE = 10_000
# More than these are counted, not listed.
MOST_FAULTS = 200

_LINKS = """
SELECT l.position, l.event_key,
  CASE WHEN e.id IS NULL THEN 'removed'
       WHEN before.position IS NULL AND l.position > 1 THEN 'gap'
       ELSE 'changed' END
FROM classifier_auditlink l
LEFT JOIN classifier_auditevent e ON e.id = l.event_key
LEFT JOIN classifier_auditlink before ON before.position = l.position - 1
WHERE l.position > %s AND l.position <= %s AND (
  e.id IS NULL
  OR (before.position IS NULL AND l.position > 1)
  OR l.digest <> skinapp_audit_digest(COALESCE(before.digest, repeat('0', 64)), e)
)
ORDER BY l.position LIMIT %s
"""
_INSERTED = """
SELECT e.id FROM classifier_auditevent e
WHERE e.id > %s AND e.id <= %s
  AND NOT EXISTS (SELECT 1 FROM classifier_auditlink l WHERE l.event_key = e.id)
  AND NOT EXISTS (SELECT 1 FROM classifier_auditpending p WHERE p.event_key = e.id)
ORDER BY e.id LIMIT %s
"""
_REMOVED_EARLY = """
SELECT p.event_key FROM classifier_auditpending p
WHERE NOT EXISTS (SELECT 1 FROM classifier_auditevent e WHERE e.id = p.event_key)
ORDER BY p.event_key LIMIT %s
"""
_STAGES = ("links", "events", "pending")


@dataclass(frozen=True)
class Fault:
    """One thing that does not fit.

    Attributes:
        kind: "changed", "removed", "inserted", "gap" or "head".
        event: the event's number; None where only a place in the chain is known.
        position: the place in the chain; None where the event has none.
    """

    kind: str
    event: int | None = None
    position: int | None = None


@dataclass(frozen=True)
class Verdict:
    """What an examination of the whole trail found.

    Attributes:
        position: how long the chain is.
        head: the last digest; written down elsewhere, it shows a chain that was cut or rewritten.
        faults: at most ``MOST_FAULTS`` of each sort.
    """

    position: int
    head: str
    faults: list[Fault] = field(default_factory=list)


def seal(*, is_over: Callable[[], bool] | None = None) -> int:
    """Make links of all events committed so far; return how many there were.

    Args:
        is_over: tells after each batch whether to leave the rest for the next time.
    """
    sealed = 0
    while True:
        # A transaction each: a long one would hold the lock that other sealers wait for.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT skinapp_audit_seal(%s)", [_BATCH])
            (batch,) = cursor.fetchone() or (0,)
        sealed += batch
        if batch < _BATCH or (is_over is not None and is_over()):
            return sealed


def verify(*, expected: tuple[int, str] | None = None) -> Verdict:
    """Seal what is due, then examine every link and every event.

    Args:
        expected: a position and the digest that stood there when somebody wrote it down.
    """
    seal()
    position, digest = head()
    faults: list[Fault] = []
    place: Place | None = Place()
    while place is not None:
        found, place = examine(place)
        faults += found
    if expected is not None and not holds(*expected):
        faults.append(Fault("head", position=expected[0]))
    return Verdict(position, digest, faults)


def head() -> tuple[int, str]:
    """Return the last position of the chain and its digest; 0 and "" without a link."""
    last = AuditLink.objects.order_by("-position").values_list("position", "digest").first()
    return last or (0, "")


def holds(position: int, digest: str) -> bool:
    """Tell whether a head that was noted once is still part of the chain."""
    return AuditLink.objects.filter(position=position, digest=digest).exists()


@dataclass(frozen=True)
class Place:
    """How far an examination has come.

    Attributes:
        stage: what it looks at, one of ``_STAGES``.
        after: the last position or event that it has looked at.
    """

    stage: str = _STAGES[0]
    # Below whatever number somebody may have given an event by hand.
    after: int = -(2**63)


def examine(place: Place) -> tuple[list[Fault], Place | None]:
    """Examine the next stretch; return what does not fit and where to go on, None at the end."""
    if place.stage == "pending":
        # Few: what was committed within the last minute.
        return [Fault("removed", event) for (event,) in _rows(_REMOVED_EARLY, MOST_FAULTS)], None
    rows = AuditLink.objects if place.stage == "links" else AuditEvent.objects
    stretch = rows.filter(pk__gt=place.after).order_by("pk").values_list("pk", flat=True)
    last = stretch[:_RANGE].aggregate(last=Max("pk"))["last"]
    if last is None:
        return [], Place(_STAGES[_STAGES.index(place.stage) + 1])
    onward = Place(place.stage, last)
    if place.stage == "events":
        inserted = _rows(_INSERTED, place.after, last, MOST_FAULTS)
        return [Fault("inserted", event) for (event,) in inserted], onward
    unfit = _rows(_LINKS, place.after, last, MOST_FAULTS)
    # Whoever removes a link leaves its neighbour without a predecessor.
    return [
        Fault(kind, event, position) if kind != "gap" else _gap(position)
        for position, event, kind in unfit
    ], onward


def _gap(position: int) -> Fault:
    return Fault("gap", position=position - 1)


def _rows(sql: str, *values: int) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
