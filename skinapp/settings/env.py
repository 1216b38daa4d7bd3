"""Reading settings from the environment, closed when something is missing."""

from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()


def secret(name: str) -> str:
    """Return a secret from ``NAME`` or from the file that ``NAME_FILE`` points to.

    Raises:
        ImproperlyConfigured: neither variable is set, or the value is empty.
    """
    file_name = env.str(f"{name}_FILE", default="")
    value = Path(file_name).read_text(encoding="utf-8") if file_name else env.str(name, default="")
    value = value.strip()
    if not value:
        msg = f"Set {name}, or {name}_FILE to a file that holds it."
        raise ImproperlyConfigured(msg)
    return value
