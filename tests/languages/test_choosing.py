"""Which language a page is in, and who decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation

from tests.web import answered as make
from tests.web.answers import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Cast

CHOOSE = reverse("choose_language")


@pytest.fixture(autouse=True)
def _own_language() -> Iterator[None]:
    """A page in German leaves its thread in German until the next request."""
    yield
    translation.deactivate()


def choose(client: Client, language: str, **more: str) -> str:
    """Press a button of the switch; return where it leads."""
    answer = client.post(CHOOSE, {"language": language, "next": "/history/"} | more)
    assert answer.status_code == 302
    return answer.headers["Location"]


def test_a_browser_is_answered_in_the_language_that_it_asks_for(cast: Cast) -> None:
    login = reverse("account_login")
    german = Client(headers={"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}).get(login)
    assert '<html lang="de">' in german.content.decode()
    assert german.headers["Content-Language"] == "de"
    assert "Anmelden" in text_of(german)
    for wanted in ("fr", "en-US", "", "xx-%00"):
        page = Client(headers={"Accept-Language": wanted}).get(login)
        assert '<html lang="en">' in page.content.decode()
        assert "Sign in" in text_of(page)


def test_before_signing_in_the_browser_keeps_the_choice(cast: Cast) -> None:
    client = Client()
    assert choose(client, "de", next="/accounts/login/") == "/accounts/login/"
    assert client.cookies["django_language"]["httponly"]
    assert "Anmelden" in text_of(client.get("/accounts/login/"))
    assert choose(client, "en", next="/accounts/login/") == "/accounts/login/"
    assert "Sign in" in text_of(client.get("/accounts/login/"))


def test_an_account_keeps_its_language_wherever_it_signs_in_and_leaves_none_behind(
    cast: Cast,
) -> None:
    workplace = cast.client_of(cast.owner)
    assert "Worklist" in text_of(workplace.get("/"))
    assert choose(workplace, "de") == "/history/"
    assert "django_language" not in workplace.cookies
    assert "Arbeitsliste" in text_of(workplace.get("/"))
    assert "Arbeitsliste" in text_of(cast.client_of(cast.owner).get("/"))
    workplace.logout()
    workplace.force_login(cast.colleague)
    assert "Worklist" in text_of(workplace.get("/"))
    cast.owner.refresh_from_db()
    assert (cast.owner.language, cast.colleague.language) == ("de", "")


def test_the_account_speaks_louder_than_the_browser(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    choose(client, "en")
    page = client.get("/", headers={"Accept-Language": "de"})
    assert "Worklist" in text_of(page)
    assert page.headers["Content-Language"] == "en"


@pytest.mark.parametrize("language", ["fr", "tlh", "", "de\x00", "d" * 900, "../de", "EN"])
def test_a_language_that_is_not_offered_changes_nothing(cast: Cast, language: str) -> None:
    client = cast.client_of(cast.owner)
    choose(client, "de")
    choose(client, language)
    cast.owner.refresh_from_db()
    assert cast.owner.language == "de"


@pytest.mark.parametrize("target", ["https://elsewhere.example/", "//elsewhere.example", "\\\\x"])
def test_the_switch_leads_nowhere_else(cast: Cast, target: str) -> None:
    assert choose(cast.client_of(cast.owner), "de", next=target) == "/"
    assert choose(Client(), "de", next=target) == "/"


def test_only_a_form_of_ours_switches(cast: Cast) -> None:
    assert Client().get(CHOOSE).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(CHOOSE, {"language": "de"}).status_code == 403


def test_the_answer_of_a_network_is_told_in_german(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    client = cast.client_of(cast.owner)
    choose(client, "de")
    page = text_of(client.get(analysis.get_absolute_url()))
    assert "Melanom" in page or "Nävus" in page
    for english in ("Nevus", "benign lesion", "skin cancer", "Not skin"):
        assert english not in page


def test_programs_read_english_whoever_asks(cast: Cast) -> None:
    make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    client = cast.client_of(cast.owner)
    plain = b"".join(client.get(reverse("history_csv")))
    choose(client, "de")
    assert b"".join(client.get(reverse("history_csv"))) == plain
