"""Making, revoking and recognising the tokens of programs."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.choices import Scope
from classifier.models import ApiToken, Clinic
from classifier.services import audit
from classifier.services.errors import ConflictError, RuleError
from classifier.services.patients import FieldRuleError, broken_constraint

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from classifier.models import User

# By which scanners of repositories and people in logs recognise one.
PREFIX = "skinapp_"
LONGEST_DAYS = 365
# Working tokens of one person in one clinic: more is a program that makes them by itself.
MOST_TOKENS = 20
_RANDOM_BYTES = 32
_LONGEST = 100
_ENDING = 4
# So often, in seconds, the last use is written down.
_NOTE_EVERY = 60
# What only somebody who may write can do.
_WRITING = frozenset({Scope.UPLOAD, Scope.REVIEW})


def create_token(
    *, by: User, clinic: Clinic, name: str, scopes: Sequence[str], days: int, key: uuid.UUID
) -> tuple[ApiToken, str]:
    """Make a token for the person, in one clinic of theirs.

    Args:
        by: whose token it is, who confirmed the password a moment ago.
        clinic: the only one in which it works.
        name: what it is for.
        scopes: values of ``Scope``.
        days: how long it works, 1 to ``LONGEST_DAYS``.
        key: drawn when the form was shown, so that a form sent twice makes one token.

    Returns:
        The row, and the token itself: it is nowhere else from now on.

    Raises:
        FieldRuleError: no name, no or an unknown scope, one that the person's role does not
            cover, or too long a time.
        ConflictError: the same form made a token already.
        RuleError: the person does not work in the clinic, or has very many tokens there.
    """
    if not Clinic.objects.visible_to(by).filter(pk=clinic.pk).exists():
        raise RuleError(_("You do not work in this clinic."))
    wanted = _checked_scopes(scopes, by, clinic)
    if not name.strip():
        raise FieldRuleError("name", _("Say what the token is for."))
    if not 1 <= days <= LONGEST_DAYS:
        raise FieldRuleError(
            "days", _("A token works for 1 to %(most)d days.") % {"most": LONGEST_DAYS}
        )
    working = ApiToken.objects.valid().filter(user=by, clinic=clinic)
    if working.count() >= MOST_TOKENS:
        raise RuleError(
            _("You have %(most)d working tokens in this clinic. Revoke one first.")
            % {"most": MOST_TOKENS}
        )
    text = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    token = ApiToken(
        pk=key,
        user=by,
        clinic=clinic,
        name=name.strip(),
        scopes=wanted,
        digest=digest_of(text),
        ending=text[-_ENDING:],
        expires_at=timezone.now() + timedelta(days=days),
    )
    try:
        with transaction.atomic():
            token.save(force_insert=True)
            audit.record(
                action="token.created",
                actor=by,
                clinic=clinic,
                subject=token,
                scopes=wanted,
                until=token.expires_at.date().isoformat(),
            )
    except IntegrityError as error:
        if broken_constraint(error) != "classifier_apitoken_pkey":
            raise
        raise ConflictError(
            _("This form made a token already, and its text is shown once only. Begin anew.")
        ) from error
    return token, text


def revoke_token(*, token: ApiToken, by: User, reason: str = "") -> None:
    """Stop a token at once and for good.

    Args:
        token: one that ``by`` may see: their own, or one of a clinic they administer; any, in the
            admin panel.
        by: who revokes it.
        reason: why, where one is demanded.

    Raises:
        RuleError: it is revoked already.
    """
    with transaction.atomic():
        revoked = ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(
            revoked_at=timezone.now(), revoked_by=by
        )
        if not revoked:
            raise RuleError(_("This token is revoked already."))
        audit.record(
            action="token.revoked",
            actor=by,
            clinic_id=token.clinic_id,
            subject=token,
            reason=reason,
        )


def digest_of(text: str) -> str:
    """Return what is kept of a token: its SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def open_token(text: str) -> ApiToken | None:
    """Return the working token of this text, with its owner and clinic; None for anything else."""
    if not text.startswith(PREFIX) or len(text) > _LONGEST:
        return None
    found = ApiToken.objects.valid().select_related("user", "clinic")
    return found.filter(digest=digest_of(text)).first()


def note_use(token: ApiToken) -> None:
    """Write down that the token is used, once a minute at most."""
    now = timezone.now()
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - timedelta(seconds=_NOTE_EVERY))
    if token.last_used_at is None or token.last_used_at < now - timedelta(seconds=_NOTE_EVERY):
        ApiToken.objects.filter(stale, pk=token.pk, revoked_at__isnull=True).update(
            last_used_at=now
        )


def _checked_scopes(scopes: Sequence[str], by: User, clinic: Clinic) -> list[str]:
    wanted = [scope for scope in Scope.values if scope in set(scopes)]
    if not wanted or set(scopes) - set(Scope.values):
        raise FieldRuleError("scopes", _("Choose at least one scope."))
    writes = Clinic.objects.writable_by(by).filter(pk=clinic.pk).exists()
    if not writes and _WRITING & set(wanted):
        raise FieldRuleError(
            "scopes", _("Your role in this clinic lets you look, not change anything.")
        )
    return wanted
