"""Moving an analysis from one state to another.

A move is a conditional update: it happens only while the row still is where the caller believes
it to be, so two workers, a sweep and a person cannot both win. Every move leaves a transition row.
Nothing else moves a row, but for the claim, which moves many from queued to running in one
statement (``classifier.services.claims``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.db import connection, transaction
from django.utils import timezone

from classifier.choices import FINAL_STATES, FINISHED_STATES, ActorKind, State
from classifier.models import Analysis, Transition
from classifier.services.webhooks import note_finished

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from django.db.models import Field

    from classifier.models import User

LEGAL_MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED}),
    State.RUNNING: frozenset({State.SUCCEEDED, State.REJECTED, State.FAILED, State.QUEUED}),
    State.FAILED: frozenset({State.QUEUED}),
    State.REJECTED: frozenset({State.QUEUED}),
    State.SUCCEEDED: frozenset(),
    State.CANCELLED: frozenset(),
}
# Moves that only a named person may make, and only with a reason.
PERSONAL_MOVES = frozenset(
    {
        (State.QUEUED, State.CANCELLED),
        (State.FAILED, State.QUEUED),
        (State.REJECTED, State.QUEUED),
    }
)


class IllegalMoveError(ValueError):
    """The table of legal moves has no such move, or its actor may not make it."""


@dataclass(frozen=True)
class Actor:
    """Who moves an analysis.

    Attributes:
        kind: a person, a worker or the system.
        user: the person.
        worker: the worker's name.
    """

    kind: ActorKind
    user: User | None = None
    worker: str = ""


SYSTEM = Actor(ActorKind.SYSTEM)


def person(user: User) -> Actor:
    """Return a person as an actor."""
    return Actor(ActorKind.USER, user=user)


def worker(name: str) -> Actor:
    """Return a worker as an actor."""
    return Actor(ActorKind.WORKER, worker=name)


def check_move(origin: State, target: State, actor: Actor, reason: str) -> None:
    """Refuse what the table does not allow.

    Raises:
        IllegalMoveError: no such move, or not by this actor.
    """
    if target not in LEGAL_MOVES[origin]:
        msg = f"An analysis cannot go from {origin.value} to {target.value}."
        raise IllegalMoveError(msg)
    personal = (origin, target) in PERSONAL_MOVES
    if personal and (actor.kind is not ActorKind.USER or not reason.strip()):
        msg = f"Only a person with a reason moves {origin.value} to {target.value}."
        raise IllegalMoveError(msg)
    if not personal and actor.kind is ActorKind.USER:
        msg = f"A person does not move {origin.value} to {target.value}."
        raise IllegalMoveError(msg)


def move(
    *,
    analysis_id: UUID,
    origin: State,
    target: State,
    attempt: int,
    actor: Actor,
    reason: str = "",
    **facts: Any,
) -> bool:
    """Move an analysis if it still is in ``origin`` at ``attempt``.

    Args:
        analysis_id: the row.
        origin: where the caller believes it to be.
        target: where it shall go.
        attempt: the attempt the caller believes it to be at: a worker whose lease was lost and
            given to another no longer matches.
        actor: who moves it.
        reason: kept with the transition.
        facts: other columns to set in the same update.

    Returns:
        Whether the move happened; False means somebody else was faster.

    Raises:
        IllegalMoveError: the table has no such move.
    """
    check_move(origin, target, actor, reason)
    if target in FINAL_STATES:
        facts.setdefault("finished_at", timezone.now())
    else:
        facts.setdefault("finished_at", None)
    if target is not State.RUNNING:
        facts |= {"lease_until": None}
    with transaction.atomic():
        moved = Analysis.objects.filter(pk=analysis_id, state=origin, attempt=attempt).update(
            state=target, **facts
        )
        if not moved:
            return False
        Transition.objects.create(
            analysis_id=analysis_id,
            from_state=origin,
            to_state=target,
            attempt=attempt,
            actor_kind=actor.kind,
            actor=actor.user,
            worker=actor.worker,
            reason=reason[:500],
        )
        if target in FINISHED_STATES:
            note_finished([analysis_id])
    return True


@dataclass(frozen=True)
class Step:
    """One of many moves that happen together.

    Attributes:
        analysis_id: the row.
        target: where it shall go.
        attempt: the attempt the caller believes it to be at.
        facts: other columns to set; the same ones in every step.
    """

    analysis_id: UUID
    target: State
    attempt: int
    facts: dict[str, Any]


def move_all(*, origin: State, steps: Sequence[Step], actor: Actor) -> bool:
    """Move many analyses to final states in a few statements: all of them, or none.

    Args:
        origin: where the caller believes all of them to be.
        steps: one for each row.
        actor: who moves them.

    Returns:
        Whether they were moved; False means somebody was faster with one of them.

    Raises:
        IllegalMoveError: the table has no such move.
    """
    for target in {step.target for step in steps}:
        check_move(origin, target, actor, "")
        if target not in FINAL_STATES:
            msg = f"{target.value} is not final; move such a row by itself."
            raise IllegalMoveError(msg)
    believed = {step.analysis_id: step.attempt for step in steps}
    now = timezone.now()
    with transaction.atomic():
        # In one order everywhere, so that two of these never wait for each other.
        held = Analysis.objects.select_for_update().filter(pk__in=believed, state=origin)
        if dict(held.order_by("pk").values_list("pk", "attempt")) != believed:
            return False
        _set_together(origin, steps, now)
        Transition.objects.bulk_create(
            Transition(
                analysis_id=step.analysis_id,
                from_state=origin,
                to_state=step.target,
                attempt=step.attempt,
                actor_kind=actor.kind,
                actor=actor.user,
                worker=actor.worker,
            )
            for step in steps
        )
        note_finished([step.analysis_id for step in steps if step.target in FINISHED_STATES])
    return True


def _set_together(origin: State, steps: Sequence[Step], now: datetime) -> None:
    """Set the columns of many rows, to each its own values, in one statement.

    ``bulk_update`` says the same in a CASE with a branch a row for every column, which took most
    of the time of storing a result (``python -m bench worker``).
    """
    own: dict[str, list[Any]] = {
        "id": [step.analysis_id for step in steps],
        "state": [step.target for step in steps],
    }
    own |= {name: [step.facts[name] for step in steps] for name in steps[0].facts}
    kinds, arrays = [], []
    for name, values in own.items():
        field = cast("Field[Any, Any]", Analysis._meta.get_field(name))
        own_values = [getattr(value, "pk", value) for value in values]
        kinds.append((connection.ops.quote_name(field.column or name), field.db_type(connection)))
        arrays.append([field.get_db_prep_save(value, connection) for value in own_values])
    columns = [column for column, _kind in kinds]
    changes = ", ".join(f"{column} = new.{column}" for column in columns[1:])
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {Analysis._meta.db_table} AS old"  # noqa: S608 - our own model's names
            f" SET {changes}, finished_at = %s, lease_until = NULL"
            f" FROM unnest({', '.join(f'%s::{kind}[]' for _column, kind in kinds)})"
            f" AS new ({', '.join(columns)})"
            " WHERE old.id = new.id AND old.state = %s",
            [now, *arrays, origin],
        )
