"""One installation and one browser for all stories.

They end with the last story: Playwright keeps an event loop running, in which Django would refuse
to ask the database for the tests that follow in the same process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.installation import Installation, running_installation
from tests.browser.visitor import system_browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running installation with the demo clinic and what it did before."""
    folder = tmp_path_factory.mktemp("installation")
    # PostgreSQL runs as nobody when the suite runs as root, and must reach its own folder.
    for part in (folder, *list(folder.parents)[:2]):
        part.chmod(0o711)
    with running_installation(folder / "var") as installation:
        # Its past comes beside everything else; a story shall not see half of it.
        installation.manage("seed_demo", "--past")
        yield installation


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    with system_browser() as chromium:
        yield chromium
