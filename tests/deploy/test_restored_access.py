"""Who was shut out since a backup does not come back with it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.urls import reverse

from classifier.choices import Scope
from classifier.models import ApiToken, AuditEvent
from classifier.services.backups import Summary
from classifier.services.restored import note_restore
from classifier.services.tokens import create_token, revoke_token

if TYPE_CHECKING:
    from tests.conftest import Cast

SUMMARY = Summary("2026-11-20T01:30:00+00:00", files=6, size=1_000)


def token_of(cast: Cast) -> ApiToken:
    """Make a token that reads."""
    return create_token(
        by=cast.owner,
        clinic=cast.clinic,
        name="script",
        scopes=[Scope.READ],
        days=30,
        key=uuid.uuid4(),
    )[0]


@pytest.mark.parametrize("keep", [False, True])
def test_a_restored_instance_lets_nobody_in_who_does_not_sign_in_anew(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], keep: bool
) -> None:
    client = cast.client_of(cast.owner)
    assert client.get(reverse("patient_list")).status_code == 200
    usable, revoked = token_of(cast), token_of(cast)
    revoke_token(token=revoked, by=cast.administrator)
    there = "classifier.management.commands.restore"
    monkeypatch.setattr(f"{there}.restore_backup", lambda **_options: SUMMARY)
    monkeypatch.setattr(f"{there}.call_command", lambda *_values, **_options: None)
    call_command("restore", "archive.tar", *(["--keep-access"] if keep else []))
    said = capsys.readouterr().out
    assert "deactivate again who was deactivated since" in said

    usable.refresh_from_db()
    assert client.get(reverse("patient_list")).status_code == (200 if keep else 302)
    assert (usable.revoked_at is None) is keep
    event = AuditEvent.objects.get(action="instance.restored")
    assert (event.clinic, event.actor, event.actor_kind) == (None, None, "system")
    assert event.details["made_at"] == SUMMARY.made_at
    ended = 0 if keep else 1
    assert event.details["counts"] == {"files": 6, "sessions": ended, "tokens": ended}
    # The administrators of its clinic read that no person revoked it.
    found = AuditEvent.objects.filter(action="token.revoked", actor=None)
    assert [row.subject_id for row in found] == ([] if keep else [str(usable.pk)])
    # It was revoked before, by whom it says.
    revoked.refresh_from_db()
    assert revoked.revoked_by == cast.administrator
    if not keep:
        assert "1 sessions were ended and 1 API tokens revoked" in said
        assert not Session.objects.exists()


def test_the_trail_of_the_installation_tells_of_it_in_words(cast: Cast) -> None:
    note_restore(summary=SUMMARY)
    page = cast.client_of(cast.administrator).get(reverse("audit_trail"), {"scope": "installation"})
    text = page.content.decode()
    assert "Backup restored" in text
    assert "Moment of the backup" in text
    assert "Sessions ended" in text
    # Twice is no fault: there is nothing left to end.
    assert note_restore(summary=SUMMARY).tokens == 0
