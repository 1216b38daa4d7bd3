"""A backup restores into a fresh instance, row for row and byte for byte; a damaged one cannot."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection

from classifier.choices import Modality
from classifier.services import backups
from classifier.services.backup_archive import BackupError, verify_backup
from classifier.services.backups import make_backup, restore_backup
from classifier.services.erasure import erase_patient
from classifier.services.images import add_image
from classifier.services.postgres_programs import connection_environment
from skinapp.runtime.supervisor import ROOT
from tests import factories
from tests.deploy.object_store import object_store
from tests.intake.samples import drawn, encoded, noise
from tests.jobs.processes import database_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import Settings

    from classifier.models import Image, Patient
    from tests.conftest import Cast


def add(cast: Cast, seed: int, patient: Patient | None = None) -> Image:
    """Upload a picture of its own."""
    upload = SimpleUploadedFile("a.png", encoded(drawn(seed), "PNG"))
    return add_image(
        patient=patient or cast.patient,
        by=cast.owner,
        upload=upload,
        modality=Modality.DERMOSCOPY,
    ).image


# Where the restoration itself is written down.
_TRAIL = {"classifier_auditevent", "classifier_auditpending"}


def rows_of(address: str) -> dict[str, str]:
    """Return a digest of the rows of every table of a database, but for the trail's."""
    own: Any = psycopg2.connect(address)
    try:
        with own.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            found = {}
            for table in {name for (name,) in cursor.fetchall()} - _TRAIL:
                digest = "md5(string_agg(t::text, chr(10) ORDER BY t::text))"
                cursor.execute(f'SELECT count(*), {digest} FROM "{table}" t')  # noqa: S608 - its own
                count, digest = cursor.fetchone()
                found[table] = f"{count} {digest}"
            return found
    finally:
        own.close()


def files_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder by its name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def put_back(name: str, archive: Path, media: Path) -> None:
    """Run the runbook's own commands for one file, on this machine's folders."""
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(name=images/.*?)```", text, flags=re.DOTALL)
    places = {
        r"name=images/\S+": f"name={name}",
        r"/srv/skinapp-backups/\S+\.tar": str(archive),
        r"docker compose exec -T web ": "",
        r"/var/lib/skinapp/media": str(media),
    }
    for old, new in places.items():
        assert re.search(old, block)
        block = re.sub(old, new, block)
    subprocess.run(["sh", "-ec", block], check=True)


@pytest.fixture
def fresh() -> Iterator[str]:
    """Return the address of an empty database, asked as its server's superuser."""
    yield from empty_database(role="")


@pytest.fixture
def ordinary() -> Iterator[str]:
    """Return the address of an empty database, asked as an ordinary role that owns it."""
    yield from empty_database(role=f"keeper_{secrets.token_hex(4)}")


def empty_database(*, role: str) -> Iterator[str]:
    """Make a database as the runbook says, and drop it in the end."""
    name = f"restored_{secrets.token_hex(4)}"
    address = database_url()
    place = f"{address.rpartition('/')[0]}/{name}"
    own: Any = psycopg2.connect(address)
    own.autocommit = True
    with own.cursor() as cursor:
        if role:
            cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'")
            cursor.execute(f"CREATE DATABASE {name} OWNER {role}")
            theirs: Any = psycopg2.connect(place)
            theirs.autocommit = True
            with theirs.cursor() as in_it:
                in_it.execute("CREATE EXTENSION vector")
            theirs.close()
            place = f"postgres://{role}:{role}@{place.rpartition('@')[2]}"
        else:
            cursor.execute(f"CREATE DATABASE {name}")
        yield place
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        if role:
            cursor.execute(f"DROP ROLE {role}")
    own.close()


def restored(
    archive: Path, address: str, media: Path, *options: str, **more: str
) -> tuple[int, str]:
    """Run ``manage.py restore`` as an instance of its own."""
    return managed(address, media, "restore", str(archive), *options, **more)


def managed(address: str, media: Path, *arguments: str, **more: str) -> tuple[int, str]:
    """Run a ``manage.py`` command as an instance of its own."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "skinapp.settings.local",
            "SECRET_KEY": "only-for-tests-" + "z" * 40,
            "DATABASE_URL": address,
            "MEDIA_ROOT": str(media),
        }
        | more,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_a_backup_comes_back_whole_into_a_fresh_instance(
    transactional_db: None, cast: Cast, settings: Settings, tmp_path: Path, ordinary: str
) -> None:
    add(cast, 1)
    erased = add(cast, 2)
    archive = tmp_path / "archive.tar"
    call_command("backup", str(archive))
    assert archive.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.glob(".*")] == []
    before, files = rows_of(database_url()), files_of(Path(settings.MEDIA_ROOT))
    assert len(files) == 6

    media = tmp_path / "elsewhere"
    status, said = restored(archive, ordinary, media)
    assert status == 0, said
    assert "Restored the database and 6 files" in said
    assert rows_of(ordinary) == before
    assert files_of(media) == files
    assert {path.stat().st_mode & 0o777 for path in media.rglob("*") if path.is_file()} == {0o600}
    # What refuses changes came along: the audit trail cannot be altered there either.
    own: Any = psycopg2.connect(ordinary)
    with own.cursor() as cursor, pytest.raises(psycopg2.Error):
        cursor.execute("DELETE FROM classifier_auditevent")
    own.close()

    # Not over an instance that is in use, unless told so.
    status, said = restored(archive, ordinary, media)
    assert status == 1
    assert "This instance holds" in said
    assert rows_of(ordinary) == before
    (media / "images" / "left over.jpg").write_bytes(b"x")
    status, said = restored(archive, ordinary, media, "--replace")
    assert status == 0, said
    assert rows_of(ordinary) == before
    assert files_of(media) == files

    # A file that vanished is a loss, and a backup without it is none.
    erased.display.storage.delete(str(erased.display.name))
    with pytest.raises(CommandError, match="1 files of rows are missing"):
        call_command("backup", str(tmp_path / "second.tar"))
    assert not (tmp_path / "second.tar").exists()
    put_back(str(erased.display.name), archive, Path(settings.MEDIA_ROOT))
    assert files_of(Path(settings.MEDIA_ROOT)) == files
    assert Path(erased.display.path).stat().st_mode & 0o777 == 0o600
    call_command("backup", str(tmp_path / "second.tar"))
    with pytest.raises(CommandError, match="exists already"):
        call_command("backup", str(archive))


@pytest.mark.timeout(300)
def test_an_object_stores_pictures_are_in_the_archive_too(
    transactional_db: None,
    cast: Cast,
    settings: Settings,
    tmp_path: Path,
    fresh: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a backup is made people upload and erase; it is restored to a bucket and a folder."""
    with object_store("images", "restored") as store:
        settings.STORAGES = settings.STORAGES | {"default": store.backend("images")}
        kept = [add(cast, seed) for seed in (1, 2)]
        # Larger than what is held in memory of one picture.
        large = noise(1, 9 * 1024 * 1024)
        default_storage.delete(str(kept[0].display.name))
        default_storage.save(str(kept[0].display.name), ContentFile(large))
        with default_storage.open(str(kept[0].display.name)) as opened:
            # On the disk by now, as every large one while it is copied.
            spooled: Any = opened.file
            assert spooled._rolled
        leaving = factories.make_patient(cast.clinic, cast.owner)
        erased = add(cast, 4, leaving)
        before = store.objects("images")
        assert len(before) == 9
        real = backups._run

        def meanwhile(program: str, *arguments: str) -> None:
            """The database is dumped; its pictures are still to be fetched."""
            real(program, *arguments)
            add(cast, 3)
            erase_patient(
                patient_key=leaving.pk,
                by=cast.administrator,
                reason="asked for it",
                confirmation=leaving.record_number,
            )

        monkeypatch.setattr(backups, "_run", meanwhile)
        archive = tmp_path / "archive.tar"
        summary = make_backup(target=archive)
        assert (summary.files, summary.gone) == (6, 3)
        whole = {
            name: data
            for name, data in before.items()
            if any(name.startswith(f"images/{key[:2]}/{key[2:4]}/{key}") for key in keys(kept))
        }
        assert len(whole) == 6

        media = tmp_path / "elsewhere"
        bucket = store.environment("restored")
        status, said = restored(archive, fresh, media, **bucket)
        assert status == 0, said
        assert "3 files that were removed meanwhile" in said
        assert store.objects("restored") == whole
        assert not media.exists()

        # The same archive into a folder; its rows name what lies there, but for the erased ones.
        status, said = restored(archive, fresh, media, "--replace")
        assert status == 0, said
        assert files_of(media) == {
            name: hashlib.sha256(data).hexdigest() for name, data in whole.items()
        }
        assert store.objects("restored") == whole
        _status, said = managed(fresh, media, "check_integrity", "--json")
        faults = [
            (found["code"], found["subject"])
            for found in json.JSONDecoder().raw_decode(said)[0]["findings"]
        ]
        assert {code for code, subject in faults if str(erased.pk) in subject} == {"file_missing"}
        # Its bytes were changed by this test, past the row.
        others = [(code, subject) for code, subject in faults if str(erased.pk) not in subject]
        assert [code for code, _subject in others] == ["file_changed"]
        assert str(kept[0].pk) in others[0][1]


def keys(images: list[Image]) -> list[str]:
    """Return the identifiers of images as text."""
    return [str(image.pk) for image in images]


def rewritten(source: Path, target: Path, change: Any) -> Path:
    """Write an archive anew, each part through ``change(name, data)``; None leaves it out."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            body = old.extractfile(member)
            assert body is not None
            data = change(member.name, body.read())
            if data is not None:
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
    return target


@pytest.fixture
def archive(transactional_db: None, cast: Cast, tmp_path: Path) -> Path:
    """Return an archive of one image; the instance still holds the same."""
    add(cast, 1)
    target = tmp_path / "archive.tar"
    summary = make_backup(target=target)
    assert (summary.files, summary.gone) == (3, 0)
    return target


def test_an_archive_that_was_touched_is_refused_before_anything_is(
    archive: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verify_backup(archive=archive)["format"] == 2
    call_command("restore", str(archive), "--verify-only")

    def spoilt(name: str, data: bytes) -> bytes:
        return data[:-1] + bytes([data[-1] ^ 1]) if name.startswith("media/") else data

    damaged = [
        rewritten(archive, tmp_path / "spoilt.tar", spoilt),
        rewritten(
            archive, tmp_path / "less.tar", lambda name, data: None if ".display" in name else data
        ),
        rewritten(
            archive, tmp_path / "bare.tar", lambda name, data: None if "json" in name else data
        ),
        tmp_path / "cut.tar",
        tmp_path / "text.tar",
        tmp_path / "none.tar",
    ]
    damaged[3].write_bytes(archive.read_bytes()[:5_000])
    damaged[4].write_text("no archive")
    newer = rewritten(
        archive,
        tmp_path / "newer.tar",
        lambda name, data: (
            data.replace(b'"classifier.0001', b'"classifier.9001')
            if name == "manifest.json"
            else data
        ),
    )
    before, files = rows_of(database_url()), files_of(Path(settings.MEDIA_ROOT))
    for path in damaged:
        with pytest.raises(BackupError):
            restore_backup(archive=path, replace=True)
    with pytest.raises(BackupError, match="newer version"):
        restore_backup(archive=newer, replace=True)
    with pytest.raises(BackupError, match="This instance holds rows"):
        restore_backup(archive=archive)
    with monkeypatch.context() as bare:
        bare.setattr(backups, "find_program", lambda _name: None)
        with pytest.raises(BackupError, match="There is no pg_restore"):
            restore_backup(archive=archive, replace=True)
    assert rows_of(database_url()) == before
    assert files_of(Path(settings.MEDIA_ROOT)) == files


def test_pictures_stay_until_their_rows_are_restored(
    archive: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_of(Path(settings.MEDIA_ROOT))
    assert len(files) == 3
    # PostgreSQL's program fails; the test's own tables are left alone.
    monkeypatch.setattr(backups, "find_program", lambda _name: "/bin/false")
    monkeypatch.setattr(backups, "_empty_database", lambda: None)
    with pytest.raises(BackupError, match="pg_restore failed"):
        restore_backup(archive=archive, replace=True)
    assert files_of(Path(settings.MEDIA_ROOT)) == files


def test_without_postgresqls_programs_it_says_so(
    db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "find_program", lambda _name: None)
    with pytest.raises(BackupError, match="There is no pg_dump"):
        make_backup(target=tmp_path / "archive.tar")
    monkeypatch.setattr(backups, "find_program", lambda _name: "/bin/false")
    with pytest.raises(BackupError, match="pg_dump failed"):
        make_backup(target=tmp_path / "archive.tar")
    assert list(tmp_path.glob("*.tar")) == []


def test_no_password_is_on_a_command_line() -> None:
    environment = connection_environment(connection.settings_dict)
    assert environment["PGPASSWORD"] == connection.settings_dict["PASSWORD"]
    assert "SECRET_KEY" not in environment
