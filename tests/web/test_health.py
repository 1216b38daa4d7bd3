"""``/healthz`` and ``/readyz``: what they answer when parts are away, and what they never tell."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse

from classifier.models import LabelSet, ModelVersion
from skinapp.runtime.servers import start_valkey
from tests import factories

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import Settings

    from tests.conftest import Cast

ALL_WELL = dict.fromkeys(("Database", "Broker", "ActiveModels", "QueueAge", "DiskSpace"), "ok")


@pytest.fixture(autouse=True)
def _roomy(settings: Settings) -> None:
    """Whatever the disk of this machine has left."""
    settings.DISK_ALARM_BYTES = 0


@pytest.fixture
def well(transactional_db: None) -> None:
    """Make an installation that can work; the checks look from threads of their own."""
    for label_set in LabelSet:
        factories.make_model_version(label_set)


def readyz() -> tuple[int, dict[str, str]]:
    """Ask as a stranger."""
    response = Client().get(reverse("readyz"))
    assert "no-store" in response["Cache-Control"]
    body: dict[str, str] = response.json()
    return response.status_code, body


def test_the_process_lives_without_database_or_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    # No database fixture here: a query would fail the test.
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    response = Client().get(reverse("healthz"))
    assert (response.status_code, response.content) == (200, b"ok\n")
    assert response["Content-Type"] == "text/plain"
    assert "no-store" in response["Cache-Control"]
    assert Client().post(reverse("healthz")).status_code == 405


def test_ready_when_everything_is_there(well: None) -> None:
    assert readyz() == (200, ALL_WELL)
    assert Client().head(reverse("readyz")).status_code == 200
    assert Client().post(reverse("readyz")).status_code == 405


@pytest.mark.parametrize("query", ["format=json", "format=atom", "format=openmetrics"])
@pytest.mark.parametrize("accept", ["text/html", "application/atom+xml", "nonsense", ""])
def test_the_answer_is_the_same_whatever_is_asked_for(well: None, query: str, accept: str) -> None:
    response = Client().get(f"{reverse('readyz')}?{query}", headers={"accept": accept})
    assert (response.status_code, response.json()) == (200, ALL_WELL)


def test_the_alarm_rings_before_the_disk_is_full(
    well: None, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DISK_ALARM_BYTES = 1 << 60
    assert readyz() == (503, ALL_WELL | {"DiskSpace": "failing"})
    assert "MB are free where images are stored" in caplog.text
    # An object store's room is not this machine's.
    settings.MEDIA_S3_BUCKET = "images"
    assert readyz() == (200, ALL_WELL)


def test_not_ready_without_a_database(
    well: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    facts = connections.settings["default"]
    with monkeypatch.context() as patch:
        # New connections go to a port where nobody listens.
        patch.setitem(facts, "PORT", "1")
        response = Client().get(reverse("readyz"))
    assert response.status_code == 503
    failing = {name for name, word in response.json().items() if word != "ok"}
    assert failing == {"Database", "ActiveModels", "QueueAge"}
    # A stranger learns no address, no user, no reason; the log has them.
    assert set(response.json().values()) == {"ok", "failing"}
    assert facts["HOST"] not in response.content.decode()
    assert facts["HOST"] in caplog.text
    assert readyz() == (200, ALL_WELL)


@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP])
def test_not_ready_without_a_broker(
    well: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fate: signal.Signals,
) -> None:
    url, process = start_valkey(tmp_path, durable=False)
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    assert readyz() == (200, ALL_WELL)
    process.send_signal(fate)
    if fate is signal.SIGKILL:
        process.wait()
    started = time.monotonic()
    try:
        assert readyz() == (503, ALL_WELL | {"Broker": "failing"})
    finally:
        process.kill()
        process.wait()
    # A broker that hangs does not hang the page.
    assert time.monotonic() - started < 8
    assert "the broker does not answer" in caplog.text


def test_not_ready_while_a_label_set_has_no_network(
    well: None, caplog: pytest.LogCaptureFixture
) -> None:
    ModelVersion.objects.filter(label_set="isic9").update(active=False)
    assert readyz() == (503, ALL_WELL | {"ActiveModels": "failing"})
    assert "no active model version for isic9; run register_models" in caplog.text


def test_not_ready_while_the_queue_is_stuck(
    well: None, cast: Cast, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    factories.make_analysis(factories.make_image(cast.patient, cast.owner), cast.owner)
    settings.ANALYSIS_QUEUE_ALARM_SECONDS = 60
    assert readyz() == (200, ALL_WELL)
    settings.ANALYSIS_QUEUE_ALARM_SECONDS = 0
    assert readyz() == (503, ALL_WELL | {"QueueAge": "failing"})
    assert "an analysis has waited" in caplog.text
    assert cast.patient.name not in caplog.text
