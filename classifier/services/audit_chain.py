"""The chain over the audit trail: sealing events into it, and finding what does not fit.

Writers only note that an event is to be sealed; one after the other, in batches, committed events
become links. So no writer ever waits for another one's commit, and there is one chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction

from classifier.models import AuditLink

_BATCH = 5_000
_RANGE = 50_000
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
WHERE NOT EXISTS (SELECT 1 FROM classifier_auditlink l WHERE l.event_key = e.id)
  AND NOT EXISTS (SELECT 1 FROM classifier_auditpending p WHERE p.event_key = e.id)
ORDER BY e.id LIMIT %s
"""
_REMOVED_EARLY = """
SELECT p.event_key FROM classifier_auditpending p
WHERE NOT EXISTS (SELECT 1 FROM classifier_auditevent e WHERE e.id = p.event_key)
ORDER BY p.event_key LIMIT %s
"""


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


def seal() -> int:
    """Make links of all events committed so far; return how many there were."""
    sealed = 0
    while True:
        # A transaction each: a long one would hold the lock that other sealers wait for.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT skinapp_audit_seal(%s)", [_BATCH])
            (batch,) = cursor.fetchone() or (0,)
        sealed += batch
        if batch < _BATCH:
            return sealed


def verify(*, expected: tuple[int, str] | None = None) -> Verdict:
    """Seal what is due, then examine every link and every event.

    Args:
        expected: a position and the digest that stood there when somebody wrote it down.
    """
    seal()
    last = AuditLink.objects.order_by("-position").first()
    length = last.position if last is not None else 0
    faults: list[Fault] = []
    for start in range(0, length, _RANGE):
        for position, event, kind in _rows(_LINKS, start, start + _RANGE, MOST_FAULTS):
            # Whoever removes a link leaves its neighbour without a predecessor.
            faults.append(Fault(kind, event, position) if kind != "gap" else _gap(position))
    faults += [Fault("inserted", event) for (event,) in _rows(_INSERTED, MOST_FAULTS)]
    faults += [Fault("removed", event) for (event,) in _rows(_REMOVED_EARLY, MOST_FAULTS)]
    if expected is not None:
        position, digest = expected
        if not AuditLink.objects.filter(position=position, digest=digest).exists():
            faults.append(Fault("head", position=position))
    return Verdict(length, last.digest if last is not None else "", faults)


def _gap(position: int) -> Fault:
    return Fault("gap", position=position - 1)


def _rows(sql: str, *values: int) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
