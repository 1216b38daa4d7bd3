"""Tiny releases, a broker of the test's own, and real Celery workers."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from classifier.choices import State
from classifier.models import LabelSet, ModelVersion
from classifier.services.analyses import request_analysis
from classifier.services.model_versions import activate_version, register_release
from classifier.services.worker import run_batch
from skinapp.celery import app
from skinapp.runtime.servers import start_valkey
from tests import factories
from tests.jobs.processes import Cluster, OwnBroker
from tests.jobs.tiny_releases import write_tiny_release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import Settings

    from classifier.models import Analysis
    from tests.conftest import Cast

_ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def tiny_networks(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a folder with ``<label set>/model.keras`` and ``model.tflite``, made once a run."""
    base = tmp_path_factory.getbasetemp()
    # The processes of pytest-xdist share the folder above theirs.
    folder = (base if worker_id == "master" else base.parent) / "tiny-networks"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            draft = folder.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            made = subprocess.run(
                [sys.executable, "-m", "tests.jobs.tiny_networks", str(draft)],
                cwd=_ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert made.returncode == 0, made.stderr[-2000:]
            draft.rename(folder)
    return folder


@pytest.fixture
def releases(tiny_networks: Path, tmp_path: Path, settings: Settings) -> Path:
    """Return a folder of releases with version 0.1.0 of each label set."""
    folder = tmp_path / "releases"
    for key in LabelSet.values:
        write_tiny_release(folder, tiny_networks, key, "0.1.0")
    settings.MLCORE_RELEASES = folder
    return folder


@pytest.fixture
def networks(releases: Path, db: None) -> dict[str, ModelVersion]:
    """Return the active version of each label set, backed by a tiny release."""
    versions = {}
    for key in LabelSet.values:
        version, _new = register_release(folder=releases / key / "0.1.0")
        activate_version(version=version)
        versions[key] = version
    return versions


@pytest.fixture
def done(cast: Cast, networks: dict[str, ModelVersion]) -> Analysis:
    """Return an analysis that went its whole way; nothing is wrong with it."""
    analysis = request_analysis(image=factories.make_image(cast.patient, cast.owner), by=cast.owner)
    assert run_batch(worker="w") == 1
    analysis.refresh_from_db()
    assert analysis.state == State.SUCCEEDED
    return analysis


@pytest.fixture
def own_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnBroker]:
    """Return a Valkey that only this test uses, and may suspend or kill."""
    folder = tmp_path / "broker"
    folder.mkdir()
    url, process = start_valkey(folder, durable=False)
    # Celery reads this before its settings, whenever it connects.
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    assert app.connection_for_write().as_uri(include_password=True) == url
    broker = OwnBroker(url, process)
    yield broker
    broker.end()


@pytest.fixture
def cluster(
    transactional_db: None,
    networks: dict[str, ModelVersion],
    own_broker: OwnBroker,
    settings: Settings,
    tmp_path: Path,
) -> Iterator[Cluster]:
    """Return what starts real workers on the test's database, broker, files and releases."""
    # transactional_db comes first: no process may hold the tables when they are emptied.
    cluster = Cluster(
        broker_url=own_broker.url,
        media=Path(settings.MEDIA_ROOT),
        releases=Path(settings.MLCORE_RELEASES),
        logs=tmp_path,
    )
    # Where a lost process still holds a row, the test shall fail, not wait for ever.
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '30s'")
    yield cluster
    cluster.end()
    with connection.cursor() as cursor:
        cursor.execute("RESET lock_timeout")
