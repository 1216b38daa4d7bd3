"""Whatever fails on the way of an upload leaves neither a row nor a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import IntegrityError, OperationalError, connection

from classifier import intake
from classifier.choices import Modality
from classifier.models import Analysis, AuditEvent, Image
from classifier.services import audit
from classifier.services import images as service
from classifier.services.images import add_image
from tests.web.uploaded import stored_files, upload

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.conf import LazySettings

    from tests.conftest import Cast


# --- Nothing is left behind --------------------------------------------------------------------


def _break_storage(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the disk fill up while the file after ``after`` whole ones is being written."""
    from classifier.storage import PrivateFileSystemStorage

    real: Callable[..., str] = vars(FileSystemStorage)["_save"]
    written = 0

    def full(self: PrivateFileSystemStorage, name: str, content: Any) -> str:
        nonlocal written
        if written == after:
            path = Path(self.path(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half")
            msg = "No space left on device"
            raise OSError(28, msg)
        written += 1
        return real(self, name, content)

    monkeypatch.setattr(PrivateFileSystemStorage, "_save", full, raising=False)


def _break_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
        msg = "the database went away"
        raise RuntimeError(msg)

    monkeypatch.setattr(Image, "save", refuse)


def _break_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_kwargs: Any) -> NoReturn:
        msg = "no queue"
        raise RuntimeError(msg)

    monkeypatch.setattr(service, "request_analysis", refuse)


def _break_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    real = audit.record

    def refuse(**kwargs: Any) -> Any:
        if kwargs["action"] == "image.added":
            msg = "no audit"
            raise RuntimeError(msg)
        return real(**kwargs)

    monkeypatch.setattr(audit, "record", refuse)


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(lambda patch: _break_storage(patch, 0), id="first file"),
        pytest.param(lambda patch: _break_storage(patch, 1), id="second file"),
        pytest.param(lambda patch: _break_storage(patch, 2), id="third file"),
        pytest.param(_break_row, id="row"),
        pytest.param(_break_job, id="job"),
        pytest.param(_break_audit, id="audit"),
    ],
)
def test_a_failure_at_any_step_leaves_no_row_and_no_file(
    cast: Cast,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    break_it: Callable[[pytest.MonkeyPatch], None],
) -> None:
    with monkeypatch.context() as patch:
        break_it(patch)
        with pytest.raises((OSError, RuntimeError)):
            add_image(
                patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.CLINICAL
            )
    assert stored_files(settings) == []
    assert not Image.objects.exists()
    assert not Analysis.objects.exists()
    assert not AuditEvent.objects.exists()
    # And the very same upload works once the fault is gone.
    add_image(patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.CLINICAL)
    assert len(stored_files(settings)) == 3


@pytest.mark.django_db(transaction=True)
def test_a_process_stopped_after_the_commit_keeps_the_files(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("classifier.services.analyses.wake_worker", stop)
        with pytest.raises(KeyboardInterrupt):
            add_image(
                patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.CLINICAL
            )
    image = Image.objects.get()
    assert len(stored_files(settings)) == 3
    assert image.display.storage.exists(image.display.name or "")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("done", [True, False])
def test_files_of_a_commit_whose_answer_was_lost_are_left_to_the_sweep(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    database: Any = connection
    commit = database._commit

    def lose_the_answer() -> NoReturn:
        if done:
            commit()
        msg = "server closed the connection unexpectedly"
        raise OperationalError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(connection, "_commit", lose_the_answer)
        with pytest.raises(OperationalError):
            add_image(
                patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.CLINICAL
            )
    # The server may still be about to make the row; whatever has none goes with the sweep.
    assert len(stored_files(settings)) == 3
    assert Image.objects.count() == done


@pytest.mark.django_db(transaction=True)
def test_a_commit_that_is_refused_leaves_no_file(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> NoReturn:
        msg = "a deferred rule is broken"
        raise IntegrityError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(connection, "_commit", refuse)
        with pytest.raises(IntegrityError):
            add_image(
                patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.CLINICAL
            )
    assert stored_files(settings) == []
    assert not Image.objects.exists()


def test_the_picture_is_looked_at_outside_the_transaction(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = len(connection.savepoint_ids)
    depths: list[int] = []
    real = intake.accept

    def watched(sent: Any) -> intake.Accepted:
        depths.append(len(connection.savepoint_ids))
        return real(sent)

    monkeypatch.setattr(intake, "accept", watched)
    add_image(patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.CLINICAL)
    assert depths == [outside]
