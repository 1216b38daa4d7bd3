"""An object store on this machine that speaks S3."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import boto3
from moto.server import ThreadedMotoServer

from skinapp.runtime.children import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "only-for-tests"
REGION = "us-east-1"


@dataclass(frozen=True)
class ObjectStore:
    """A running store.

    Attributes:
        endpoint: its address.
        client: speaks to it, past the application.
    """

    endpoint: str
    client: Any

    def backend(self, bucket: str) -> dict[str, Any]:
        """Return the setting that leads the application's images into a bucket."""
        return {
            "BACKEND": "classifier.object_storage.PrivateS3Storage",
            "OPTIONS": {
                "bucket_name": bucket,
                "endpoint_url": self.endpoint,
                "region_name": REGION,
                "access_key": KEY,
                "secret_key": KEY,
            },
        }

    def environment(self, bucket: str) -> dict[str, str]:
        """Return the same as variables."""
        return {
            "MEDIA_S3_BUCKET": bucket,
            "MEDIA_S3_ENDPOINT": self.endpoint,
            "MEDIA_S3_REGION": REGION,
            "MEDIA_S3_ACCESS_KEY": KEY,
            "MEDIA_S3_SECRET_KEY": KEY,
        }

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return what lies in a bucket."""
        listed = self.client.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {
            found["Key"]: self.client.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
            for found in listed
        }


@contextmanager
def object_store(*buckets: str) -> Iterator[ObjectStore]:
    """Run a store with empty buckets."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port())
    server.start()
    endpoint = f"http://127.0.0.1:{server._port}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=KEY,
        aws_secret_access_key=KEY,
    )
    try:
        for bucket in buckets:
            client.create_bucket(Bucket=bucket)
        yield ObjectStore(endpoint, client)
    finally:
        client.close()
        # Lets go of the temporary files behind the objects.
        urlopen(Request(f"{endpoint}/moto-api/reset", method="POST"), timeout=10).close()  # noqa: S310 - our own server
        server.stop()
