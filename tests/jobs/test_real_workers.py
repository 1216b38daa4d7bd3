"""Real Celery workers and beat, started as ``make run`` starts them, and what kills them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections
from django.utils import timezone

from classifier.choices import Modality, State
from classifier.models import Analysis, Prediction, Transition
from classifier.services.claims import sweep_lost_leases
from classifier.services.images import add_image
from classifier.services.model_versions import activate_version, register_release
from classifier.services.worker import run_batch
from classifier.tasks.analysis import run_analyses_task, sweep_analyses_task
from mlcore.drawing import draw_clinical, draw_dermoscopy
from mlcore.imaging import encode_display
from tests.jobs.processes import wait_until
from tests.jobs.rows import let_lease_run_out, make_due
from tests.jobs.tiny_releases import write_tiny_release

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from pytest_django.fixtures import Settings

    from classifier.models import ModelVersion
    from tests.conftest import Cast
    from tests.jobs.processes import Cluster, Worker

Networks = dict[str, "ModelVersion"]

# Several Celery processes start in each of these, which takes long on a busy machine.
pytestmark = pytest.mark.timeout(300)


class TableLock:
    """Keeps writers, or everybody, off a table: a worker stops where it is.

    The lock is held by a connection of its own. Mind that the test must keep off the table too.
    """

    def __init__(self, table: str, *, readers: bool = False) -> None:
        """Remember the table, and whether readers are kept off too."""
        self._table = table
        self._mode = "ACCESS EXCLUSIVE" if readers else "SHARE"
        self._connection: Any = connections.create_connection("default")

    def __enter__(self) -> Self:
        """Take the lock."""
        self._connection.set_autocommit(False)
        with self._connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {self._table} IN {self._mode} MODE")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the lock go."""
        self.release()
        self._connection.close()

    def release(self) -> None:
        """Let the lock go before the end."""
        self._connection.rollback()


def state_of(analysis: Analysis) -> str:
    """Return the state of the row as it is now."""
    return Analysis.objects.values_list("state", flat=True).get(pk=analysis.pk)


def add(cast: Cast, modality: Modality, seed: int) -> Analysis:
    """Upload a drawn image and return its analysis."""
    size = (320, 240)
    picture = (
        draw_dermoscopy("nevus", seed=seed, size=size)
        if modality == Modality.DERMOSCOPY
        else draw_clinical("acne", seed=seed, size=size)
    )
    upload = SimpleUploadedFile("image.jpg", encode_display(picture), "image/jpeg")
    return add_image(patient=cast.patient, by=cast.owner, upload=upload, modality=modality).analysis


def loads(pid: int, folder: str) -> bool:
    """Tell whether a process has a library of a package in its memory."""
    return folder in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


def leased(analysis: Analysis) -> bool:
    """Tell whether a worker may still answer for the row."""
    return not Analysis.objects.lease_lost(timezone.now()).filter(pk=analysis.pk).exists()


def waits_for(table: str) -> bool:
    """Tell whether some connection waits for a lock on the table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE relation = %s::regclass AND NOT granted)",
            [table],
        )
        (waits,) = cursor.fetchone()
    return bool(waits)


def until_state(analysis: Analysis, state: State, worker: Worker, *, seconds: float = 60.0) -> None:
    """Wait until the row is in a state."""
    wait_until(
        lambda: state_of(analysis) == state,
        f"{state} of {analysis.pk}; see {worker.log}",
        seconds=seconds,
    )


def moves_of(analysis: Analysis) -> list[str]:
    """Return the states the row went through."""
    return list(
        Transition.objects.filter(analysis=analysis)
        .order_by("id")
        .values_list("to_state", flat=True)
    )


# Of a worker that is going to be lost: the test waits it out.
SHORT_LEASE = "3"


def test_uploads_are_answered_and_a_switch_needs_no_restart(
    cluster: Cluster, cast: Cast, networks: Networks, releases: Path, tiny_networks: Path
) -> None:
    worker = cluster.start_worker()
    (child,) = worker.children()
    # The parent holds neither network nor TensorFlow when it forks, the child none before its turn.
    for pid in (worker.process.pid, child):
        assert not loads(pid, "/tensorflow/")
        assert not loads(pid, "/ai_edge_litert/")

    skin = add(cast, Modality.DERMOSCOPY, 1)
    until_state(skin, State.SUCCEEDED, worker)
    photograph = add(cast, Modality.CLINICAL, 2)
    until_state(photograph, State.SUCCEEDED, worker)
    assert worker.children() == [child]
    assert loads(child, "/ai_edge_litert/")
    assert not loads(child, "/tensorflow/")
    assert not loads(worker.process.pid, "/ai_edge_litert/")

    write_tiny_release(releases, tiny_networks, "isic9", "0.2.0", temperature=2.0)
    newer, _new = register_release(folder=releases / "isic9" / "0.2.0")
    activate_version(version=newer)
    later = add(cast, Modality.DERMOSCOPY, 3)
    until_state(later, State.SUCCEEDED, worker)
    versions = {row.pk: row.prediction for row in Analysis.objects.select_related("prediction")}
    old, clinical, new = (versions[row.pk] for row in (skin, photograph, later))
    assert old is not None
    assert clinical is not None
    assert new is not None
    assert old.model_version == networks["isic9"]
    assert clinical.model_version == networks["clinical5"]
    assert new.model_version == newer
    assert [row.attempt for row in (old, clinical, new)] == [1, 1, 1]
    assert worker.children() == [child]

    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(30) == 0
    assert "Traceback" not in worker.said()
    assert cast.patient.name not in worker.said()


def test_tensorflow_may_be_chosen_and_is_loaded_after_the_fork(
    cluster: Cluster, cast: Cast
) -> None:
    worker = cluster.start_worker(MLCORE_ENGINE="tensorflow")
    analysis = add(cast, Modality.DERMOSCOPY, 1)
    until_state(analysis, State.SUCCEEDED, worker, seconds=150)
    assert Prediction.objects.get().engine == "tensorflow"
    (child,) = worker.children()
    assert loads(child, "/tensorflow/")
    assert not loads(worker.process.pid, "/tensorflow/")


def test_a_killed_workers_row_goes_to_another_with_one_result(cluster: Cluster, cast: Cast) -> None:
    first = cluster.start_worker(ANALYSIS_LEASE_SECONDS=SHORT_LEASE)
    with TableLock("classifier_prediction"):
        analysis = add(cast, Modality.DERMOSCOPY, 1)
        until_state(analysis, State.RUNNING, first)
        # It holds the row and waits with its result; now the power goes.
        first.kill_all()
    assert state_of(analysis) == State.RUNNING
    assert not Prediction.objects.exists()
    second = cluster.start_worker()
    cluster.start_beat()
    until_state(analysis, State.SUCCEEDED, second)
    assert moves_of(analysis) == ["queued", "running", "queued", "running", "succeeded"]
    prediction = Prediction.objects.get()
    assert prediction.attempt == 2
    analysis.refresh_from_db()
    assert analysis.prediction == prediction
    assert analysis.worker.endswith(f":{second.children()[0]}")


def test_a_killed_child_is_replaced_and_its_row_is_not_lost(cluster: Cluster, cast: Cast) -> None:
    worker = cluster.start_worker(ANALYSIS_LEASE_SECONDS=SHORT_LEASE)
    (child,) = worker.children()
    with TableLock("classifier_prediction"):
        analysis = add(cast, Modality.DERMOSCOPY, 1)
        until_state(analysis, State.RUNNING, worker)
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: worker.children() not in ([], [child]), f"a new child; see {worker.log}")
    wait_until(lambda: not leased(analysis), "the lease to run out")
    cluster.send(sweep_analyses_task)
    until_state(analysis, State.SUCCEEDED, worker)
    assert Prediction.objects.get().attempt == 2


def test_a_worker_that_wakes_up_too_late_changes_nothing(
    cluster: Cluster, cast: Cast, settings: Settings
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [0]
    worker = cluster.start_worker()
    analysis = make_due(cast)
    with TableLock("classifier_image", readers=True):
        cluster.send(run_analyses_task)
        until_state(analysis, State.RUNNING, worker)
        worker.everybody(signal.SIGSTOP)
    let_lease_run_out(analysis)
    sweep_lost_leases()
    assert run_batch(worker="here") == 1
    done = Analysis.objects.get(pk=analysis.pk)
    before = Analysis.objects.filter(pk=analysis.pk).values().get()
    worker.everybody(signal.SIGCONT)
    wait_until(lambda: "A stale result of" in worker.said(), f"a stale result; see {worker.log}")
    assert Analysis.objects.filter(pk=analysis.pk).values().get() == before
    assert moves_of(analysis)[-1] == State.SUCCEEDED
    assert Prediction.objects.get() == done.prediction
    assert (done.attempt, done.worker) == (2, "here")


def test_a_worker_that_freezes_with_its_result_half_stored_blocks_nobody(
    cluster: Cluster, cast: Cast, settings: Settings
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [0]
    worker = cluster.start_worker(ANALYSIS_LEASE_SECONDS=SHORT_LEASE)
    analysis = make_due(cast)
    with TableLock("classifier_image", readers=True) as before_reading:
        cluster.send(run_analyses_task)
        until_state(analysis, State.RUNNING, worker)
        with TableLock("classifier_transition"):
            before_reading.release()
            # Prediction and new state are written, not committed; it waits to write the move down.
            wait_until(lambda: waits_for("classifier_transition"), f"it; see {worker.log}")
            worker.everybody(signal.SIGSTOP)
    # These two wait for the row until the database has ended the sleeper's transaction.
    let_lease_run_out(analysis)
    sweep_lost_leases()
    assert run_batch(worker="here") == 1
    assert Prediction.objects.get().attempt == 2
    assert state_of(analysis) == State.SUCCEEDED
    worker.everybody(signal.SIGCONT)
    wait_until(lambda: "could not be stored now" in worker.said(), f"a loss; see {worker.log}")
    # It wakes up, connects again and goes on.
    until_state(add(cast, Modality.DERMOSCOPY, 9), State.SUCCEEDED, worker)
    assert Prediction.objects.count() == 2


def _backends() -> set[int]:
    """Return PostgreSQL's processes for this database, but for our own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return {pid for (pid,) in cursor.fetchall()}


def test_a_worker_keeps_its_connection_and_replaces_a_broken_one(
    cluster: Cluster, cast: Cast
) -> None:
    others = _backends()
    worker = cluster.start_worker()
    until_state(add(cast, Modality.DERMOSCOPY, 11), State.SUCCEEDED, worker)
    kept = _backends() - others
    until_state(add(cast, Modality.DERMOSCOPY, 12), State.SUCCEEDED, worker)
    assert kept
    assert _backends() - others == kept
    with connection.cursor() as cursor:
        for pid in kept:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    wait_until(lambda: not kept & _backends(), "the connections are cut")
    third = add(cast, Modality.DERMOSCOPY, 13)
    until_state(third, State.SUCCEEDED, worker)
    # Nothing went wrong on the way: the dead connection was noticed before it was used.
    assert Analysis.objects.get(pk=third.pk).attempt == 1


def test_a_worker_told_to_stop_finishes_its_batch_and_takes_no_other(
    cluster: Cluster, cast: Cast
) -> None:
    worker = cluster.start_worker(ANALYSIS_BATCH_SIZE="2")
    rows = [make_due(cast, waited=60 - number) for number in range(4)]
    with TableLock("classifier_prediction"):
        cluster.send(run_analyses_task)
        until_state(rows[0], State.RUNNING, worker)
        worker.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Warm shutdown" in worker.said(), f"a warm shutdown; see {worker.log}")
        assert worker.process.poll() is None
    assert worker.process.wait(30) == 0
    states = [state_of(row) for row in rows]
    assert states == [State.SUCCEEDED, State.SUCCEEDED, State.QUEUED, State.QUEUED]
