"""Images in an object store: the same door, the same rules, and a bucket that nobody else reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.urls import reverse

from classifier.models import Image
from classifier.object_storage import StoreError
from tests import factories
from tests.deploy.object_store import object_store
from tests.web.answers import signed

if TYPE_CHECKING:
    from django.conf import LazySettings

    from tests.conftest import Cast

BUCKET = "skin-images"


def test_images_in_a_bucket_leave_through_the_same_door(
    cast: Cast, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    with object_store(BUCKET) as store:
        settings.STORAGES = settings.STORAGES | {"default": store.backend(BUCKET)}
        image = factories.make_image(cast.patient, cast.owner)
        analysis = factories.make_analysis(image, cast.owner)
        client = cast.client_of(cast.owner)
        kept = store.objects(BUCKET)
        assert sorted(kept) == sorted(
            str(file.name) for file in (image.display, image.thumbnail, image.network_source)
        )
        for variant in ("display", "thumbnail"):
            address = reverse("image_bytes", args=[image.pk, variant])
            response = client.get(signed(address, cast.owner))
            assert b"".join(response) == kept[getattr(image, variant).name]
            assert response["Content-Type"] == "image/jpeg"
            assert response["Cache-Control"] == "no-store, private"
            assert cast.client_of(cast.stranger).get(address).status_code == 404
        with image.network_source.open("rb") as stream:
            assert stream.read() == kept[str(image.network_source.name)]

        # No page and no object tells where the bucket is, and nobody is granted anything.
        assert (
            store.endpoint.rpartition(":")[2]
            not in client.get(analysis.get_absolute_url()).content.decode()
        )
        with pytest.raises(ValueError, match="no address"):
            _ = image.display.url
        for name in kept:
            grants = store.client.get_object_acl(Bucket=BUCKET, Key=name)["Grants"]
            assert not any("URI" in grant["Grantee"] for grant in grants)
        with pytest.raises(FileExistsError):
            default_storage.save(str(image.display.name), ContentFile(b"x"))
        assert default_storage.size(str(image.display.name)) == len(kept[str(image.display.name)])
        folders, files = default_storage.listdir("images")
        assert (folders, files) == ([str(image.pk)[:2]], [])

        default_storage.delete(str(image.display.name))
        assert not default_storage.exists(str(image.display.name))
        with pytest.raises(FileNotFoundError):
            default_storage.open(str(image.display.name))
        # Without its bucket nothing can be stored, which is no mistake of ours.
        settings.STORAGES = settings.STORAGES | {"default": store.backend("elsewhere")}
        with pytest.raises(StoreError, match="NoSuchBucket"):
            default_storage.save("images/x.jpg", ContentFile(b"x"))
        settings.STORAGES = settings.STORAGES | {"default": store.backend(BUCKET)}
        gone = signed(reverse("image_bytes", args=[image.pk, "display"]), cast.owner)
        assert client.get(gone).status_code == 404

    # The store is away: the page lacks its picture, and a worker meets a disk's fault.
    thumbnail = signed(reverse("image_bytes", args=[image.pk, "thumbnail"]), cast.owner)
    response = client.get(thumbnail)
    assert (response.status_code, response["Retry-After"]) == (503, "10")
    assert str(image.pk) in caplog.text
    with pytest.raises(StoreError):
        Image.objects.get(pk=image.pk).network_source.open("rb")
    assert issubclass(StoreError, OSError)
