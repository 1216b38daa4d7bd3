"""Addresses of pictures that run out and work for one account only.

The page that shows a picture signs the picture's address for whoever looks at the page. Somebody
who copies the address to another person, or finds it in a log or a browser's history later, gets
what a wrong address gets. The signature replaces no permission: the view asks for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.core import signing
from django.http import Http404

if TYPE_CHECKING:
    from django.http import HttpRequest

    from classifier.querysets.people import Person

_NAME = "key"
# Follows SECRET_KEY, and accepts what SECRET_KEY_FALLBACKS signed.
_SALT = "skinapp.picture"


def sign(address: str, user: Person) -> str:
    """Return ``address`` (a path without a query) with the key that opens it for ``user``."""
    signed = signing.TimestampSigner(salt=_SALT).sign(_said(address, user))
    key = signed.removeprefix(_said(address, user) + ":")
    return f"{address}?{_NAME}={key}"


def check(request: HttpRequest) -> None:
    """Check the key in the request's address; no database is asked.

    Raises:
        Http404: there is none, it is older than ``IMAGE_LINK_MINUTES``, or it was made for another
            address or another account.
    """
    said = f"{_said(request.path, request.user)}:{request.GET.get(_NAME, '')}"
    try:
        signing.TimestampSigner(salt=_SALT).unsign(said, max_age=settings.IMAGE_LINK_MINUTES * 60)
    except signing.BadSignature as error:
        raise Http404 from error


def _said(address: str, user: Person) -> str:
    return f"{user.pk}:{address}"
