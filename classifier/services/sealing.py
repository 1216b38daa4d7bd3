"""Encrypting the secrets of second factors and of webhooks.

Who reads the database can neither sign in with them nor sign messages.

A sealed text is ``v1.`` and a Fernet token (AES-128-CBC with HMAC-SHA256). Keys come from
``MFA_KEYS`` (newest first), or from ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS`` where it is empty:
the first one seals, every one opens.
"""

from __future__ import annotations

import base64
from functools import lru_cache

from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from classifier.models import Webhook

_MARK = "v1."
# What allauth stores encrypted, by kind of factor.
_SECRET_FIELDS = {"totp": "secret", "recovery_codes": "seed"}


class SealError(RuntimeError):
    """None of the keys opens a sealed secret: a key was taken out of the settings too early."""


def seal(text: str) -> str:
    """Return ``text`` encrypted with the newest key."""
    return _MARK + _box(_keys()).encrypt(text.encode()).decode()


def unseal(stored: str) -> str:
    """Return the text of what is stored; one that older versions stored openly as it is.

    Raises:
        SealError: no key opens it.
    """
    if not stored.startswith(_MARK):
        return stored
    try:
        return _box(_keys()).decrypt(stored.removeprefix(_MARK).encode()).decode()
    except InvalidToken as error:
        raise SealError(
            _("No key opens a stored secret. Put the old key back as the last of MFA_KEYS.")
        ) from error


@transaction.atomic
def reseal_all() -> int:
    """Encrypt every stored secret with the newest key; return how many were changed.

    Afterwards the older keys may leave the settings.

    Raises:
        SealError: no key opens one of them; then none is changed.
    """
    newest = _box(_keys()[:1])
    changed = 0
    factors = Authenticator.objects.filter(type__in=_SECRET_FIELDS).select_for_update()
    for factor in factors.order_by("pk"):
        field = _SECRET_FIELDS[factor.type]
        stored = factor.data.get(field)
        if stored is None or _opens(newest, stored):
            continue
        factor.data[field] = seal(unseal(stored))
        factor.save(update_fields=["data"])
        changed += 1
    for webhook in Webhook.objects.select_for_update().order_by("pk"):
        if not _opens(newest, webhook.secret):
            webhook.secret = seal(unseal(webhook.secret))
            webhook.save(update_fields=["secret"])
            changed += 1
    return changed


def _opens(box: MultiFernet, stored: str) -> bool:
    try:
        box.decrypt(stored.removeprefix(_MARK).encode())
    except InvalidToken:
        return False
    return stored.startswith(_MARK)


def _keys() -> tuple[str, ...]:
    own = tuple(settings.MFA_KEYS)
    return own or (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


@lru_cache(maxsize=8)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    """Return the 32 bytes that Fernet wants, in its spelling, from a secret of any length.

    HKDF (RFC 5869) with a purpose of its own: the same secret signs sessions elsewhere.
    """
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"skinapp second factors")
    return base64.urlsafe_b64encode(derive.derive(key.encode()))
