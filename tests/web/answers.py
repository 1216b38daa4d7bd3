"""Comparing what different people are told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from classifier.links import sign

if TYPE_CHECKING:
    from django.test import Client

    from classifier.models import User

_TOKEN = re.compile(r"[A-Za-z0-9]{64}|(?<=key=)[\w:-]+")


def text_of(response: Any) -> str:
    """Return a page's text without what is drawn anew for each: CSRF token, pictures' keys."""
    return _TOKEN.sub("", response.content.decode())


def signed(address: str, user: User) -> str:
    """Return a picture's address as a page made for ``user`` holds it."""
    return sign(address, user)


def queries_of(client: Client, address: str, data: dict[str, str] | None = None) -> int:
    """Return how many queries an address costs, warmed up."""
    client.get(address, data)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(address, data).status_code == 200
    return len(captured)
