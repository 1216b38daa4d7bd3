"""The cast, the rules and one request of the table "who may ask what, and how"."""

from __future__ import annotations

import enum
import re
import uuid
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.web.answers import signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test.client import _MonkeyPatchedWSGIResponse as Response

    from classifier.models import (
        Analysis,
        ApiToken,
        BreakGlass,
        Image,
        ImportRun,
        Lesion,
        ModelVersion,
        Patient,
        ReadingRequest,
        RerunRun,
        SavedFilter,
        User,
        Webhook,
        WebhookDelivery,
    )

READ, SEND, BOTH = ("get", "head"), ("post",), ("get", "head", "post")
METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace")
# Nobody: not signed in, signed in too long ago, or deactivated meanwhile.
NOBODIES = ("anonymous", "expired", "idle", "deactivated")
WRITERS = ("owner", "colleague", "administrator")
# May look and not touch: by role, and by emergency access.
LOOKERS = ("read_only", "emergency")
OUTSIDERS = ("stranger", "superuser")
# Belongs to a clinic that asks everybody for a second factor, and has none.
FACTORLESS = "factorless"
EVERYBODY = (*NOBODIES, *WRITERS, *LOOKERS, *OUTSIDERS, FACTORLESS)


def methods_of_the_library(who: str) -> tuple[str, ...]:
    """Return by which methods somebody asks the pages of the account and of the admin panel.

    Who gets in is decided before the method is looked at, by a middleware and by one wrapper around
    every page: all methods for one who is in and one who is not; for the rest those that read, send
    and remove (all eight for everybody took another half a minute).
    """
    thorough = {"anonymous", "owner"}
    return METHODS if who in thorough else ("get", "post", "delete")


class Who(enum.Enum):
    """Groups of the cast that an address treats alike."""

    EVERYBODY = "everybody, signed in or not"
    LED_BACK = "everybody, signed in or not; led back to where they were"
    SIGNED_IN = "whoever is signed in"
    A_TOKEN = "whoever has a token; a session counts for nothing, and everybody gets 401"
    A_MEMBER = "who works in some clinic; everybody else gets 403"
    A_WRITER = "who may write in some clinic; everybody else gets 403"
    A_CLINICIAN = "who may write in some clinic, and superusers; everybody else gets 403"
    AN_ADMINISTRATOR = "who administers a clinic; everybody else gets 403"
    A_SWITCHER = "who administers the installation; everybody else gets 403"
    A_COMPARER = "who administers a clinic or the installation; everybody else gets 403"
    COMPARERS = "the clinic's administrators, and the installation's; everybody else 404"
    MEMBERS = "members of the row's clinic, and emergency access"
    WRITERS = "members who may write; who may only look gets 403, strangers 404"
    ADMINISTRATORS = "the clinic's administrators; who may look gets 403, strangers 404"
    KEEPERS = "the clinic's administrators and whoever the row is about; everybody else 404"
    HEADS = "the clinic's administrators; everybody else 404"
    HOLDER = "whoever the row belongs to; everybody else 404"


ABOUT_A_ROW = frozenset(
    {
        Who.MEMBERS,
        Who.WRITERS,
        Who.ADMINISTRATORS,
        Who.KEEPERS,
        Who.HEADS,
        Who.COMPARERS,
        Who.HOLDER,
    }
)


# Rows that are not there for whoever may not use them, members of the clinic included.
HIDDEN_ROWS = frozenset({Who.KEEPERS, Who.HEADS, Who.COMPARERS, Who.HOLDER})


@dataclass(frozen=True)
class Rule:
    """Who may use an address, and how to ask for it.

    Attributes:
        who: what it takes.
        args: names of things (see ``Things``) or words for the address.
        takes: the methods the address knows; every other one is 405 for whoever is signed in.
        data: what is sent along.
        is_signed: whether the address needs a key (``classifier.links``).
        veiled: whether it is 404 for members too (a map before the own reading).
    """

    who: Who
    args: tuple[str, ...] = ()
    takes: tuple[str, ...] = READ
    data: dict[str, str] = field(default_factory=dict)
    is_signed: bool = False
    veiled: bool = False


@dataclass(frozen=True)
class Things:
    """One row of each kind an address can point to."""

    patient: Patient
    lesion: Lesion
    image: Image
    analysis: Analysis
    model_version: ModelVersion
    access: BreakGlass
    token: ApiToken
    webhook: Webhook
    delivery: WebhookDelivery
    import_run: ImportRun
    saved_filter: SavedFilter
    rerun: RerunRun
    reading_request: ReadingRequest


def walk(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Yield the name and the pattern of every address."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            space = f"{pattern.namespace}:" if pattern.namespace else ""
            yield from walk(pattern.url_patterns, prefix + space)
        elif isinstance(pattern, URLPattern):
            yield f"{prefix}{pattern.name}", pattern


def address_of(
    name: str, rule: Rule, things: Things, user: User | None, *, missing: bool = False
) -> str:
    """Return a rule's address for ``user``; with ``missing`` that of a row that does not exist."""
    args = [
        (uuid.uuid4() if missing else getattr(things, arg).pk) if hasattr(things, arg) else arg
        for arg in rule.args
    ]
    address = reverse(name, args=args)
    return signed(address, user) if rule.is_signed and user is not None else address


@dataclass
class Person:
    """Somebody's browser: one session, whatever a request does to it.

    Attributes:
        name: of the cast.
        user: None for nobody.
        session: the session's key, or "".
    """

    name: str
    user: User | None
    session: str
    _client: Client = field(default_factory=Client)

    def ask(self, method: str, address: str, data: dict[str, str] | None = None) -> Response:
        """Send one request and undo what it did to the database."""
        # Nothing that an answer sets is sent along with the next request.
        self._client.cookies = SimpleCookie(
            {settings.SESSION_COOKIE_NAME: self.session} if self.session else None
        )
        send = getattr(self._client, method)
        with transaction.atomic():
            response = send(address) if method == "trace" else send(address, data or {})
            if response.streaming:
                # Reading to the end closes the file or the query behind it.
                response.streaming_content = [b"".join(response)]
            transaction.set_rollback(True)
        return cast("Response", response)


def body_of(response: Response) -> bytes:
    """Return the answer's bytes, whether they were sent whole or bit by bit."""
    return b"".join(response) if response.streaming else response.content


def is_closed(response: Response) -> bool:
    """Tell whether the answer lets a browser load and run nothing but the host's own files."""
    policy = response.headers.get("Content-Security-Policy", "")
    return "default-src 'none'" in policy and not re.search(r"unsafe|https?:|\*", policy)


def is_sign_in(response: Response) -> bool:
    """Tell whether the answer sends the person to the sign-in page."""
    return response.status_code == 302 and response["Location"].startswith(reverse("account_login"))


def is_set_up(response: Response) -> bool:
    """Tell whether the answer sends the person to set up a second factor."""
    return response.status_code == 302 and response["Location"] == reverse("mfa_index")


_LITERAL = re.compile(r"'[^']*'(::\w+)?|\b\d+\b|\"s\d+_x\d+\"")


def shape_of(sql: str) -> str:
    """Return a statement without the values in it."""
    return _LITERAL.sub("?", sql)
