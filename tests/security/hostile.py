"""Hostile values, and the forms of a page as a browser reads them."""

from __future__ import annotations

import copy
import itertools
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes, quote_plus, urlsplit

from django.conf import settings
from django.db import transaction
from django.forms import BaseForm, BaseFormSet
from django.forms.models import BaseModelForm
from django.http import QueryDict
from django.test import Client
from django.urls import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.test.client import _MonkeyPatchedWSGIResponse as Response

    from classifier.models import User
    from tests.conftest import Cast

Value = str | bytes
NESTED = "[" * 40_000

# What a text field may well accept, so that it reaches the service and the database behind it.
TEXTS: dict[str, Value] = {
    "marks of many languages": "%s{0}{{7*7}}'--\"<b>\\../\r\nX-Injected: 1\u202e\U0001f468\u200d",
    "NUL": "a\x00b",
    "not UTF-8, and half of a surrogate pair": b"a\xff\xfe\xfa \xed\xa0\x80",
    "a long text": "x" * 9_999,
    "a text far too long": "y" * 60_000,
    "nothing but space": " \t\u00a0\u3000",
}
# What a field of another kind might choke on.
WORDS: dict[str, Value] = {
    "a huge number": "9" * 400,
    "a number that no one reads": "9" * 5_000,
    "more than 64 bits": "9223372036854775808",
    "a negative number": "-1",
    "a fraction": "1.5",
    "infinity": "1e999",
    "not a number": "NaN",
    "digits of another script": "\u0663",
    "a digit that is no number": "\u00b2",
    "before the year 1": "0000-01-01",
    "the first day": "0001-01-01",
    "the last day": "9999-12-31",
    "after the last year": "10000-01-01",
    "no such day": "2026-02-30",
    "the first moment": "0001-01-01T00:00",
    "the last moment": "9999-12-31T23:59:59.999999",
    "a moment far to the east": "0001-01-01T00:00+14:00",
    "a wrong identifier": "00000000-0000-0000-0000-00000000000g",
    "nobody's identifier": "00000000-0000-4000-8000-000000000000",
    "JSON": '{"id": "\\ud800", "rawId": 1, "response": {"userHandle": []}, "type": "public-key"}',
    "deep JSON": NESTED,
}
VALUES = TEXTS | WORDS
TOKEN = "csrfmiddlewaretoken"


def encoded(value: Value) -> str:
    """Return a value as it stands in a query or a form's body."""
    return quote_from_bytes(value) if isinstance(value, bytes) else quote_plus(value)


def body_of(pairs: Mapping[str, Value]) -> str:
    """Return a form's body; names may be hostile too."""
    return "&".join(f"{quote_plus(name)}={encoded(value)}" for name, value in pairs.items())


@dataclass
class SentForm:
    """A form of a page.

    Attributes:
        action: where it goes; "" for the page's own address.
        method: "get" or "post".
        fields: the names with what a browser would send without a person's doing.
        offered: the names of what can be chosen or pressed, with the last value offered.
    """

    action: str
    method: str
    fields: dict[str, Value] = field(default_factory=dict)
    offered: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Every name that the form can send."""
        return sorted({*self.fields, *self.offered})


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[SentForm] = []
        self._open: SentForm | None = None
        self._by_id: dict[str, SentForm] = {}
        self._select = self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = SentForm(given.get("action", ""), given.get("method", "get").lower())
            self.found.append(self._open)
            if "id" in given:
                self._by_id[given["id"]] = self._open
        form = self._by_id.get(given.get("form", ""), self._open)
        if form is not None:
            self._note(form, tag, given)

    def _note(self, form: SentForm, tag: str, given: dict[str, str]) -> None:
        name, value = given.get("name", ""), given.get("value", "")
        kind = given.get("type", "text").lower() if tag == "input" else tag
        if kind == "option" and self._select:
            form.offered[self._select] = value
            if "selected" in given or self._select not in form.fields:
                form.fields[self._select] = value
        elif not name or kind == "file":
            return
        elif kind == "select":
            self._select = name
        elif kind == "textarea":
            self._area = name
            form.fields[name] = ""
        elif kind in {"submit", "button"} or (
            kind in {"checkbox", "radio"} and "checked" not in given
        ):
            form.offered[name] = value or "on"
        elif tag == "input":
            form.fields[name] = value

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area and self._open is not None:
            self._open.fields[self._area] = str(self._open.fields[self._area]) + data


def forms_of(html: str) -> list[SentForm]:
    """Return the forms of a page, in their order."""
    parser = _Forms()
    parser.feed(html)
    parser.close()
    return parser.found


def bound_forms(response: Response) -> list[BaseForm]:
    """Return the filled-in forms that an answer shows again."""
    forms: dict[int, BaseForm] = {}
    contexts: Any = response.context or ()
    # A page of one template has its context, any other a list of them.
    for context in [contexts] if hasattr(contexts, "dicts") else contexts:
        for thing in (value for layer in context.dicts for value in layer.values()):
            form = getattr(thing, "form", thing)
            formset = getattr(thing, "formset", thing)
            some = [form] if isinstance(form, BaseForm) else []
            if isinstance(formset, BaseFormSet):
                some += [formset.management_form, *formset.forms]
            forms |= {id(one): one for one in some if one.is_bound}
    return list(forms.values())


def refused_by(forms: list[BaseForm]) -> set[str]:
    """Return the names of the fields that forms find fault with."""
    return {form.add_prefix(name) for form in forms for name in form.errors if name in form.fields}


def judge(form: BaseForm, value: Value) -> set[str]:
    """Return the names of a form's fields that let a value through, without sending it."""
    names = {form.add_prefix(name) for name in form.fields}
    again: Any = copy.copy(form)
    again.data = QueryDict(body_of(dict.fromkeys(names, value)))
    again._errors = None
    if isinstance(again, BaseModelForm):
        again.instance = copy.copy(again.instance)
    return names - refused_by([again])


@dataclass
class Attacker:
    """A session, and requests in it that are undone.

    Attributes:
        session: the session's key, or "" for nobody's.
        asked: how many requests were sent.
        slowest: the most seconds of this process that one took, and which one.
    """

    session: str
    asked: int = 0
    slowest: tuple[float, str] = (0.0, "")
    _client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def ask(self, method: str, address: str, body: str | bytes = "", **headers: Any) -> Any:
        """Send one request, whatever its answer is, and undo what it did to the database.

        Args:
            method: GET, POST ...
            address: with its query.
            body: as sent.
            headers: WSGI's names; ``CONTENT_TYPE`` is a form's unless it is given.
        """
        client = self._client
        client.cookies = SimpleCookie(
            {settings.SESSION_COOKIE_NAME: self.session} if self.session else None
        )
        kind = headers.pop("CONTENT_TYPE", "application/x-www-form-urlencoded")
        before = time.process_time()
        with transaction.atomic():
            response: Any = client.generic(method, address, body, content_type=kind, **headers)
            if response.streaming:
                response.streaming_content = [b"".join(response)]
            transaction.set_rollback(True)
        took = time.process_time() - before
        self.asked += 1
        self.slowest = max(self.slowest, (took, f"{method} {address[:80]}"))
        return response


def attacker(cast: Cast, user: User | None) -> Attacker:
    """Sign ``user`` in, who gave the password a moment ago."""
    return Attacker(str(cast.client_of(user).session.session_key) if user else "")


def fault(response: Any) -> str:
    """Return what is wrong with an answer, or nothing."""
    if response.status_code >= 500:
        told = response.exc_info[1] if response.exc_info else ""
        return f"{response.status_code} {type(told).__name__}: {str(told)[:100]}"
    return "a forged header" if "X-Injected" in response.headers else ""


def read_forms(someone: Attacker, addresses: dict[str, str]) -> dict[tuple[Any, ...], SentForm]:
    """Open pages and return each kind of form on them once, by where it goes and its fields."""
    found: dict[tuple[Any, ...], SentForm] = {}
    for address in addresses.values():
        page = someone.ask("GET", address)
        if page.status_code != 200 or "html" not in page["Content-Type"]:
            continue
        for form in forms_of(page.content.decode()):
            form.action = form.action or address
            goes_to = resolve(urlsplit(form.action).path).view_name
            found.setdefault((goes_to, form.method, *sorted(form.names)), form)
    return found


def _is_the_librarys(form: BaseForm) -> bool:
    return any(kind.__module__.startswith("allauth.") for kind in type(form).__mro__)


class Attack:
    """One form, and hostile values in its fields.

    Texts stand in all fields at once; what was let through then stands alone among good values,
    so that it comes to the rules and the database behind the form. The other values are shown to
    the form by itself, field by field; those that it lets through are sent.

    Attributes:
        faults: what went wrong, a sentence each.
    """

    def __init__(self, someone: Attacker, form: SentForm, good: dict[str, str]) -> None:
        self.faults: list[str] = []
        self._someone, self._action = someone, form.action
        self._names = [name for name in form.names if name != TOKEN]
        known: dict[str, Value] = {name: good[name] for name in self._names if name in good}
        self._plain = form.fields | form.offered | known
        self._plain.pop(TOKEN, None)
        self._shown: list[BaseForm] = []

    def _send(self, what: str, changed: dict[str, Value]) -> set[str]:
        answer = self._someone.ask("POST", self._action, body_of(self._plain | changed))
        if wrong := fault(answer):
            self.faults.append(f"{what} in {', '.join(changed)} of {self._action}: {wrong}")
        again = bound_forms(answer)
        self._shown = again or self._shown
        return set(self._names) - refused_by(again)

    def run(self) -> list[str]:
        """Send everything and return the faults."""
        texts: set[str] = set()
        for what, value in TEXTS.items():
            through = self._send(what, dict.fromkeys(self._names, value))
            texts |= through
            if through and through != set(self._names):
                self._send(f"{what}, alone,", dict.fromkeys(sorted(through), value))
        if "credential" in self._names:
            for what, value in WORDS.items():
                self._send(what, {"credential": value})
        words = itertools.cycle(WORDS.values())
        for _ in range(2):
            self._send("words", dict(zip(self._names, words, strict=False)))
        if any(_is_the_librarys(form) for form in self._shown):
            # The library's forms look at the request around them, and cannot be asked alone.
            return self.faults
        taken = self._let_through(texts)
        for number in range(max(map(len, taken.values()), default=0)):
            some = {name: values[number % len(values)] for name, values in taken.items()}
            self._send("words, alone,", some)
        return self.faults

    def _let_through(self, texts: set[str]) -> dict[str, list[Value]]:
        taken: dict[str, list[Value]] = {}
        for form, (what, value) in itertools.product(self._shown, WORDS.items()):
            try:
                for name in judge(form, value) - texts:
                    taken.setdefault(name, []).append(value)
            except Exception as error:  # noqa: BLE001 - whatever it is, it would have been a 500
                self.faults.append(f"{what} in {type(form).__name__}: {error!r}")
        return taken
