"""Whatever stands in an address, a body or a header, the answer is never a fault."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from tests.security import cells
from tests.security.cells import Who
from tests.security.hostile import (
    TEXTS,
    VALUES,
    WORDS,
    Value,
    attacker,
    body_of,
    encoded,
    fault,
)
from tests.security.rules import RULES
from tests.security.test_every_address import admin_addresses

if TYPE_CHECKING:
    from django.conf import LazySettings
    from django.http import HttpRequest

    from tests.conftest import Cast
    from tests.security.cells import Things

pytestmark = pytest.mark.usefixtures("open_doors")
# No request takes longer, in seconds of this process alone: other work on the machine, and the
# database's, does not count.
MOST_SECONDS = 2.0
DAYS = {what: value for what, value in WORDS.items() if what.endswith(" day")}
# What the addresses of lists and pages know, besides the fields of the forms on them.
QUERY = (
    *("q", "page", "tab", "cursor", "lesion", "patient", "poll", "seen", "next", "key", "archived"),
    *("state", "label", "decision", "modality", "review", "version", "reviewer", "clinic"),
    *("since", "until", "scope", "person", "action"),
)
FORGED_CURSORS: dict[str, Value] = {
    f"{way}, {what}": f"{way}.{key}"
    for way in ("after", "before")
    for what, key in {
        "nobody": "00000000-0000-4000-8000-000000000000",
        "a number": "1",
        "a number too large": "9" * 30,
        "digits nobody reads": "9" * 5_000,
        "NUL": "\x00",
        "dots": "1.2.3",
    }.items()
}
LIST_WORDS = ("o", "p", "e", "all", "_to_field", "_facets", "id__exact", "no_such__field")


def staff_request(cast: Cast, address: str) -> HttpRequest:
    """Return a superuser's request as it comes to a page of the admin panel."""
    request = RequestFactory().get(address)
    request.user = cast.superuser
    request.session = SessionStore()
    request._messages = FallbackStorage(request)  # type: ignore[attr-defined] # the middleware's
    return request


def test_no_list_of_the_admin_panel_takes_a_hostile_filter_for_a_fault(
    cast: Cast, things: Things
) -> None:
    faults, asked = [], 0
    everything = itertools.cycle(VALUES.items())
    for model, panel in admin.site._registry.items():
        request = staff_request(cast, "/")
        filters = [str(name) for name in panel.get_list_filter(request)]
        lookups = [f"{name}{end}" for name in filters for end in ("__exact", "__id__exact")]
        # Each filter meets every value on one list or the other; the search of each meets all.
        asks = [(name, *next(everything)) for name in (*lookups, *LIST_WORDS) for _ in range(4)]
        asks += [("q", what, value) for what, value in TEXTS.items()]
        for name, what, value in asks:
            asked += 1
            try:
                # Its rows are fetched; the page around them is the same as ever.
                page = admin.site.admin_view(panel.changelist_view)
                page(staff_request(cast, f"/?{quote(name)}={encoded(value)}"))
            except (BadRequest, SuspiciousOperation, PermissionDenied):
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is, it would have been a 500
                faults.append(f"{model.__name__}: {what} in {name}: {error!r}")
    assert not faults, "\n".join(faults)


def test_no_address_takes_a_hostile_query_for_a_fault(cast: Cast, things: Things) -> None:
    someone = attacker(cast, cast.administrator)
    everything = itertools.cycle(VALUES.items())
    faults = []
    for name, rule in RULES.items():
        if rule.who is Who.EVERYBODY or "get" not in rule.takes:
            continue
        address = cells.address_of(name, rule, things, None)
        for what, value in itertools.islice(everything, 2):
            answer = someone.ask("GET", f"{address}?{body_of(dict.fromkeys(QUERY, value))}")
            if wrong := fault(answer):
                faults.append(f"{what} asked of {name}: {wrong}")
    # Alone, or one would hide behind the refusal of the other; each key that is read meets some of
    # the values, and each kind of key all.
    for name, key in (
        *(("history", key) for key in ("since", "until", "patient", "version", "cursor", "q")),
        *(("audit_trail", key) for key in ("since", "until", "patient", "person", "cursor")),
        *(("patient_list", key) for key in ("q", "cursor")),
        ("worklist", "cursor"),
    ):
        cursors = FORGED_CURSORS.items() if key == "cursor" else ()
        for what, value in (*itertools.islice(everything, 5), *cursors):
            answer = someone.ask("GET", f"{reverse(name)}?{key}={encoded(value)}")
            if wrong := fault(answer):
                faults.append(f"{what} as {key} of {name}: {wrong}")
    assert not faults, "\n".join(faults)
    assert someone.slowest[0] < MOST_SECONDS, someone.slowest


def test_no_first_or_last_day_is_a_fault_wherever_the_sun_rises(cast: Cast) -> None:
    someone = attacker(cast, cast.administrator)
    faults = []
    zones = ("Pacific/Auckland", "America/Los_Angeles")
    lists = (reverse("history"), reverse("audit_trail"))
    for zone, address, key in itertools.product(zones, lists, ("since", "until")):
        for what, value in DAYS.items():
            with timezone.override(zone):
                answer = someone.ask("GET", f"{address}?{key}={encoded(value)}")
            if wrong := fault(answer):
                faults.append(f"{what} as {key} of {address} in {zone}: {wrong}")
    assert not faults, "\n".join(faults)


def test_no_address_takes_a_hostile_part_for_a_fault(cast: Cast, things: Things) -> None:
    addresses = {name: cells.address_of(name, rule, things, None) for name, rule in RULES.items()}
    parts = [str(row.pk) for row in vars(things).values()]
    # Each address meets some values, and each kind of address all.
    everything = itertools.cycle(VALUES.items())
    faults = []
    clinics, panel = attacker(cast, cast.administrator), attacker(cast, cast.superuser)
    for someone, known in ((clinics, addresses), (panel, admin_addresses(things))):
        for name, address in known.items():
            part = next((part for part in parts if part in address), None)
            last = address.rstrip("/").rpartition("/")[2]
            part = part or (last if last.isdecimal() else None)
            for what, value in itertools.islice(everything, 5 if part else 0):
                # Longer addresses are refused before they get here (skinapp/serving.py).
                forged = address.replace(str(part), encoded(value)[:6_000])
                if wrong := fault(someone.ask("GET", forged)):
                    faults.append(f"{what} in {name}: {wrong}")
    assert not faults, "\n".join(faults)
    assert clinics.asked > 50
    assert panel.asked > 50


def test_no_body_of_a_wrong_kind_is_a_fault(cast: Cast) -> None:
    someone = attacker(cast, cast.owner)
    kinds = (
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\xe9",
        "multipart/form-data; boundary=" + "b" * 5_000,
        "multipart/form-data; boundary=edge; charset=no-such",
        "multipart/form-data; boundary=edge",
        "application/x-www-form-urlencoded; charset=no-such",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/json",
        "text/plain; charset=" + "x" * 5_000,
        "",
    )
    part = b'--edge\r\nContent-Disposition: form-data; name="%s"%s\r\n%s\r\nx\r\n--edge--\r\n'
    bodies = (
        b"",
        b"--edge\r\n\r\n",
        b"name=\xff&name=%00&%=%&=&&&;",
        b"\x00" * 1_000,
        b"&".join(b"f%d=1" % number for number in range(300)),
        part % (b"name", b"", b""),
        part % (b"images", b'; filename="\x00.jpg"', b"Content-Type: image/jpeg\r\n"),
        part % (b"images", b'; filename="../../x"', b"Content-Transfer-Encoding: base64\r\n"),
        part % (b"images", b"; filename*=utf-8''%ff%fe", b"Content-Length: -1\r\n"),
        part % (b"\xff" * 9, b"; filename*=no-such''x", b"Content-Type: \xff; charset=\x00\r\n"),
        part % (b"n" * 9_000, b"", b"A: b\r\n" * 900),
    )
    upload = reverse("image_upload", args=[cast.patient.pk])
    faults = [
        f"{kind[:60]} {body[:60]!r}: {wrong}"
        for address in (upload, reverse("patient_create"))
        for kind, body in itertools.product(kinds, bodies)
        if (wrong := fault(someone.ask("POST", address, body, CONTENT_TYPE=kind)))
    ]
    assert not faults, "\n".join(faults)


HEADERS = (
    "HTTP_ACCEPT",
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_COOKIE",
    "HTTP_HOST",
    "HTTP_HX_REQUEST",
    "HTTP_HX_TARGET",
    "HTTP_HX_CURRENT_URL",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_ORIGIN",
    "HTTP_RANGE",
    "HTTP_REFERER",
    "HTTP_USER_AGENT",
    "HTTP_X_CSRFTOKEN",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REQUESTED_WITH",
    "CONTENT_LENGTH",
    "REMOTE_ADDR",
)


def test_no_header_is_a_fault(cast: Cast, settings: LazySettings) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    someone = attacker(cast, cast.owner)
    hostile: dict[str, Value] = {
        **VALUES,
        "a session that is none": f'{settings.SESSION_COOKIE_NAME}="\\000aaaaaaaaaaaa"',
        "a session too long": f"{settings.SESSION_COOKIE_NAME}={'a' * 5_000}",
        "a token that is none": f'{settings.CSRF_COOKIE_NAME}="\\000\\377"',
        "languages": ",".join(f"x-{number};q=0.{number}" for number in range(400)),
        "ranges": "bytes=" + ",".join("0-" for _ in range(2_000)),
    }
    asks = (("GET", reverse("patient_search")), ("POST", reverse("account_login")))
    faults = []
    for what, value in hostile.items():
        # Servers hand headers on as Latin-1.
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        text = text.encode().decode("latin-1").replace("\r", "").replace("\n", "")[:30_000]
        for number, header in enumerate(HEADERS):
            # The sign-in looks at addresses and cookies, pages at the rest; each is asked in turn.
            method, address = asks[(number + len(what)) % len(asks)]
            answer = someone.ask(method, address, "login=a%40b.example", **{header: text})
            if wrong := fault(answer):
                faults.append(f"{what} in {header}: {wrong}")
    forged = {"HTTP_COOKIE": f'{settings.SESSION_COOKIE_NAME}="\\000aaaaaaaaaaaa"'}
    for method, address in asks:
        assert someone.ask(method, address, **forged).status_code in {200, 302}
    assert not faults, "\n".join(faults)
    assert someone.slowest[0] < MOST_SECONDS, someone.slowest
