"""The production settings refuse to start without what they need, each time in plain words."""

from __future__ import annotations

import copy
import runpy
import secrets
import sys
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as running
from django.core.exceptions import ImproperlyConfigured

from skinapp.settings import base

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = secrets.token_hex(16)
OLDER = [secrets.token_hex(32), secrets.token_hex(32)]
WHOLE = {
    "SECRET_KEY": secrets.token_hex(32),
    "MFA_KEYS": f"{secrets.token_hex(32)},{secrets.token_hex(32)}",
    "DATABASE_URL": f"postgres://skinapp:{PASSWORD}@db.hospital.example:5432/skinapp",
    "REDIS_URL": f"redis://:{PASSWORD}@broker.hospital.example:6379/0",
    "ALLOWED_HOSTS": "skin.hospital.example,.clinic.example",
    "EMAIL_URL": "smtp+tls://skin:letters@mail.hospital.example:587",
    "DEFAULT_FROM_EMAIL": "skin@hospital.example",
}


# What a hospital's compose file gives instead: addresses without a password, and files.
PARTED = {
    "DATABASE_URL": "postgres://skinapp@db.hospital.example:5432/skinapp",
    "REDIS_URL": "redis://broker.hospital.example:6379/0",
    "EMAIL_URL": "smtp+tls://skin@mail.hospital.example:587",
}
PASSWORDS = {
    "DATABASE_PASSWORD": "s/l@a:s%h" + PASSWORD,
    "REDIS_PASSWORD": PASSWORD,
    "EMAIL_PASSWORD": "letters",
}
BUCKET = {
    "MEDIA_S3_BUCKET": "skin-images",
    "MEDIA_S3_ACCESS_KEY": "AKQ7W3",
    "MEDIA_S3_SECRET_KEY": secrets.token_hex(20),
}
NAMES = [*WHOLE, *PASSWORDS, *BUCKET, "SECRET_KEY_FALLBACKS"]

# The files that read the environment.
PARTS = ("base", "limits", "signing_in")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set everything; a test takes away or changes one thing."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)


def read_settings() -> dict[str, Any]:
    """Read the settings as a process of its own would; those of this process stay as they are."""
    kept = {part: sys.modules.pop(f"skinapp.settings.{part}") for part in PARTS}
    try:
        return runpy.run_module("skinapp.settings.production")
    finally:
        for part, module in kept.items():
            sys.modules[f"skinapp.settings.{part}"] = module
            vars(sys.modules["skinapp.settings"])[part] = module


def part(monkeypatch: pytest.MonkeyPatch, folder: Path, **passwords: str) -> dict[str, Path]:
    """Give addresses without passwords, and every secret as a file; return the files."""
    files = {}
    for name, value in PARTED.items():
        monkeypatch.setenv(name, value)
    for name in ("SECRET_KEY", "MFA_KEYS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("MEDIA_S3_BUCKET", BUCKET["MEDIA_S3_BUCKET"])
    everything = WHOLE | PASSWORDS | BUCKET | {"SECRET_KEY_FALLBACKS": "\n".join(OLDER)} | passwords
    for name in SECRETS:
        files[name] = folder / name.lower()
        files[name].write_text(everything[name] + "\n", encoding="utf-8")
        monkeypatch.setenv(f"{name}_FILE", str(files[name]))
    return files


SECRETS = (
    *("SECRET_KEY", "SECRET_KEY_FALLBACKS", "MFA_KEYS", *PASSWORDS),
    *("MEDIA_S3_ACCESS_KEY", "MEDIA_S3_SECRET_KEY"),
)
MAY_BE_EMPTY = {"SECRET_KEY_FALLBACKS"}


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
def test_an_address_may_come_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "secret"
    path.write_text(WHOLE[name] + "\n", encoding="utf-8")
    monkeypatch.delenv(name)
    monkeypatch.setenv(f"{name}_FILE", str(path))
    assert read_settings()["SECRET_KEY"] == WHOLE["SECRET_KEY"]


def test_every_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    part(monkeypatch, tmp_path)
    settings = read_settings()
    assert settings["SECRET_KEY"] == WHOLE["SECRET_KEY"]
    assert settings["SECRET_KEY_FALLBACKS"] == OLDER
    assert settings["MFA_KEYS"] == WHOLE["MFA_KEYS"].split(",")
    assert settings["DATABASES"]["default"]["PASSWORD"] == PASSWORDS["DATABASE_PASSWORD"]
    assert settings["DATABASES"]["default"]["USER"] == "skinapp"
    assert settings["REDIS_URL"] == f"redis://:{PASSWORD}@broker.hospital.example:6379/0"
    assert settings["CELERY_BROKER_URL"] == settings["REDIS_URL"]
    assert (settings["EMAIL_HOST_USER"], settings["EMAIL_HOST_PASSWORD"]) == ("skin", "letters")
    options = settings["STORAGES"]["default"]["OPTIONS"]
    assert (options["access_key"], options["secret_key"]) == tuple(list(BUCKET.values())[1:])


@pytest.mark.parametrize("name", SECRETS)
def test_a_file_that_is_missing_empty_or_unreadable_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    files = part(monkeypatch, tmp_path)
    whole = files[name].read_text(encoding="utf-8").strip()
    # Root reads every file, but no folder.
    places = {tmp_path: "Is a directory", tmp_path / "none": "No such file or directory"}
    for place, words in places.items():
        monkeypatch.setenv(f"{name}_FILE", str(place))
        with pytest.raises(ImproperlyConfigured, match=f"{name}_FILE points to .*: {words}"):
            read_settings()
    monkeypatch.setenv(f"{name}_FILE", str(files[name]))
    for data in (b"\xff\xfe\x00binary", b"x" * 70_000):
        files[name].write_bytes(data)
        with pytest.raises(ImproperlyConfigured, match=f"{name}_FILE points to"):
            read_settings()
    files[name].write_bytes(b" \n")
    if name in MAY_BE_EMPTY:
        assert read_settings()[name] == []
    else:
        with pytest.raises(ImproperlyConfigured, match=name):
            read_settings()
    files[name].write_text(whole, encoding="utf-8")
    monkeypatch.setenv(name, "another value that is set as well")
    with pytest.raises(ImproperlyConfigured, match=f"Both {name} and {name}_FILE are set"):
        read_settings()


@pytest.mark.parametrize("name", ["DATABASE", "REDIS", "EMAIL"])
def test_two_passwords_for_one_thing_are_one_too_many(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"{name}_PASSWORD", "f00t" * 8)
    with pytest.raises(ImproperlyConfigured, match=f"{name}_URL and {name}_PASSWORD") as refused:
        read_settings()
    assert "f00t" not in str(refused.value)


def test_a_mail_server_that_asks_nobody_needs_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMAIL_URL", "smtp://relay.hospital.example:25")
    assert read_settings()["EMAIL_HOST"] == "relay.hospital.example"
    monkeypatch.setenv("EMAIL_PASSWORD", "letters")
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL names nobody"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SECRET_KEY", "k3y" * 10, "SECRET_KEY must be random and at least 50"),
        ("SECRET_KEY", "ab" * 40, "SECRET_KEY must be random"),
        ("SECRET_KEY", "django-insecure-" + "x1y2z3" * 12, "SECRET_KEY must be random"),
        ("SECRET_KEY", "change-me-" + "x1y2z3" * 12, "SECRET_KEY must be random"),
        ("DATABASE_URL", "postgres://skinapp@db/skinapp", "DATABASE_PASSWORD"),
        ("DATABASE_URL", "postgres://a:postgres@db/skinapp", "DATABASE_PASSWORD"),
        ("SECRET_KEY_FALLBACKS", "changeme", "SECRET_KEY_FALLBACKS"),
        ("SECRET_KEY_FALLBACKS", f"{'f' * 60}", "SECRET_KEY_FALLBACKS"),
        ("DATABASE_URL", "postgres://a:password123456@db/x", "DATABASE_PASSWORD"),
        ("DATABASE_URL", "postgres://a:aaaaaaaaaaaaaa@db/x", "DATABASE_PASSWORD"),
        ("REDIS_URL", "redis://broker:6379/0", "REDIS_PASSWORD"),
        ("REDIS_URL", "redis://:skinapp-skinapp@broker/0", "REDIS_PASSWORD"),
        ("MFA_KEYS", "short", "MFA_KEYS must be random and at least 32"),
        ("MFA_KEYS", "7f3kq9zd2mxw8vbn4hjt6rcy1plg5sae,ab", "MFA_KEYS must be random"),
        ("EMAIL_URL", "smtp://skin@mail.hospital.example", "EMAIL_PASSWORD_FILE"),
        ("EMAIL_URL", "smtp://skin:password@mail.hospital.example", "password in EMAIL_URL"),
        ("DATABASE_URL", "postgres://[bad", "DATABASE_URL is no address"),
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEDIA_S3_ACCESS_KEY", ""),
        ("MEDIA_S3_ACCESS_KEY", "minioadmin"),
        ("MEDIA_S3_SECRET_KEY", ""),
        ("MEDIA_S3_SECRET_KEY", "minioadmin"),
        ("MEDIA_S3_SECRET_KEY", "short"),
    ],
)
def test_an_object_stores_keys_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    for each, good in BUCKET.items():
        monkeypatch.setenv(each, good)
    assert read_settings()["MEDIA_S3_BUCKET"] == "skin-images"
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=name) as refused:
        read_settings()
    assert not value or value not in str(refused.value)
