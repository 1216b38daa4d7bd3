"""A receiver of webhooks for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.receiver import receiving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import Settings as SettingsWrapper

    from tests.api.receiver import Receiver


@pytest.fixture(scope="module")
def receiver_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """Return one receiver for all tests of a file."""
    with receiving(tmp_path_factory.mktemp("receiver")) as found:
        yield found


@pytest.fixture
def receiver(receiver_of_all: Receiver, settings: SettingsWrapper) -> Receiver:
    """Return a receiver that got nothing yet, and that the settings allow."""
    settings.WEBHOOK_NETWORKS = ["127.0.0.0/8", "::1/128"]
    settings.WEBHOOK_CA_FILE = str(receiver_of_all.certificate)
    receiver_of_all.got.clear()
    receiver_of_all.status, receiver_of_all.headers = 204, {}
    receiver_of_all.drip = 0.0
    return receiver_of_all
