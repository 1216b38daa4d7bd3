"""The production settings refuse to start without what they need, each time in plain words."""

from __future__ import annotations

import copy
import runpy
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as running
from django.core.exceptions import ImproperlyConfigured

from skinapp.settings import base

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = secrets.token_hex(16)
WHOLE = {
    "SECRET_KEY": secrets.token_hex(32),
    "DATABASE_URL": f"postgres://skinapp:{PASSWORD}@db.hospital.example:5432/skinapp",
    "REDIS_URL": f"redis://:{PASSWORD}@broker.hospital.example:6379/0",
    "ALLOWED_HOSTS": "skin.hospital.example,.clinic.example",
    "EMAIL_URL": "smtp+tls://skin:letters@mail.hospital.example:587",
    "DEFAULT_FROM_EMAIL": "skin@hospital.example",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set everything; a test takes away or changes one thing."""
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def read_settings() -> dict[str, Any]:
    return runpy.run_module("skinapp.settings.production")


def base_settings() -> dict[str, Any]:
    """Return what the base settings hold now."""
    return {name: value for name, value in vars(base).items() if name.isupper()}


def test_a_whole_environment_is_taken() -> None:
    settings = read_settings()
    assert settings["DEBUG"] is False
    assert settings["SECRET_KEY"] == WHOLE["SECRET_KEY"]
    database = settings["DATABASES"]["default"]
    assert (database["HOST"], database["PASSWORD"]) == ("db.hospital.example", PASSWORD)
    assert database["CONN_HEALTH_CHECKS"] is True
    assert settings["CELERY_BROKER_URL"] == settings["CACHES"]["default"]["LOCATION"]
    assert settings["ALLOWED_HOSTS"] == ["skin.hospital.example", ".clinic.example"]
    assert settings["EMAIL_HOST"] == "mail.hospital.example"
    assert settings["EMAIL_USE_TLS"] is True


def test_reading_them_changes_no_other_settings() -> None:
    before = copy.deepcopy(base_settings())
    read_settings()
    assert base_settings() == before
    assert running.DATABASES["default"]["HOST"] != "db.hospital.example"


def test_cookies_and_transport_are_closed() -> None:
    settings = read_settings()
    assert settings["SESSION_COOKIE_SECURE"] is settings["CSRF_COOKIE_SECURE"] is True
    assert settings["SESSION_COOKIE_NAME"].startswith("__Host-")
    assert settings["SECURE_SSL_REDIRECT"] is True
    assert settings["SECURE_HSTS_SECONDS"] == 365 * 24 * 3600


@pytest.mark.parametrize("name", sorted(WHOLE))
@pytest.mark.parametrize("value", [None, "", "  "])
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    monkeypatch.delenv(name)
    if value is not None:
        monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=name):
        read_settings()


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "REDIS_URL", "EMAIL_URL"])
def test_a_secret_may_come_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "secret"
    path.write_text(WHOLE[name] + "\n", encoding="utf-8")
    monkeypatch.delenv(name)
    monkeypatch.setenv(f"{name}_FILE", str(path))
    assert read_settings()["SECRET_KEY"] == WHOLE["SECRET_KEY"]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SECRET_KEY", "k3y" * 10, "SECRET_KEY must be random and at least 50"),
        ("SECRET_KEY", "ab" * 40, "SECRET_KEY must be random"),
        ("SECRET_KEY", "django-insecure-" + "x1y2z3" * 12, "SECRET_KEY must be random"),
        ("SECRET_KEY", "change-me-" + "x1y2z3" * 12, "SECRET_KEY must be random"),
        ("DATABASE_URL", "postgres://skinapp@db/skinapp", "password in DATABASE_URL must be"),
        ("DATABASE_URL", "postgres://a:postgres@db/skinapp", "password in DATABASE_URL must be"),
        ("DATABASE_URL", "postgres://a:password123456@db/x", "password in DATABASE_URL must be"),
        ("DATABASE_URL", "postgres://a:aaaaaaaaaaaaaa@db/x", "password in DATABASE_URL must be"),
        ("REDIS_URL", "redis://broker:6379/0", "password in REDIS_URL must be"),
        ("REDIS_URL", "redis://:skinapp-skinapp@broker/0", "password in REDIS_URL must be"),
        ("ALLOWED_HOSTS", "*", r"'\*' is refused"),
        ("ALLOWED_HOSTS", "a.example,*.example", r"'\*' is refused"),
        ("DEFAULT_FROM_EMAIL", "skinapp", "DEFAULT_FROM_EMAIL must be the address"),
    ],
)
def test_what_is_guessable_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=sentence) as refused:
        read_settings()
    # A log of the failed start must not hold the secret.
    assert name == "ALLOWED_HOSTS" or value not in str(refused.value)
