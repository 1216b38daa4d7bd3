"""An object store that goes away in the night's check is a fault of the disk, as everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from classifier.object_storage import StoreError
from tests.deploy.object_store import object_store

if TYPE_CHECKING:
    from django.conf import LazySettings


def test_the_age_of_an_object_is_asked_like_that_of_a_file(settings: LazySettings) -> None:
    with object_store("skin-images") as store:
        settings.STORAGES = settings.STORAGES | {"default": store.backend("skin-images")}
        default_storage.save("images/00/00/a.jpg", ContentFile(b"x"))
        age = timezone.now() - default_storage.get_modified_time("images/00/00/a.jpg")
        assert abs(age.total_seconds()) < 60
        # Somebody removed it since it was listed.
        with pytest.raises(FileNotFoundError):
            default_storage.get_modified_time("images/00/00/b.jpg")
    with pytest.raises(StoreError):
        default_storage.get_modified_time("images/00/00/a.jpg")
