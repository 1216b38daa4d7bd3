"""How people get an account and prove who they are: the application's side of allauth."""

from __future__ import annotations

import logging
import unicodedata
from typing import TYPE_CHECKING, Any, NoReturn

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import Http404

from classifier.services import audit, sealing

if TYPE_CHECKING:
    from django.http import HttpRequest

    from classifier.models import User

logger = logging.getLogger(__name__)


def no_own_addresses(request: HttpRequest) -> NoReturn:  # noqa: ARG001 - Django's signature
    """Answer 404 in the place of allauth's page on which people change their own address.

    The address is who somebody is, and letters for a forgotten password go there: it is changed in
    the admin panel, with a trace, and never to one that a later colleague will need.

    Raises:
        Http404: always.
    """
    raise Http404


class ClosedSignupAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """allauth with the door to new accounts shut."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 - allauth's signature
        """Return False: accounts are made in the admin panel."""
        return False

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:  # noqa: ARG002 - allauth's signature
        """Return what failed attempts on an account are counted by: its address, and no more.

        allauth's own adds the host that the request names, port included: whoever changes the
        port with each guess would never be stopped.
        """
        login = str(credentials.get("email", ""))
        return unicodedata.normalize("NFKC", login).casefold().strip()

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that attempts are counted by.

        Where the proxies' header has fewer entries than ``TRUSTED_PROXY_COUNT``, or holds no
        address, the connection's own address counts: the throttle then joins people rather than
        letting anybody choose an address, and the sign-in page goes on working.
        """
        try:
            return str(super().get_client_ip(request))
        except (ImproperlyConfigured, PermissionDenied):
            logger.warning(
                "X-Forwarded-For does not fit TRUSTED_PROXY_COUNT; attempts are counted by the "
                "connection's address"
            )
            return str(request.META.get("REMOTE_ADDR") or "unknown")


class SealingAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """allauth's second factors with their secrets encrypted in the database."""

    def encrypt(self, text: str) -> str:
        """Return the secret as it is stored."""
        return sealing.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Return the secret of what is stored.

        Raises:
            classifier.services.sealing.SealError: no key of the settings opens it.
        """
        return sealing.unseal(encrypted_text)


def _record_factor(action: str, user: User, authenticator: Any) -> None:
    audit.record(
        action=f"second_factor.{action}", actor=user, subject=user, type=str(authenticator.type)
    )


def on_factor_added(sender: object, user: User, authenticator: Any, **_: Any) -> None:  # noqa: ARG001 - a signal's signature
    """Note a new second factor."""
    _record_factor("added", user, authenticator)


def on_factor_removed(sender: object, user: User, authenticator: Any, **_: Any) -> None:  # noqa: ARG001 - a signal's signature
    """Note a second factor that its owner took away."""
    _record_factor("removed", user, authenticator)


def on_factor_reset(sender: object, user: User, authenticator: Any, **_: Any) -> None:  # noqa: ARG001 - a signal's signature
    """Note new recovery codes."""
    _record_factor("reset", user, authenticator)
