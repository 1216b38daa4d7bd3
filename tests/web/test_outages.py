"""A database or a disk that is away, full or locked: 503 in plain words, and nothing half done."""

from __future__ import annotations

import io
import resource
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as running
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import close_old_connections, connection, connections
from django.test import Client
from django.urls import reverse
from PIL import Image as Pillow

from classifier.models import Analysis, AuditEvent, Image, Patient
from skinapp import databases
from tests import factories
from tests.intake.samples import noise
from tests.web.frozen import relay_to
from tests.web.uploaded import stored_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from django.conf import LazySettings

    from tests.conftest import Cast

# Above it, Django writes an upload to a temporary file while it arrives.
_ON_DISK = 2_621_440


def photo(seed: int, size: tuple[int, int] = (400, 300)) -> SimpleUploadedFile:
    """Return a picture of noise, of which every stored copy is large."""
    picture = Pillow.frombytes("RGB", size, noise(seed, size[0] * size[1] * 3))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return SimpleUploadedFile(f"{seed}.png", buffer.getvalue())


def client_of(cast: Cast) -> Client:
    """Return a browser that gets error pages instead of exceptions."""
    client = cast.client_of(cast.owner)
    client.raise_request_exception = False
    return client


def send(cast: Cast, *files: Any, new: bool = False, json: bool = False) -> Any:
    """Upload as the page does; with ``new``, a patient is registered along with the images."""
    facts: dict[str, Any] = {"images": list(files), "modality": "clinical"}
    accept = {"Accept": "application/json" if json else "text/html"}
    if not new:
        address = reverse("image_upload", args=[cast.patient.pk])
        return client_of(cast).post(address, facts, headers=accept)
    facts |= {"key": uuid.uuid4(), "record_number": "N1", "name": "New", "sex": "unknown"}
    facts |= {"skin_type": "unknown"}
    return client_of(cast).post(reverse("analysis_new"), facts, headers=accept)


def assert_nothing_is_left(settings: LazySettings) -> None:
    """Assert that there is no row and no file of an upload."""
    assert stored_files(settings) == []
    for model in (Image, Analysis, AuditEvent):
        assert not model.objects.exists()
    assert not Patient.objects.filter(name="New").exists()


@contextmanager
def full_disk(settings: LazySettings, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the kernel say ENOSPC after half of a file (/dev/full)."""
    before = settings.STORAGES
    patch.setenv("CHAOS_FULL", "/dev/null")
    settings.STORAGES = before | {
        "default": {"BACKEND": "bench.chaos.full_disk.FullDiskStorage"},
    }
    try:
        yield
    finally:
        settings.STORAGES = before


@contextmanager
def bounded_files(_settings: LazySettings, _patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the kernel refuse every byte of a file beyond 64 KB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("full", [full_disk, bounded_files])
def test_an_upload_on_a_full_disk_leaves_nothing_and_says_so(
    cast: Cast,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    full: Callable[..., Any],
) -> None:
    arriving = tmp_path / "arriving"
    arriving.mkdir()
    settings.FILE_UPLOAD_TEMP_DIR = str(arriving)
    large = photo(3, (1000, 900))
    assert large.size is not None
    assert large.size > _ON_DISK
    with full(settings, monkeypatch):
        for new in (False, True):
            for file in (photo(1), large):
                caplog.clear()
                answer = send(cast, file, new=new)
                assert (answer.status_code, answer["Retry-After"]) == (503, "60")
                page = answer.content.decode()
                assert "It is not certain that what you just sent was saved" in page
                assert f"<code>{answer['X-Reference']}</code>" in page
                assert "Ada Example" not in page
                # The log tells the fault, once.
                errors = [line for line in caplog.records if line.exc_info]
                assert len(errors) == 1
                assert isinstance((errors[0].exc_info or (None, None))[1], OSError)
                file.seek(0)
        told = send(cast, photo(1), json=True)
        assert told.status_code == 503
        assert "not certain" in told.json()["errors"]["images"][0]
    assert_nothing_is_left(settings)
    assert list(arriving.iterdir()) == []
    # The very same form is welcome when there is room again.
    assert send(cast, photo(1), large, new=True).status_code == 302
    assert len(stored_files(settings)) == 6


def test_of_several_images_the_person_reads_which_were_stored(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from classifier.services import images

    real, calls = images._store, 0

    def second_fails(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (2, 4):
            raise OSError(28, "No space left on device")
        return real(*args)

    monkeypatch.setattr(images, "_store", second_fails)
    page = send(cast, photo(1), photo(2), photo(3))
    assert page.status_code == 503
    # Nobody waits for the third as long as for the second.
    assert "1 image is in the record." in page.content.decode()
    for name in ("2.png", "3.png"):
        assert f"{name}</strong> It could not be stored right now." in page.content.decode()
    told = send(cast, photo(4), photo(5), json=True)
    assert [file["status"] for file in told.json()["files"]] == ["queued", "failed"]
    assert Image.objects.count() == 2
    assert len(stored_files(settings)) == 6


def test_postgresql_on_a_full_disk_leaves_nothing(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Image.save

    def refused(self: Image, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        with connection.cursor() as cursor:
            cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$")

    monkeypatch.setattr(Image, "save", refused)
    assert send(cast, photo(1), new=True).status_code == 503
    assert_nothing_is_left(settings)


def test_a_mistake_of_ours_stays_a_mistake(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_args: Any, **_kwargs: Any) -> None:
        raise ValueError

    monkeypatch.setattr(Image, "save", refused)
    answer = send(cast, photo(1))
    assert answer.status_code == 500
    assert f"<code>{answer['X-Reference']}</code>" in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_nobody_waits_long_for_a_lock_or_a_statement(
    cast: Cast, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    assert (running.DATABASE_STATEMENT_SECONDS, running.DATABASE_LOCK_SECONDS) == (30, 10)
    settings.DATABASE_LOCK_SECONDS = 0.2
    client = client_of(cast)
    address = cast.patient.get_absolute_url()
    other = connections.create_connection("default")
    databases.bound_statements()
    try:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("30s",)
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE classifier_patient IN ACCESS EXCLUSIVE MODE")
        page = client.get(address)
        assert (page.status_code, page["Retry-After"]) == (503, "60")
        assert "Nothing is lost." in page.content.decode()
        poll = client.get(address, headers={"HX-Request": "true"})
        assert (poll.status_code, poll["Retry-After"]) == (503, "10")
        assert poll["Content-Type"].startswith("text/plain")
        assert len([line for line in caplog.records if line.exc_info]) == 2
    finally:
        databases.unbound_statements()
        other.close()
        connection.close()
    assert client.get(address).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_frozen_database_holds_nobody_for_ever(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It neither answers nor refuses, its own bounds do not run, and TCP sees nothing wrong."""
    facts = connections.settings["default"]
    client = client_of(cast)
    address = cast.patient.get_absolute_url()

    def ask() -> tuple[int, float]:
        began = time.monotonic()
        page = client.get(address)
        # As a server does after every request.
        close_old_connections()
        return page.status_code, time.monotonic() - began

    with relay_to(facts["HOST"], int(facts["PORT"])) as relay, monkeypatch.context() as patch:
        patch.setitem(facts, "PORT", str(relay.port))
        patch.setattr(databases, "GRACE_SECONDS", 0.5)
        settings.DATABASE_CONNECT_SECONDS = 4
        settings.DATABASE_STATEMENT_SECONDS = 9
        databases.bound_statements()
        try:
            connection.close()
            assert ask()[0] == 200
            # Much at once goes through as before, in both directions.
            with connection.cursor() as cursor:
                cursor.execute("SELECT repeat(%s, 2), pg_sleep(0.1)", ["x" * 3_000_000])
                assert len(cursor.fetchone()[0]) == 6_000_000
            relay.freeze()
            settings.DATABASE_STATEMENT_SECONDS = 0.5
            status, seconds = ask()
            assert status == 503
            assert 1 <= seconds < 3.5
            # From then on it is the opening of another connection that is waited for.
            settings.DATABASE_CONNECT_SECONDS = 0.5
            settings.DATABASE_STATEMENT_SECONDS = 9
            status, seconds = ask()
            assert status == 503
            assert 0.5 <= seconds < 3.5
            ready = Client().get(reverse("readyz"))
            assert (ready.status_code, ready.json()["Database"]) == (503, "failing")
            relay.thaw()
            settings.DATABASE_CONNECT_SECONDS = 4
            assert ask()[0] == 200
        finally:
            databases.unbound_statements()
            connection.close()


def test_without_redis_nobody_signs_in_and_everybody_works_on(
    cast: Cast, settings: LazySettings
) -> None:
    """Wrong passwords could not be counted; whoever is in stays in, and uploads are kept."""
    signed_in = client_of(cast)
    nobody = Client(raise_request_exception=False)
    gone = {"LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {"default": settings.CACHES["default"] | gone}
    page = reverse("account_login")
    assert nobody.get(page).status_code == 200
    fields = {"login": cast.owner.email, "password": factories.PASSWORD}
    refused = nobody.post(page, fields)
    assert (refused.status_code, refused["Retry-After"]) == (503, "60")
    for name in ("worklist", "history", "patient_list"):
        assert signed_in.get(reverse(name)).status_code == 200
    assert send(cast, photo(1)).status_code == 302
    assert Image.objects.count() == 1
