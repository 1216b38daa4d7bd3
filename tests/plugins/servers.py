"""A throw-away PostgreSQL and Valkey for each test process, before Django reads its settings.

``DATABASE_URL`` and ``REDIS_URL`` point the suite at other servers where they are set; the
processes of pytest-xdist then share them, each in a database of its own on both.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from skinapp.runtime.servers import Servers, start_servers

if TYPE_CHECKING:
    from _pytest.config import Config

_running: list[tuple[Servers, Path]] = []


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: Config) -> None:
    """Start what is missing, before pytest-django's own hook loads the settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.test")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not worker and getattr(early_config.known_args_namespace, "numprocesses", None):
        # It hands tests out and runs none; a server of its own would serve nobody.
        return
    # Coverage came here by this. The programs that tests start would need half as long again to
    # come up with it, for lines that are tested in this process as well.
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    if worker and os.environ.get("REDIS_URL"):
        # Valkey knows sixteen databases by number; pytest-django names PostgreSQL's itself.
        base = os.environ["REDIS_URL"].rsplit("/", 1)[0]
        os.environ["REDIS_URL"] = f"{base}/{1 + int(worker.removeprefix('gw'))}"
    if os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"):
        return
    folder = Path(tempfile.mkdtemp(prefix="skinapp-tests-"))
    # PostgreSQL runs as nobody when the suite runs as root, and must reach its own folder.
    folder.chmod(0o711)
    servers = start_servers(folder, durable=False)
    _running.append((servers, folder))
    os.environ["DATABASE_URL"] = servers.database_url
    os.environ["REDIS_URL"] = servers.redis_url


def pytest_unconfigure(config: Config) -> None:
    """Stop what was started here and remove it."""
    del config
    while _running:
        servers, folder = _running.pop()
        servers.stop()
        shutil.rmtree(folder, ignore_errors=True)
