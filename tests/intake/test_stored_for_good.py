"""What was said to be stored is on the disk: a power cut a moment later loses no picture."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection

from classifier.choices import Modality
from classifier.models import Image
from classifier.services.images import add_image
from tests.web.uploaded import stored_files, upload

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.conf import LazySettings

    from tests.conftest import Cast


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, int]]:
    """Record what is synced: its path, and a file's bytes or a folder's entries at that moment."""
    found: list[tuple[Path, int]] = []
    real = os.fsync

    def record(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        found.append((path, len(list(path.iterdir())) if is_folder else path.stat().st_size))
        real(handle)

    monkeypatch.setattr(os, "fsync", record)
    return found


def test_a_file_and_every_new_folder_are_on_the_disk_when_it_is_saved(
    synced: list[tuple[Path, int]], settings: LazySettings
) -> None:
    root = Path(settings.MEDIA_ROOT)
    (root / "images").mkdir(parents=True)
    default_storage.save("images/ab/cd/one.jpg", ContentFile(b"seven.."))
    folder = root / "images" / "ab" / "cd"
    assert synced == [
        (folder / "one.jpg", 7),
        (folder, 1),
        (folder.parent, 1),
        (root / "images", 1),
    ]
    synced.clear()
    default_storage.save("images/ab/cd/two.jpg", ContentFile(b"eight..."))
    assert synced == [(folder / "two.jpg", 8), (folder, 2)]


def test_the_copies_are_on_the_disk_before_the_row_that_names_them(
    cast: Cast, synced: list[tuple[Path, int]], settings: LazySettings
) -> None:
    before: list[set[Path]] = []

    def watch(execute: Callable[..., Any], sql: str, *others: Any) -> Any:
        if sql.startswith('INSERT INTO "classifier_image"'):
            before.append({path for path, _size in synced})
        return execute(sql, *others)

    with connection.execute_wrapper(watch):
        add_image(patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.CLINICAL)
    files = stored_files(settings)
    assert len(files) == 3
    (first,) = before
    assert set(files) <= first


def test_a_disk_that_does_not_keep_a_file_refuses_the_upload(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match="Input/output"):
            add_image(
                patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.CLINICAL
            )
    assert stored_files(settings) == []
    assert not Image.objects.exists()
