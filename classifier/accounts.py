"""How people get an account: an administrator makes it, nobody signs up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from allauth.account.adapter import DefaultAccountAdapter
from django.http import Http404

if TYPE_CHECKING:
    from django.http import HttpRequest


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
