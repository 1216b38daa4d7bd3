"""Reading settings from the environment, closed when something is missing."""

from pathlib import Path
from urllib.parse import quote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()

# A secret is a line of text; whatever is longer is the wrong file.
_LONGEST = 64 * 1024


def optional_secret(name: str) -> str:
    """Return a secret from ``NAME`` or from the file that ``NAME_FILE`` points to, or nothing.

    Raises:
        ImproperlyConfigured: both are set, or the file cannot be read. The sentence names the
            variable, never its value.
    """
    value = str(env.str(name, default="")).strip()
    place = str(env.str(f"{name}_FILE", default="")).strip()
    if not place:
        return value
    if value:
        msg = f"Both {name} and {name}_FILE are set. Keep one of them."
        raise ImproperlyConfigured(msg)
    try:
        with Path(place).open("rb") as opened:
            data = opened.read(_LONGEST + 1)
        text = data.decode("utf-8").strip()
    except OSError as error:
        msg = f"{name}_FILE points to {place}, which cannot be read: {error.strerror}."
        raise ImproperlyConfigured(msg) from None
    except UnicodeDecodeError:
        msg = f"{name}_FILE points to {place}, which holds no text."
        raise ImproperlyConfigured(msg) from None
    if len(data) > _LONGEST or "\x00" in text:
        msg = f"{name}_FILE points to {place}, which holds no secret."
        raise ImproperlyConfigured(msg)
    return text


def secret(name: str) -> str:
    """Return a secret as :func:`optional_secret` does.

    Raises:
        ImproperlyConfigured: there is none; see there as well.
    """
    value = optional_secret(name)
    if not value:
        msg = f"Set {name}, or {name}_FILE to a file that holds it."
        raise ImproperlyConfigured(msg)
    return value


def secrets_of(name: str) -> list[str]:
    """Return several secrets with commas or line ends between them; maybe none.

    Raises:
        ImproperlyConfigured: see :func:`optional_secret`.
    """
    parts = optional_secret(name).replace("\n", ",").split(",")
    return [part.strip() for part in parts if part.strip()]


def with_password(name: str, address: str) -> str:
    """Return the address ``NAME_URL`` with the password that ``NAME_PASSWORD`` holds, if it does.

    Args:
        name: what both variables begin with.
        address: the value of ``NAME_URL``.

    Raises:
        ImproperlyConfigured: both hold a password; see :func:`optional_secret` as well.
    """
    password = optional_secret(f"{name}_PASSWORD")
    if not password:
        return address
    parts = urlsplit(address)
    person, _at, place = parts.netloc.rpartition("@")
    user, _colon, held = person.partition(":")
    if held:
        msg = f"Both {name}_URL and {name}_PASSWORD hold a password. Keep one of them."
        raise ImproperlyConfigured(msg)
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}").geturl()
