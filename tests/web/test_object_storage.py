"""Images in an object store: the same door, the same rules, and a bucket that nobody else reads."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import boto3
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.urls import reverse
from moto.server import ThreadedMotoServer

from classifier.models import Image
from classifier.object_storage import StoreError
from tests import factories
from tests.web.answers import signed

if TYPE_CHECKING:
    from django.conf import LazySettings

    from tests.conftest import Cast

BUCKET, KEY = "skin-images", "only-for-tests"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def use(settings: LazySettings, endpoint: str) -> None:
    """Point the application's images at an object store."""
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "classifier.object_storage.PrivateS3Storage",
            "OPTIONS": {
                "bucket_name": BUCKET,
                "endpoint_url": endpoint,
                "region_name": "us-east-1",
                "access_key": KEY,
                "secret_key": KEY,
            },
        }
    }


def test_images_in_a_bucket_leave_through_the_same_door(
    cast: Cast, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port())
    server.start()
    endpoint = f"http://127.0.0.1:{server._port}"
    store: Any = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=KEY,
    )
    use(settings, endpoint)
    try:
        store.create_bucket(Bucket=BUCKET)
        image = factories.make_image(cast.patient, cast.owner)
        analysis = factories.make_analysis(image, cast.owner)
        client = cast.client_of(cast.owner)
        kept = {
            found["Key"]: store.get_object(Bucket=BUCKET, Key=found["Key"])["Body"].read()
            for found in store.list_objects_v2(Bucket=BUCKET)["Contents"]
        }
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
        assert str(server._port) not in client.get(analysis.get_absolute_url()).content.decode()
        with pytest.raises(ValueError, match="no address"):
            _ = image.display.url
        for name in kept:
            grants = store.get_object_acl(Bucket=BUCKET, Key=name)["Grants"]
            assert not any("URI" in grant["Grantee"] for grant in grants)
        with pytest.raises(FileExistsError):
            default_storage.save(str(image.display.name), ContentFile(b"x"))
        assert default_storage.size(str(image.display.name)) == len(kept[str(image.display.name)])
        folders, files = default_storage.listdir("images")
        assert (folders, files) == ([str(image.pk)[:2]], [])

        default_storage.delete(str(image.display.name))
        assert not default_storage.exists(str(image.display.name))
        gone = signed(reverse("image_bytes", args=[image.pk, "display"]), cast.owner)
        assert client.get(gone).status_code == 404
    finally:
        # Lets go of the temporary files behind the objects.
        urlopen(Request(f"{endpoint}/moto-api/reset", method="POST"), timeout=10).close()  # noqa: S310 - our own server
        server.stop()

    # The store is away: the page lacks its picture, and a worker meets a disk's fault.
    thumbnail = signed(reverse("image_bytes", args=[image.pk, "thumbnail"]), cast.owner)
    response = client.get(thumbnail)
    assert (response.status_code, response["Retry-After"]) == (503, "10")
    assert str(image.pk) in caplog.text
    with pytest.raises(StoreError):
        Image.objects.get(pk=image.pk).network_source.open("rb")
    assert issubclass(StoreError, OSError)
