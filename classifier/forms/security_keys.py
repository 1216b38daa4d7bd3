"""allauth's forms for security keys, which take whatever is sent in the place of a key's answer.

The library's own let a forged answer through to parsers that fail in many ways; each of them would
be a fault of the page. What cannot be read is a wrong answer, and no more.
"""

from __future__ import annotations

import struct
from typing import Any

from allauth.mfa.webauthn import forms as stock
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

# A key's answer has one to three thousand characters; a certificate chain may double that.
MOST_CHARACTERS = 50_000
_LONGEST_NAME = 100
# What JSON, base64, CBOR and the library's dictionaries raise over bytes that nobody signed.
_UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


def _unreadable() -> ValidationError:
    return ValidationError(_("The key's answer cannot be read. Try again."), code="unreadable")


class CredentialField(forms.JSONField):
    """What the browser got from the key, as JSON."""

    widget = forms.HiddenInput

    def to_python(self, value: Any) -> Any:
        """Return the answer as a dictionary.

        Raises:
            ValidationError: it is none, or too long to be one.
        """
        if isinstance(value, str) and len(value) > MOST_CHARACTERS:
            raise _unreadable()
        try:
            answer = super().to_python(value)
        except (RecursionError, ValueError) as error:
            raise _unreadable() from error
        if answer is not None and not isinstance(answer, dict):
            raise _unreadable()
        return answer

    def bound_data(self, data: Any, initial: Any) -> Any:  # noqa: ARG002 - Django's signature
        """Return nothing: a key answers each question once, and a bad answer is not shown again."""
        return initial


class AddKeyForm(stock.AddWebAuthnForm):  # type: ignore[misc]  # the library ships no types
    """A new key and its name."""

    name = forms.CharField(label=_("Name"), max_length=_LONGEST_NAME, required=False)
    credential = CredentialField()

    def clean(self) -> Any:
        """Check the answer against the challenge.

        Raises:
            ValidationError: it does not fit, or cannot be read.
        """
        try:
            return super().clean()
        except _UNREADABLE as error:
            raise _unreadable() from error


class RenameKeyForm(stock.EditWebAuthnForm):  # type: ignore[misc]  # the library ships no types
    """A key's new name."""

    name = forms.CharField(label=_("Name"), max_length=_LONGEST_NAME)


class _AnswerMixin:
    def clean_credential(self) -> Any:
        try:
            return super().clean_credential()  # type: ignore[misc]  # the library's forms have it
        except _UNREADABLE as error:
            raise _unreadable() from error


class SecondStepKeyForm(_AnswerMixin, stock.AuthenticateWebAuthnForm):  # type: ignore[misc]
    """A key's answer as the second step of a sign-in."""

    credential = CredentialField()


class ConfirmingKeyForm(_AnswerMixin, stock.ReauthenticateWebAuthnForm):  # type: ignore[misc]
    """A key's answer before a dangerous page."""

    credential = CredentialField()
