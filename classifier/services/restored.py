"""What a restored instance must not take over from the moment of its backup: who was signed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from classifier.models import ApiToken
from classifier.services import audit

if TYPE_CHECKING:
    from classifier.services.backups import Summary


@dataclass(frozen=True)
class Ended:
    """Which doors were shut.

    Attributes:
        sessions: how many people's browsers were signed out.
        tokens: how many programs' tokens were revoked.
    """

    sessions: int = 0
    tokens: int = 0


def note_restore(*, summary: Summary, keep_access: bool = False) -> Ended:
    """Write down that a backup was restored; end every session and revoke every API token.

    What was ended, revoked or taken away since the backup is there again with its rows. Nobody can
    tell which of the sessions and tokens it was, and new ones are made in a minute.

    Args:
        summary: what was restored.
        keep_access: leave sessions and tokens as they were at the moment of the backup.
    """
    with transaction.atomic():
        ended = Ended() if keep_access else _end_access()
        audit.record(
            action="instance.restored",
            made_at=summary.made_at,
            counts={
                "files": summary.files,
                "sessions": ended.sessions,
                "tokens": ended.tokens,
            },
        )
    return ended


def _end_access() -> Ended:
    sessions, _by_model = Session.objects.all().delete()
    usable = ApiToken.objects.filter(revoked_at__isnull=True, expires_at__gt=timezone.now())
    tokens = list(usable.select_for_update().order_by("pk"))
    # A revocation is somebody's, says the row; the trail tells that nobody of them did it.
    usable.filter(pk__in=[token.pk for token in tokens]).update(
        revoked_at=timezone.now(), revoked_by=F("user")
    )
    for token in tokens:
        audit.record(action="token.revoked", clinic_id=token.clinic_id, subject=token)
    return Ended(sessions, len(tokens))
