"""Nobody can fill the disk or the queue: uploads are counted by person, before they are read."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.security.test_request_bounds import Untouched

if TYPE_CHECKING:
    from django.conf import LazySettings

    from tests.conftest import Cast

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _own_counts(settings: LazySettings) -> None:
    """Forget what other tests sent."""
    default = settings.CACHES["default"] | {"KEY_PREFIX": uuid.uuid4().hex}
    settings.CACHES = settings.CACHES | {"default": default}


def send(cast: Cast, length: int = MIB, accept: str = "text/html", who: str = "owner") -> Any:
    """Send an upload of a declared length whose body nobody may read."""
    client = cast.client_of(getattr(cast, who))
    client.raise_request_exception = False
    surroundings: Any = {
        "CONTENT_LENGTH": str(length),
        "CONTENT_TYPE": "multipart/form-data; boundary=edge",
        "wsgi.input": Untouched(),
        "HTTP_ACCEPT": accept,
    }
    return client.generic("POST", f"/patients/{cast.patient.pk}/images/new/", **surroundings)


def test_too_many_uploads_in_a_minute_wait(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.services.rates._now", lambda: 1_000_000_030.0)
    settings.UPLOAD_REQUESTS_PER_MINUTE = 2
    # Let through, they end at the body that nobody may read.
    assert [send(cast).status_code for _ in range(2)] == [500, 500]
    refused = send(cast)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) == 51
    assert "Send the rest in 1 minute." in refused.content.decode()
    told = send(cast, accept="application/json")
    assert told.status_code == 429
    assert json.loads(told.content)["errors"]["images"][0].startswith("You have sent very many")
    # A colleague is not held up, nor anybody a minute later, nor is another page.
    assert send(cast, who="colleague").status_code == 500
    assert cast.client_of(cast.owner).get("/").status_code == 200
    monkeypatch.setattr("classifier.services.rates._now", lambda: 1_000_000_090.0)
    assert send(cast).status_code == 500


def test_too_many_bytes_in_an_hour_wait(cast: Cast, settings: LazySettings) -> None:
    settings.UPLOAD_BYTES_PER_HOUR = 10 * MIB
    assert send(cast, 6 * MIB).status_code == 500
    refused = send(cast, 6 * MIB)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    # What was refused does not count: a smaller one still fits.
    assert send(cast, 3 * MIB).status_code == 500


def test_without_a_cache_images_are_still_taken_in(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.UPLOAD_REQUESTS_PER_MINUTE = 0

    class Away:
        """A cache that does not answer."""

        def add(self, *_arguments: object, **_keywords: object) -> None:
            """Fail.

            Raises:
                RedisConnectionError: always.
            """
            raise RedisConnectionError

    monkeypatch.setattr("classifier.services.rates.cache", Away())
    assert send(cast).status_code == 500
