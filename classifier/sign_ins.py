"""Writing down who signed in, who did not, and who changed how they prove who they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account import signals as account
from allauth.account.adapter import get_adapter
from allauth.mfa import signals as mfa
from django.contrib.auth import signals as auth

from classifier.services import audit

if TYPE_CHECKING:
    from django.http import HttpRequest

    from classifier.models import User


def connect() -> None:
    """Listen; called once, when the application is ready."""
    # allauth's own signal comes when every step is done, the second factor included.
    account.user_logged_in.connect(on_signed_in)
    auth.user_logged_out.connect(on_signed_out)
    auth.user_login_failed.connect(on_failed)
    mfa.authentication_failed.connect(on_second_factor_failed)
    for signal, deed in (
        (account.password_changed, on_password_changed),
        (account.password_set, on_password_changed),
        (account.password_reset, on_password_reset),
    ):
        signal.connect(deed)


def on_signed_in(sender: object, request: HttpRequest, user: User, **_: Any) -> None:  # noqa: ARG001 - a signal's signature
    """Note a sign-in that is complete."""
    audit.record(action="sign_in.done", actor=user, subject=user, address=_address(request))


def on_signed_out(sender: object, request: HttpRequest, user: User | None, **_: Any) -> None:  # noqa: ARG001 - a signal's signature
    """Note a sign-out: the person's own, or the end of an idle or old session."""
    if user is not None:
        audit.record(action="sign_in.ended", actor=user, subject=user)


def on_failed(
    sender: object,  # noqa: ARG001 - a signal's signature
    credentials: dict[str, Any],
    request: HttpRequest | None = None,
    **_: Any,
) -> None:
    """Note a wrong password, or an account that does not exist: the page does not tell which."""
    typed = str(credentials.get("email") or credentials.get("username") or "")
    audit.record_failed_sign_in(email=typed.replace("\x00", ""), address=_address(request))


def on_second_factor_failed(sender: object, request: HttpRequest, user: User, **_: Any) -> None:  # noqa: ARG001 - a signal's signature
    """Note a wrong code after a right password."""
    audit.record_failed_sign_in(
        email=user.email, address=_address(request), action="second_factor.failed"
    )


def on_password_changed(sender: object, user: User, **_: Any) -> None:  # noqa: ARG001 - a signal's signature
    """Note that somebody changed their password."""
    audit.record(action="password.changed", actor=user, subject=user)


def on_password_reset(sender: object, user: User, **_: Any) -> None:  # noqa: ARG001 - a signal's signature
    """Note that somebody set a forgotten password anew, by letter."""
    audit.record(action="password.reset", actor=user, subject=user)


def _address(request: HttpRequest | None) -> str:
    return str(get_adapter(request).get_client_ip(request)) if request is not None else ""
