"""What is refused before a byte of the body is read, and what every answer tells browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

if TYPE_CHECKING:
    from django.conf import LazySettings

    from tests.conftest import Cast


class Untouched:
    """A body that nobody may read."""

    def read(self, *_size: int) -> bytes:
        """Fail the test.

        Raises:
            AssertionError: always.
        """
        raise AssertionError("the body was read")

    readline = read


def post(length: str, accept: str = "text/html") -> tuple[int, str, str]:
    """Send a request whose body has the declared length; return (status, type, text)."""
    surroundings: Any = {
        "CONTENT_LENGTH": length,
        "wsgi.input": Untouched(),
        "HTTP_ACCEPT": accept,
    }
    answer = Client().generic("POST", "/accounts/login/", **surroundings)
    return answer.status_code, answer.headers["Content-Type"], answer.content.decode()


@pytest.mark.parametrize("length", ["{limit}1", "9" * 30, "9" * 5000])
def test_a_long_body_is_refused_unread(settings: LazySettings, length: str) -> None:
    settings.REQUEST_MAX_BYTES = 3 * 1024 * 1024
    status, _kind, text = post(length.format(limit=settings.REQUEST_MAX_BYTES))
    assert status == 413
    assert "The upload is too large: at most 3 MB at a time." in text


def test_the_page_s_script_gets_the_refusal_in_json(settings: LazySettings) -> None:
    settings.REQUEST_MAX_BYTES = 3 * 1024 * 1024
    status, kind, text = post("9999999999", "application/json")
    assert (status, kind) == (413, "application/json")
    assert text == '{"errors": {"images": ["The upload is too large: at most 3 MB at a time."]}}'


@pytest.mark.parametrize("length", ["-1", "many", "1e9", "²", "٣"])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    status, kind, text = post(length)
    assert (status, kind) == (400, "text/plain")
    assert text == "The request's length is not a number."


def test_every_page_is_closed(cast: Cast) -> None:
    answer = cast.client_of(cast.owner).get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http:" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "camera=(self)" in answer.headers["Permissions-Policy"]
    assert answer.headers["Cache-Control"] == "no-store, private"
