"""What is refused before a byte of the body is read, and what every answer tells browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.test import Client

from tests.security.cells import is_closed

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
    answer = Client().generic("POST", "/analyses/new/", **surroundings)
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


def spooled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the files that are written down from now on."""
    sizes: list[int] = []
    real = TemporaryFileUploadHandler.file_complete

    def noted(handler: TemporaryFileUploadHandler, size: int) -> Any:
        sizes.append(size)
        return real(handler, size)

    monkeypatch.setattr(TemporaryFileUploadHandler, "file_complete", noted)
    return sizes


def send_file(client: Client, address: str) -> int:
    """Send four megabytes with a token's cookie, as a browser with an old page would."""
    client.cookies[settings.CSRF_COOKIE_NAME] = "a" * 32
    answer = client.post(address, {"images": SimpleUploadedFile("x.jpg", bytes(4 * 1024 * 1024))})
    return answer.status_code


@pytest.mark.parametrize(
    ("address", "status"),
    [("/accounts/login/", 413), ("/healthz", 413), ("/analyses/new/", 302), ("/nowhere/", 413)],
)
def test_a_strangers_file_is_not_written_down(
    monkeypatch: pytest.MonkeyPatch, db: None, address: str, status: int
) -> None:
    sizes = spooled(monkeypatch)
    assert send_file(Client(enforce_csrf_checks=True), address) == status
    assert sizes == []


def test_only_the_upload_pages_take_files(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = spooled(monkeypatch)
    client = cast.client_of(cast.owner)
    assert send_file(client, "/patients/new/") == 413
    assert sizes == []
    for address in ("/analyses/new/", f"/patients/{cast.patient.pk}/images/new/"):
        assert send_file(client, address) == 422
    assert sizes == [4 * 1024 * 1024] * 2


def test_a_form_without_its_token_is_refused(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.owner, backend="django.contrib.auth.backends.ModelBackend")
    assert client.post("/patients/new/", {"name": "Forged"}).status_code == 403


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


def test_every_page_of_an_error_is_closed(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.UPLOAD_REQUESTS_PER_MINUTE = 0
    client = cast.client_of(cast.owner)
    client.raise_request_exception = False
    strict = Client(enforce_csrf_checks=True)
    answers = {
        400: client.get("/history/?state=x"),
        404: client.get("/no/such/page/"),
        405: client.delete("/patients/"),
        413: client.post("/patients/new/", {"images": SimpleUploadedFile("x", bytes(4 * 2**20))}),
        429: client.post("/analyses/new/", {}),
    }
    hosts = client.get("/", headers={"Host": "evil.example"})
    tokens = strict.post("/accounts/login/", {"login": "a@b.example"})
    reader = cast.client_of(cast.read_only)
    monkeypatch.setattr("classifier.views.patients.patient_page", lambda *_args, **_facts: 1 / 0)
    answers |= {500: client.get("/patients/")}
    assert {status: answer.status_code for status, answer in answers.items()} == {
        status: status for status in answers
    }
    forbidden = reader.get("/patients/new/")
    assert (hosts.status_code, tokens.status_code, forbidden.status_code) == (400, 403, 403)
    for answer in (*answers.values(), hosts, tokens, forbidden):
        assert is_closed(answer), answer.status_code
