"""Files of erased patients go, whatever cuts a run short, and no erasure waits for another's."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from classifier.models import Erasure
from classifier.services import erasure
from classifier.storage import PrivateFileSystemStorage
from tests import factories
from tests.jobs.rows import make_due

if TYPE_CHECKING:
    from collections.abc import Callable

    from classifier.models import Clinic
    from tests.conftest import Cast


def erased(clinic: Clinic, files: int) -> Erasure:
    """Return a tombstone whose files are all there."""
    key = uuid.uuid4()
    names = [f"images/00/00/{key}.{number}" for number in range(files)]
    for name in names:
        default_storage.save(name, ContentFile(b"picture"))
    return Erasure.objects.create(
        patient_key=key, clinic=clinic, registered_at=timezone.now(), files=names
    )


def there(tombstone: Erasure) -> list[str]:
    """Return which of the first files are still there."""
    return [name for name in tombstone.files if default_storage.exists(name)]


def on_deleting(monkeypatch: pytest.MonkeyPatch, do: Callable[[str], object]) -> None:
    """Do something whenever a file is about to be deleted."""
    real = PrivateFileSystemStorage.delete

    def delete(storage: PrivateFileSystemStorage, name: str) -> None:
        do(name)
        real(storage, name)

    monkeypatch.setattr(PrivateFileSystemStorage, "delete", delete)


def test_a_time_limit_ends_the_run_and_the_next_goes_on_from_there(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    tombstone = erased(cast.clinic, files=3)

    def over(name: str) -> None:
        if name.endswith(".1"):
            raise SoftTimeLimitExceeded

    with monkeypatch.context() as patch:
        on_deleting(patch, over)
        with pytest.raises(SoftTimeLimitExceeded):
            erasure.finish_erasures()
    assert there(tombstone) == tombstone.files[1:]
    left = Erasure.objects.get()
    assert (left.files, left.files_removed_at) == (tombstone.files[1:], None)
    assert erasure.finish_erasures() == 1
    assert there(tombstone) == []


def test_a_patient_of_many_files_keeps_no_other_erasure_waiting(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, few = erased(cast.clinic, files=30), erased(cast.clinic, files=1)
    assert many.erased_at < few.erased_at
    monkeypatch.setattr(erasure, "_SECONDS_OF_ONE", 0.05)
    with monkeypatch.context() as patch:
        on_deleting(patch, lambda _name: time.sleep(0.02))
        assert erasure.finish_erasures() == 1
    assert there(few) == []
    # It came some way, too, and that is written down.
    left = Erasure.objects.get(pk=many.pk)
    assert 0 < len(left.files) < 30
    assert left.files == there(many)


def test_a_run_ends_in_time_and_makes_room_for_a_waiting_image(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [erased(cast.clinic, files=2) for _patient in range(2)]
    assert erasure.finish_erasures(seconds=0.0) == 0
    assert sum(len(there(each)) for each in first) == 3
    make_due(cast)
    factories.make_model_version()
    monkeypatch.setattr("classifier.services.turns._ASK_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        on_deleting(patch, lambda _name: time.sleep(0.6))
        erasure.finish_erasures()
    # A second's work at least.
    assert sum(len(there(each)) for each in first) == 1


def test_a_run_that_is_cut_short_does_not_undo_what_another_finished(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    tombstone = erased(cast.clinic, files=2)

    def other(name: str) -> None:
        if name.endswith(".1"):
            monkeypatch.undo()
            erasure.finish_erasures()
            raise SoftTimeLimitExceeded

    on_deleting(monkeypatch, other)
    with pytest.raises(SoftTimeLimitExceeded):
        erasure.finish_erasure(Erasure.objects.get())
    done = Erasure.objects.get()
    assert (done.files, there(tombstone)) == ([], [])
    assert done.files_removed_at is not None
