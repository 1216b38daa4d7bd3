"""What a request says about its own content is read with care, or refused in plain words."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from django.test import RequestFactory
from django.urls import reverse

from skinapp.incoming import Application, Request
from tests.security import cells
from tests.security.hostile import attacker, fault
from tests.security.rules import RULES, SIGN_IN_PAGES
from tests.security.test_every_address import admin_addresses

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Cast
    from tests.security.cells import Things

pytestmark = pytest.mark.usefixtures("open_doors")

CHARACTER_SET = "The request is in a character set other than UTF-8."
UNREADABLE = "The request's Content-Type cannot be read."
FOREIGN = (
    *("rot13", "zip", "idna", "punycode", "undefined", "unicode_escape", "utf-7", "utf-16"),
    *("latin-1", "no-such", "", "x" * 5_000, "'", "\xff"),
)
SENSELESS = (
    *("; charset=\x00", "; charset=utf-8\x00", '; charset="utf-8\x00"', "; charset=\nrot13"),
    *("; charset*=no-such''x", "; charset*=rot13''x", "; charset*=idna''%ff", "; charset*=''%00"),
    *("; charset*=undefined''%ff", "; charset*=utf-8''%00", "; x*=punycode''%ff%00"),
    *("; charset*; charset*1*=a", f"; x*{'9' * 5_000}=a", "; charset*0=rot; charset*1=13"),
)
HOSTILE = (*(f"; charset={name}" for name in FOREIGN), *SENSELESS)
PLAIN = ("", "; charset=utf-8", '; charset="UTF-8"', "; charset=UTF8", "; charset=us-ascii")
KINDS = ("text/html", "application/x-www-form-urlencoded", "multipart/form-data; boundary=e")


@pytest.fixture(autouse=True)
def _as_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests' browser make the requests that the server makes."""
    monkeypatch.setattr("django.test.client.WSGIRequest", Request)


def judged(answer: Any) -> str:
    """Return what is wrong with the answer to a request of a hostile kind, or nothing."""
    if answer.status_code != 400:
        return fault(answer) or str(answer.status_code)
    program = answer["Content-Type"] == "application/problem+json"
    said: str = answer.json()["detail"] if program else answer.content.decode()
    if said not in {CHARACTER_SET, UNREADABLE}:
        return said[:100]
    return "" if answer["X-Reference"] and "Content-Security-Policy" in answer else "a bare answer"


def test_no_address_is_asked_in_a_character_set_that_nobody_reads(
    cast: Cast, things: Things
) -> None:
    someone = attacker(cast, cast.superuser)
    addresses = {name: cells.address_of(name, rule, things, None) for name, rule in RULES.items()}
    addresses |= {name: reverse(name, args=args) for name, args in SIGN_IN_PAGES.items()}
    addresses |= admin_addresses(things)
    everything = itertools.cycle(itertools.product(HOSTILE, KINDS, ("POST", "GET", "PUT")))
    faults = []
    for name, address in addresses.items():
        everywhere = name in {"patient_create", "account_login", "healthz"}
        for rubbish, kind, method in itertools.islice(everything, 240 if everywhere else 4):
            place = f"{address}?q=%ff&next=%00"
            answer = someone.ask(method, place, b"name=\xff%00", CONTENT_TYPE=kind + rubbish)
            if wrong := judged(answer):
                faults.append(f"{method} {name} {kind}{rubbish[:60]!r}: {wrong}")
    assert not faults, "\n".join(faults)
    assert someone.asked > 900


def test_utf_8_is_welcome_under_all_its_names(cast: Cast) -> None:
    someone = attacker(cast, cast.owner)
    for kind, name in itertools.product(KINDS[1:], PLAIN):
        body = b'--e\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xc3\x85sa\r\n--e--\r\n'
        answer = someone.ask(
            "POST",
            reverse("patient_create"),
            body if "boundary" in kind else b"name=%C3%85sa",
            CONTENT_TYPE=kind + name,
        )
        # The form is shown again: the rest is missing.
        assert answer.status_code == 422
        assert 'value="Åsa"' in answer.content.decode()


def test_a_part_with_a_senseless_header_is_refused_as_a_whole(cast: Cast) -> None:
    someone = attacker(cast, cast.owner)
    upload = reverse("image_upload", args=[cast.patient.pk])
    faults, codes = [], set()
    heads = ('Content-Disposition: form-data; name="images"', "Content-Type: image/jpeg")
    parts = (*SENSELESS, "; name*; name*1*=a", "; filename*; filename*1*=a", "; a*; a*1*=a")
    for rubbish, head in zip(parts, itertools.cycle(heads), strict=False):
        text = f'--e\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n{head}'
        body = f"{text}{rubbish}\r\n\r\nx\r\n--e--\r\n".encode()
        answer = someone.ask("POST", upload, body, CONTENT_TYPE=KINDS[2])
        codes.add(answer.status_code)
        if wrong := fault(answer):
            faults.append(f"{head}{rubbish[:60]!r}: {wrong}")
    assert not faults, "\n".join(faults)
    assert 400 in codes


def ask(application: Application, kind: str, address: str = "/") -> tuple[str, str]:
    """Return an answer's status and body as the server gets them."""
    environ = RequestFactory().generic("GET", address, b"a=b", content_type=kind).environ
    told: list[str] = []

    def start(status: str, *_more: Any) -> Callable[[bytes], object]:
        told.append(status)
        return lambda _written: None

    answer = application(environ, start)
    return told[0], b"".join(answer).decode()


def test_the_server_s_own_application_answers_so(cast: Cast) -> None:
    """Without the tests' browser: Django looks at the header before any middleware can."""
    application = Application()
    for rubbish in HOSTILE:
        assert ask(application, f"text/html{rubbish}") in {
            ("400 Bad Request", CHARACTER_SET),
            ("400 Bad Request", UNREADABLE),
        }
    # An address that is refused when it is read is not read before somebody can refuse.
    for name in PLAIN:
        status, _said = ask(application, f"text/html{name}", f"/accounts/login/?{'a=b&' * 300}")
        assert status == "400 Bad Request"
    assert ask(application, "text/html; charset=utf-8", "/healthz") == ("200 OK", "ok\n")
