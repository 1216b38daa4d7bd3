"""The chain over the audit trail finds what was done past the triggers, and names the event."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import InternalError, connection, transaction

from classifier.models import AuditEvent, AuditLink, AuditPending
from classifier.services import audit
from classifier.services.audit_chain import Fault, seal, verify
from classifier.tasks import seal_audit_task, verify_audit_task

if TYPE_CHECKING:
    from tests.conftest import Cast


def past_the_triggers(sql: str, *values: int) -> None:
    """Do what only the database's owner can: no trigger fires."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(sql, values)
        cursor.execute("SET session_replication_role = origin")


def write(cast: Cast, count: int) -> list[AuditEvent]:
    """Append so many events."""
    return [
        audit.record(
            action="patient.viewed",
            actor=cast.owner,
            clinic=cast.clinic,
            subject=cast.patient,
            number=number,
        )
        for number in range(count)
    ]


def spoken(*arguments: str) -> str:
    """Run the command and return all it says, the error included."""
    said = StringIO()
    try:
        call_command("audit", *arguments, stdout=said, stderr=said)
    except CommandError as error:
        said.write(str(error))
    return said.getvalue()


def test_every_planted_fault_is_found_and_named(
    cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    events = write(cast, 6)
    assert AuditPending.objects.count() == 6
    seal_audit_task()
    assert not AuditPending.objects.exists()
    assert list(AuditLink.objects.values_list("position", "event_key")) == [
        (place, event.pk) for place, event in enumerate(events, 1)
    ]
    clean = verify()
    assert (clean.position, clean.faults) == (6, [])
    head = f"{clean.position}:{clean.head}"
    assert head in spoken("verify")
    with caplog.at_level("INFO"):
        verify_audit_task()
    assert f"Head {head}" in caplog.text

    # A change, a deletion and an insertion, each past the triggers.
    first, second, third, fourth, *_rest = events
    past_the_triggers(
        "UPDATE classifier_auditevent SET action = 'nothing.done' WHERE id = %s", second.pk
    )
    past_the_triggers("DELETE FROM classifier_auditevent WHERE id = %s", fourth.pk)
    past_the_triggers(
        "INSERT INTO classifier_auditevent (at, actor_kind, action, subject_type, subject_id,"
        " reason, details) VALUES (now(), 'system', 'made.up', '', '', '', '{}')"
    )
    made_up = AuditEvent.objects.get(action="made.up")
    assert verify().faults == [
        Fault("changed", second.pk, 2),
        Fault("removed", fourth.pk, 4),
        Fault("inserted", made_up.pk),
    ]
    said = spoken("verify", "--head", head)
    assert f"Event {second.pk} (link 2) was changed" in said
    assert f"Event {fourth.pk} was removed" in said
    assert f"Event {made_up.pk} was inserted" in said
    assert "3 faults" in said
    with caplog.at_level("ERROR"):
        verify_audit_task()
    assert "3 faults" in caplog.text
    # The link of the deleted event goes as well: now its neighbour has no predecessor.
    past_the_triggers("DELETE FROM classifier_auditlink WHERE position = 4")
    assert Fault("gap", position=4) in verify().faults
    # The tail is cut off with its links, and what is left is a chain: only the head knows better.
    past_the_triggers("DELETE FROM classifier_auditevent WHERE id > %s", first.pk)
    past_the_triggers("DELETE FROM classifier_auditlink WHERE position > 1")
    assert verify().faults == []
    assert verify(expected=(6, clean.head)).faults == [Fault("head", position=6)]
    assert "Link 6 is not the one" in spoken("verify", "--head", head)
    assert "POSITION:DIGEST" in spoken("verify", "--head", "6")
    # An event that was removed before it was sealed leaves its note.
    last = write(cast, 1)[0]
    past_the_triggers("DELETE FROM classifier_auditevent WHERE id = %s", last.pk)
    assert verify().faults == [Fault("removed", last.pk)]
    assert third.pk > first.pk


@pytest.mark.parametrize("planted", [False, True])
def test_a_long_trail_is_examined_in_stretches(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, planted: bool
) -> None:
    monkeypatch.setattr("classifier.services.audit_chain._RANGE", 2)
    monkeypatch.setattr("classifier.tasks.records._VERIFY_SECONDS", 0)
    messages: list[tuple[Any, ...]] = []
    monkeypatch.setattr(verify_audit_task, "delay", lambda *values: messages.append(values))
    events = write(cast, 7)
    verify_audit_task()
    if planted:
        # In the stretch that comes last, and under numbers that nobody expects.
        past_the_triggers("UPDATE classifier_auditevent SET at = now() WHERE id = %s", events[6].pk)
        for number in (-5, 10**15):
            past_the_triggers(
                "INSERT INTO classifier_auditevent (id, at, actor_kind, action, subject_type,"
                " subject_id, reason, details) VALUES (%s, now(), 'system', 'made.up', '', '', '',"
                " '{}')",
                number,
            )
    # An event that comes meanwhile changes nothing.
    write(cast, 1)
    rounds = 0
    with caplog.at_level("INFO"):
        while len(messages) > rounds:
            arguments = json.loads(json.dumps(messages[rounds]))
            rounds += 1
            verify_audit_task(*arguments)
    # Four stretches of links, and as many of events at least.
    assert rounds >= 8
    if planted:
        assert "3 faults" in caplog.text
        assert "Head" not in caplog.text
    else:
        assert "fits its chain. Head 7:" in caplog.text


def test_a_chain_that_is_cut_while_it_is_examined_is_no_chain(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("classifier.tasks.records._VERIFY_SECONDS", 0)
    messages: list[tuple[Any, ...]] = []
    monkeypatch.setattr(verify_audit_task, "delay", lambda *values: messages.append(values))
    events = write(cast, 3)
    verify_audit_task()
    past_the_triggers("DELETE FROM classifier_auditevent WHERE id = %s", events[2].pk)
    past_the_triggers("DELETE FROM classifier_auditlink WHERE position = 3")
    while messages:
        verify_audit_task(*messages.pop())
    assert "1 faults" in caplog.text


def test_nobody_appends_to_the_past_or_empties_a_table(cast: Cast) -> None:
    before = write(cast, 1)[0]
    AuditEvent.objects.bulk_create(
        [AuditEvent(actor_kind="system", action="made.up", at="2001-01-01T00:00Z")]
    )
    assert AuditEvent.objects.get(action="made.up").at > AuditEvent.objects.get(pk=before.pk).at
    assert seal() == 2
    with connection.cursor() as cursor:
        # What the foreign keys still have to check would keep a table from being emptied, too.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for table in ("auditevent", "auditlink", "review", "patientevent", "consent", "erasure"):
        with (
            pytest.raises(InternalError, match="append_only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(f"TRUNCATE classifier_{table} CASCADE")
    for deed in ("UPDATE classifier_auditlink SET digest = ''", "DELETE FROM classifier_auditlink"):
        with (
            pytest.raises(InternalError, match="append_only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(deed)
    assert "0 events sealed" in spoken("seal")
