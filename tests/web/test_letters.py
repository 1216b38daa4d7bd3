"""The letters that the application sends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.core import mail
from django.test import Client
from django.urls import reverse

if TYPE_CHECKING:
    from tests.conftest import Cast


def test_the_reset_letter_is_plain_and_its_link_works_once(cast: Cast) -> None:
    Client().post(reverse("account_reset_password"), {"email": cast.owner.email})
    (letter,) = mail.outbox
    assert letter.subject == "[Skinapp] Set a new password"
    assert letter.to == [cast.owner.email]
    assert "it works once" in letter.body
    link = re.search(r"https?://[^/\s]+(/\S+)", str(letter.body))
    assert link
    client = Client()
    words = {"password1": "a new and longer one", "password2": "a new and longer one"}
    for expected in (True, False):
        page = client.get(link[1], follow=True)
        address = page.request["PATH_INFO"]
        client.post(address, words)
        cast.owner.refresh_from_db()
        assert cast.owner.check_password("a new and longer one")
        assert ("This link no longer works" in page.content.decode()) is not expected


def test_nobody_gets_a_letter_for_an_unknown_address(cast: Cast) -> None:
    Client().post(reverse("account_reset_password"), {"email": "nobody@north.example"})
    assert mail.outbox == []
