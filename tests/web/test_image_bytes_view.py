"""The one door through which image bytes leave."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.storage import default_storage
from django.urls import NoReverseMatch, reverse
from PIL import Image as Pillow

from classifier.models import AuditEvent, Image
from tests import factories
from tests.web.answers import text_of

if TYPE_CHECKING:
    from tests.conftest import Cast


@pytest.fixture
def image(cast: Cast) -> Image:
    """Return an image of the first clinic's patient."""
    return factories.make_image(cast.patient, cast.owner)


def address(image: Image, variant: str = "display") -> str:
    """Return where a copy is fetched."""
    return reverse("image_bytes", args=[image.pk, variant])


def body_of(response: Any) -> bytes:
    """Read a streamed answer to its end, which closes its file."""
    return b"".join(response)


@pytest.mark.parametrize("who", ["owner", "colleague", "read_only", "administrator"])
@pytest.mark.parametrize("variant", ["display", "thumbnail"])
def test_members_get_a_picture(cast: Cast, image: Image, who: str, variant: str) -> None:
    response = cast.client_of(getattr(cast, who)).get(address(image, variant))
    assert response.status_code == 200
    assert response.streaming
    with Pillow.open(io.BytesIO(body_of(response))) as opened:
        assert opened.format == "JPEG"


@pytest.mark.parametrize("variant", ["display", "thumbnail"])
def test_a_browser_can_only_show_it(cast: Cast, image: Image, variant: str) -> None:
    response = cast.client_of(cast.owner).get(address(image, variant))
    body_of(response)
    assert response["Content-Type"] == "image/jpeg"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Cache-Control"] == "no-store, private"
    assert response["Content-Disposition"] == f'inline; filename="{image.pk}.jpg"'
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("variant", ["display", "thumbnail"])
@pytest.mark.parametrize("who", ["stranger", "superuser"])
def test_a_strangers_image_looks_like_no_image(
    cast: Cast, image: Image, who: str, variant: str
) -> None:
    client = cast.client_of(getattr(cast, who))
    there = client.get(address(image, variant))
    absent = client.get(reverse("image_bytes", args=[uuid.uuid4(), variant]))
    assert there.status_code == absent.status_code == 404
    assert text_of(there) == text_of(absent)
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("who", [None, "deactivated"])
def test_nobody_signed_in_gets_no_byte(cast: Cast, image: Image, who: str | None) -> None:
    client = cast.client_of(getattr(cast, who) if who else None)
    response = client.get(address(image))
    assert response["Location"].startswith(reverse("account_login"))


@pytest.mark.parametrize("variant", ["network", "network_source", "original", "clinic", "pk"])
def test_no_other_copy_or_column_leaves(cast: Cast, image: Image, variant: str) -> None:
    assert cast.client_of(cast.owner).get(address(image, variant)).status_code == 404


def test_a_path_is_no_variant(image: Image) -> None:
    with pytest.raises(NoReverseMatch):
        address(image, "../display")


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_the_door_opens_outwards_only(cast: Cast, image: Image, method: str) -> None:
    assert getattr(cast.client_of(cast.owner), method)(address(image)).status_code == 405
    assert default_storage.exists(str(image.display.name))


def test_looking_at_the_display_copy_is_recorded(cast: Cast, image: Image) -> None:
    body_of(cast.client_of(cast.read_only).get(address(image)))
    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.subject_id, event.clinic) == (
        "image.viewed",
        cast.read_only,
        str(image.pk),
        cast.clinic,
    )


def test_a_thumbnail_in_a_list_is_not(cast: Cast, image: Image) -> None:
    body_of(cast.client_of(cast.owner).get(address(image, "thumbnail")))
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("variant", ["display", "thumbnail"])
def test_a_lost_file_is_not_found_and_logged_with_a_reference(
    cast: Cast, image: Image, variant: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path(getattr(image, variant).path).unlink()
    response = cast.client_of(cast.owner).get(address(image, variant))
    assert response.status_code == 404
    assert not AuditEvent.objects.exists()
    message = next(r.getMessage() for r in caplog.records if "reference" in r.getMessage())
    assert str(image.pk) in message
    assert cast.patient.name not in message


def test_files_have_no_address_of_their_own(cast: Cast, image: Image) -> None:
    with pytest.raises(ValueError, match="no address"):
        _ = image.display.url
    relative = Path(str(image.display.name))
    client = cast.client_of(cast.owner)
    for prefix in ("media", "static", "images", ""):
        assert client.get(f"/{prefix}/{relative}".replace("//", "/")).status_code == 404
