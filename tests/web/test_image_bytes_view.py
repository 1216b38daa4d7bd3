"""The one door through which image bytes leave."""

from __future__ import annotations

import io
import re
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.core import signing
from django.core.files.storage import default_storage
from django.urls import NoReverseMatch, reverse
from PIL import Image as Pillow

from classifier.models import AuditEvent, Image
from skinapp.logs import ReferenceFilter
from tests import factories
from tests.web import answered as make
from tests.web.answers import signed, text_of

if TYPE_CHECKING:
    from django.conf import LazySettings

    from classifier.models import User
    from tests.conftest import Cast


@pytest.fixture
def image(cast: Cast) -> Image:
    """Return an image of the first clinic's patient."""
    return factories.make_image(cast.patient, cast.owner)


def address(image: Image, user: User, variant: str = "display") -> str:
    """Return where a copy is fetched, as a page made for ``user`` says."""
    return signed(reverse("image_bytes", args=[image.pk, variant]), user)


def body_of(response: Any) -> bytes:
    """Read a streamed answer to its end, which closes its file."""
    return b"".join(response)


@pytest.mark.parametrize("who", ["owner", "colleague", "read_only", "administrator"])
@pytest.mark.parametrize("variant", ["display", "thumbnail"])
def test_members_get_a_picture(cast: Cast, image: Image, who: str, variant: str) -> None:
    response = cast.client_of(getattr(cast, who)).get(address(image, getattr(cast, who), variant))
    assert response.status_code == 200
    assert response.streaming
    with Pillow.open(io.BytesIO(body_of(response))) as opened:
        assert opened.format == "JPEG"


@pytest.mark.parametrize("variant", ["display", "thumbnail"])
def test_a_browser_can_only_show_it(cast: Cast, image: Image, variant: str) -> None:
    response = cast.client_of(cast.owner).get(address(image, cast.owner, variant))
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
    user: User = getattr(cast, who)
    client = cast.client_of(user)
    there = client.get(address(image, user, variant))
    absent = client.get(address(Image(pk=uuid.uuid4()), user, variant))
    assert there.status_code == absent.status_code == 404
    assert text_of(there) == text_of(absent)
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("who", [None, "deactivated"])
def test_nobody_signed_in_gets_no_byte(cast: Cast, image: Image, who: str | None) -> None:
    client = cast.client_of(getattr(cast, who) if who else None)
    response = client.get(address(image, cast.owner))
    assert response["Location"].startswith(reverse("account_login"))


@pytest.mark.parametrize("variant", ["network", "network_source", "original", "clinic", "pk"])
def test_no_other_copy_or_column_leaves(cast: Cast, image: Image, variant: str) -> None:
    assert cast.client_of(cast.owner).get(address(image, cast.owner, variant)).status_code == 404


def test_a_path_is_no_variant(cast: Cast, image: Image) -> None:
    with pytest.raises(NoReverseMatch):
        address(image, cast.owner, "../display")


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_the_door_opens_outwards_only(cast: Cast, image: Image, method: str) -> None:
    assert (
        getattr(cast.client_of(cast.owner), method)(address(image, cast.owner)).status_code == 405
    )
    assert default_storage.exists(str(image.display.name))


def test_looking_at_the_display_copy_is_recorded(cast: Cast, image: Image) -> None:
    body_of(cast.client_of(cast.read_only).get(address(image, cast.read_only)))
    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.subject_id, event.clinic) == (
        "image.viewed",
        cast.read_only,
        str(image.pk),
        cast.clinic,
    )


def test_a_thumbnail_is_recorded_once_an_hour_for_each_person(cast: Cast, image: Image) -> None:
    for user in (cast.owner, cast.owner, cast.colleague):
        body_of(cast.client_of(user).get(address(image, user, "thumbnail")))
    events = AuditEvent.objects.filter(action="image.viewed", details__variant="thumbnail")
    assert {event.actor for event in events} == {cast.owner, cast.colleague}
    assert events.count() == 2


def test_without_a_cache_a_thumbnail_is_recorded_each_time(
    cast: Cast, image: Image, settings: LazySettings
) -> None:
    client = cast.client_of(cast.owner)
    nowhere = settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = settings.CACHES | {"default": nowhere}
    for _ in range(2):
        body_of(client.get(address(image, cast.owner, "thumbnail")))
    assert AuditEvent.objects.filter(action="image.viewed").count() == 2


# --- The key in the address ---------------------------------------------------------------------


def test_a_copied_address_works_for_nobody_else_and_not_for_long(
    cast: Cast, image: Image, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, colleague = cast.client_of(cast.owner), cast.client_of(cast.colleague)
    copied = address(image, cast.owner)
    body_of(owner.get(copied))
    assert colleague.get(copied).status_code == 404
    bare, _, key = copied.partition("?")
    other = address(factories.make_image(cast.patient, cast.owner), cast.owner).partition("?")[0]
    wrong = (
        bare,
        f"{bare}?key=",
        f"{bare}?key=x:y",
        f"{copied}x",
        f"{other}?{key}",
        f"{bare.replace('display', 'thumbnail')}?{key}",
    )
    absent = address(Image(pk=uuid.uuid4()), cast.owner)
    for tried in wrong:
        refused = owner.get(tried)
        assert refused.status_code == 404, tried
        assert text_of(refused) == text_of(owner.get(absent)), tried
    now = time.time() + settings.IMAGE_LINK_MINUTES * 60
    monkeypatch.setattr(signing, "time", SimpleNamespace(time=lambda: now - 5))
    body_of(owner.get(copied))
    monkeypatch.setattr(signing, "time", SimpleNamespace(time=lambda: now + 1))
    assert owner.get(copied).status_code == 404
    fresh = re.search(
        rf'src="({re.escape(bare)}\?key=[^"]+)"',
        owner.get(factories.make_analysis(image, cast.owner).get_absolute_url()).content.decode(),
    )
    assert fresh is not None
    body_of(owner.get(fresh[1]))


def test_pages_sign_every_picture_they_show(cast: Cast, image: Image) -> None:
    make.answered(image, cast.owner)
    client = cast.client_of(cast.owner)
    pages = ("/", "/history/", cast.patient.get_absolute_url())
    for page in pages:
        shown = client.get(page).content.decode()
        (link,) = re.findall(r'src="(/images/[^"]+)"', shown)
        body_of(client.get(link))
        assert "data-pictures-gone" in shown


@pytest.mark.parametrize("variant", ["display", "thumbnail"])
def test_a_lost_file_is_not_found_and_logged_with_the_reference_of_the_answer(
    cast: Cast, image: Image, variant: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(ReferenceFilter())
    Path(getattr(image, variant).path).unlink()
    response = cast.client_of(cast.owner).get(address(image, cast.owner, variant))
    assert response.status_code == 404
    assert not AuditEvent.objects.exists()
    (record,) = (r for r in caplog.records if r.levelname == "ERROR")
    assert vars(record)["reference"] == response["X-Reference"]
    message = record.getMessage()
    assert f"{image.pk} has no {variant} file" in message
    assert cast.patient.name not in message


def test_files_have_no_address_of_their_own(cast: Cast, image: Image) -> None:
    with pytest.raises(ValueError, match="no address"):
        _ = image.display.url
    relative = Path(str(image.display.name))
    client = cast.client_of(cast.owner)
    for prefix in ("media", "static", "images", ""):
        assert client.get(f"/{prefix}/{relative}".replace("//", "/")).status_code == 404
