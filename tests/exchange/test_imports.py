"""Importing old images: the dry run, the work, every refusal, and doing it twice."""

from __future__ import annotations

import csv
import errno
import io
import stat
import threading
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.urls import reverse

from classifier.choices import ImportState, Role, RowState
from classifier.exchange import import_work
from classifier.exchange.import_work import go_on
from classifier.exchange.importing import (
    check_again,
    counts_of,
    forget_old,
    start,
)
from classifier.exchange.sources import FolderSource, ZipSource, rows_of
from classifier.intake.decoders import DecoderError
from classifier.models import (
    Analysis,
    AuditEvent,
    Clinic,
    Erasure,
    Image,
    ImportRow,
    ImportRun,
    Lesion,
    Patient,
)
from classifier.services.erasure import erase_patient
from classifier.services.errors import RuleError
from classifier.tasks import run_imports_task
from tests import factories
from tests.exchange.imported import HEAD, packed, sent, through, told
from tests.exchange.objects import made
from tests.web.uploaded import picture_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings

    from tests.conftest import Cast


def test_every_line_is_looked_through_first_and_has_its_own_answer(cast: Cast) -> None:
    Patient.objects.filter(pk=cast.patient.pk).update(
        record_number="N-1", date_of_birth="1980-05-04"
    )
    archived = factories.make_patient(cast.clinic, cast.owner, record_number="N-9", archived=True)
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    lines = {
        "N-1,,,Mole,back,2020-01-02,dermoscopy,a/one.jpg": "",
        "N-2,Nora Nöé,1999-12-31,,face,,clinical,zwölf.jpg": "",
        ",Nobody,,,,,clinical,a/one.jpg": "names no patient",
        "N-3,,,,,,clinical,a/one.jpg": "no patient of this number",
        "N-1,,1980-05-05,,,,clinical,a/one.jpg": "born on another day",
        "N-1,Wrong Person,,,,,clinical,a/one.jpg": "another name",
        "N-1,,,,elbow,,clinical,a/one.jpg": "Unknown code in lesion_site",
        "N-1,,,,,,xray,a/one.jpg": "Unknown code in modality",
        "N-1,,31.12.1980,,,,clinical,a/one.jpg": "A date is not understood",
        "N-1,,,,,2999-01-01,clinical,a/one.jpg": "lies in the future",
        "N-1,,,,,,clinical,missing.jpg": "holds no file of this name",
        "N-1,,,,,,clinical,../one.jpg": "leads out of the archive",
        "N-1,,,,,,clinical,/etc/passwd": "leads out of the archive",
        "N-1,,,,,,clinical,link.jpg": "This is a link",
        "N-1,,,,,,clinical,text.jpg": "not a picture",
        "N-1,,,,,,clinical,bomb.jpg": "too large",
        "N-1,,,,,,dermoscopy,other.dcm": "another patient's",
        "N-4,Other,,,,,clinical,a/one.jpg": "Line 2 names the same file",
        f"{archived.record_number},,,,,,clinical,two.jpg": "archived",
        "N-1,,,,,2021-02-03T10:20:00+01:00,dermoscopy,mine.dcm": "",
    }
    files = {
        "a/one.jpg": picture_bytes(1),
        "zwölf.jpg": picture_bytes(2),
        "two.jpg": picture_bytes(3),
        "text.jpg": b"no picture at all",
        "bomb.jpg": bytes(26 * 1024 * 1024),
        "other.dcm": made(PatientID="N-2"),
        "mine.dcm": made(PatientID="N-1", PatientBirthDate="19800504"),
    }
    table = HEAD + "".join(f"{line}\n" for line in lines)
    archive = packed(table, files, entries=[(link, b"a/one.jpg")])
    run = sent(cast, archive)
    counts = through(run)
    assert run.state == ImportState.CHECKED
    found = told(run)
    for line, (text, wanted) in enumerate(lines.items(), start=2):
        assert wanted in found.get(line, ""), text
        assert bool(wanted) == (line in found), text
    assert counts == {RowState.READY: 3, RowState.REFUSED: len(lines) - 3}
    assert not Image.objects.exists()
    assert not Patient.objects.filter(record_number="N-2").exists()

    start(run=run, by=cast.administrator)
    run.refresh_from_db()
    assert through(run) == {RowState.DONE: 3, RowState.REFUSED: len(lines) - 3}
    assert run.state == ImportState.FINISHED
    new = Patient.objects.get(record_number="N-2")
    assert (new.name, str(new.date_of_birth)) == ("Nora Nöé", "1999-12-31")
    assert set(Lesion.objects.values_list("label", "body_site")) == {
        ("Mole", "back"),
        ("Face", "face"),
    }
    one = Image.objects.get(patient=cast.patient, original_format="JPEG")
    assert one.taken_at is not None
    assert f"{one.taken_at:%Y-%m-%d}" == "2020-01-02"
    assert Analysis.objects.count() == Image.objects.count() == 3
    # What is in the record now is kept nowhere else; refused lines wait for their correction.
    for row in run.rows.filter(state=RowState.DONE):
        assert set(row.facts) == {"file"}
    finished = AuditEvent.objects.get(action="import.finished")
    assert finished.details["counts"] == {"done": 3, "refused": len(lines) - 3}

    # The same archive is the same import; looked through again, it adds nothing.
    with pytest.raises(RuleError, match="archive of this import is gone"):
        check_again(run=run, by=cast.administrator)
    again = sent(cast, archive)
    assert (again.pk, again.state, ImportRun.objects.count()) == (run.pk, ImportState.CHECKING, 1)
    assert again.archive.storage.exists(again.archive.name or "")
    assert through(again) == {RowState.DONE: 3, RowState.REFUSED: len(lines) - 3}
    check_again(run=again, by=cast.administrator)
    again.refresh_from_db()
    assert through(again) == {RowState.DONE: 3, RowState.REFUSED: len(lines) - 3}
    other = sent(cast, packed(table + "\n", files))
    assert through(other)[RowState.KNOWN] == 3
    assert Image.objects.count() == 3


@pytest.mark.parametrize(
    ("archive", "sentence"),
    [
        (lambda: io.BytesIO(b"PK no archive"), "not a ZIP archive"),
        (lambda: packed("patient_number,file\nN-1,a\n"), "lacks the column modality"),
        (lambda: packed(""), "The table is empty"),
        (lambda: packed(b"patient_number,name\n" + b"\xe9\n"), "not written in UTF-8"),
        (lambda: packed(HEAD, {"b.csv": b""}), "there are 2"),
        (lambda: packed(HEAD.replace("name", "file")), "two columns of one name"),
        (lambda: packed(HEAD + "N-1\n" * 6), "more than 5 lines"),
        (lambda: packed(HEAD, {f"{n}.jpg": b"" for n in range(9)}), "more than 8 files"),
    ],
)
def test_an_archive_that_cannot_be_worked_with_is_refused_whole(
    cast: Cast, settings: LazySettings, archive: Any, sentence: str
) -> None:
    settings.IMPORT_MAX_ROWS, settings.IMPORT_MAX_ENTRIES = 5, 8
    with pytest.raises(RuleError, match=sentence):
        sent(cast, archive())
    assert not ImportRun.objects.exists()
    assert not ImportRow.objects.exists()


def test_an_encrypted_archive_and_one_that_lies_are_refused() -> None:
    plain = packed(HEAD, {"a.jpg": picture_bytes(1)}).getvalue()
    marked = bytearray(plain)
    for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for begin in [n for n in range(len(plain)) if plain.startswith(sign, n)]:
            marked[begin + place] |= 1
    with pytest.raises(RuleError, match="encrypted"):
        ZipSource(io.BytesIO(bytes(marked)))
    spoilt = bytearray(plain)
    middle = plain.index(b"a.jpg") + 200
    spoilt[middle : middle + 40] = bytes(40)
    with pytest.raises(RuleError, match="damaged inside"):
        ZipSource(io.BytesIO(bytes(spoilt))).read("a.jpg")


def test_tables_as_spreadsheets_write_them() -> None:
    line = "N-1,Zoë,,,,,clinical,a.jpg\n"
    wanted = rows_of((HEAD + line).encode())
    assert wanted[0]["name"] == "Zoë"
    assert rows_of((HEAD + line).encode("utf-8-sig")) == wanted
    assert rows_of((HEAD + line).encode("utf-16")) == wanted
    assert rows_of((HEAD + line).replace(",", ";").encode()) == wanted
    assert rows_of((HEAD.upper().replace("_", " ") + line).replace("\n", "\r\n").encode()) == wanted


def test_a_folder_gives_nothing_from_outside(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(b"secret")
    (folder / "deep" / "a.jpg").write_bytes(b"picture")
    (folder / "link.jpg").symlink_to(outside / "secret.jpg")
    (folder / "way").symlink_to(outside)
    source = FolderSource(folder)
    assert source.read("deep/a.jpg") == source.read("deep\\a.jpg") == b"picture"
    for name in ("link.jpg", "way/secret.jpg", "../out/secret.jpg", "/etc/passwd", "deep", "no"):
        with pytest.raises(RuleError):
            source.read(name)


def test_the_command_looks_first_and_goes_on_where_it_was(
    cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.jpg").write_bytes(picture_bytes(1))
    (tmp_path / "rows.csv").write_text(
        HEAD + "N-1,Ada,,,,,clinical,old.jpg\nN-2,,,,,,clinical,old.jpg\n", encoding="utf-8"
    )
    arguments = ["import_images", str(tmp_path), "--clinic", cast.clinic.name, "--as"]
    with pytest.raises(CommandError, match="administrator"):
        call_command(*arguments, cast.owner.email)
    call_command(*arguments, cast.administrator.email)
    said = capsys.readouterr().out
    assert "line 3: The clinic has no patient of this number" in said
    assert "Will be added: 1" in said
    assert "nothing was added" in said
    assert not Image.objects.exists()
    for _ in range(2):
        call_command(*arguments, cast.administrator.email, "--go")
        assert "Added: 1" in capsys.readouterr().out
        assert Image.objects.count() == 1


def test_the_pages_of_an_import(cast: Cast) -> None:
    client = cast.client_of(cast.administrator)
    table = HEAD + "N-1,Ada New,,,foot,,clinical,a.jpg\nN-2,=cmd(),,,back,,xray,a.jpg\n"
    archive = packed(table, {"a.jpg": picture_bytes(1)})
    archive.name = "old.zip"
    response = client.post(reverse("import_list"), {"archive": archive})
    run = ImportRun.objects.get()
    assert response.status_code == 302
    assert response["Location"] == run.get_absolute_url()
    page = client.get(run.get_absolute_url()).content.decode()
    # It asks by itself, and once more after a failure (static/js/unanswered.js).
    assert 'hx-trigger="load delay:2s, again"' in page
    assert "data-poll" in page
    part = client.get(run.get_absolute_url(), headers={"HX-Request": "true"})
    assert b"<html" not in part.content
    assert "HX-Refresh" not in part.headers

    run_imports_task()
    part = client.get(run.get_absolute_url(), headers={"HX-Request": "true"})
    assert part["HX-Refresh"] == "true"
    page = client.get(run.get_absolute_url()).content.decode()
    assert "Add 1 image" in page
    assert "Unknown code in modality" in page
    # Whose it is and where it was taken stands beside what becomes of it, also once it is added.
    for words in ("N-1", "Foot", "N-2", "Back"):
        assert f">{words}</td>" in page, words

    refused = client.get(reverse("import_refused", args=[run.pk]))
    assert refused["Content-Disposition"].startswith("attachment")
    rows = list(csv.DictReader(io.StringIO(refused.content.decode("utf-8-sig"))))
    assert [(row["line"], row["name"], row["modality"]) for row in rows] == [
        ("3", "'=cmd()", "xray")
    ]

    assert client.post(reverse("import_start", args=[run.pk])).status_code == 302
    run_imports_task()
    run.refresh_from_db()
    assert run.state == ImportState.FINISHED
    assert Image.objects.get().patient.name == "Ada New"
    page = client.get(run.get_absolute_url()).content.decode()
    assert ">N-1</td>" in page
    assert ">Foot</td>" in page
    # Twice is once.
    client.post(reverse("import_start", args=[run.pk]))
    run_imports_task()
    assert Image.objects.count() == 1
    client.post(reverse("import_discard", args=[run.pk]))
    assert not ImportRun.objects.exists()
    assert Image.objects.count() == 1

    bad = client.post(reverse("import_list"), {"archive": io.BytesIO(b"no archive")})
    assert bad.status_code == 422
    assert b"not a ZIP archive" in bad.content
    for user, status in ((cast.owner, 403), (cast.stranger, 403)):
        assert cast.client_of(user).get(reverse("import_list")).status_code == status


def test_an_erased_patient_is_in_no_import_and_old_ones_are_forgotten(
    cast: Cast, settings: LazySettings
) -> None:
    table = HEAD + "N-1,Ada,,,,,clinical,a.jpg\nN-1,Ada,,,,,xray,a.jpg\n"
    run = sent(cast, packed(table, {"a.jpg": picture_bytes(1)}))
    through(run)
    start(run=run, by=cast.administrator)
    run.refresh_from_db()
    through(run)
    patient = Patient.objects.get(record_number="N-1")
    erase_patient(
        patient_key=patient.pk, by=cast.administrator, reason="asked for", confirmation="N-1"
    )
    assert Erasure.objects.exists()
    assert not run.rows.exists()
    assert forget_old() == 0
    settings.IMPORT_KEEP_DAYS = 0
    assert forget_old() == 1
    assert not ImportRun.objects.exists()


@pytest.mark.parametrize(
    "fault", [OperationalError(), OSError(errno.ENOSPC, "full"), DecoderError("does not start")]
)
def test_what_is_no_fault_of_a_line_is_no_try(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    run = sent(cast, packed(HEAD + "N-1,Ada,,,,,clinical,a.jpg\n", {"a.jpg": picture_bytes(1)}))
    with monkeypatch.context() as away:

        def gone(*_arguments: Any) -> None:
            raise fault

        away.setattr(import_work, "_look", gone)
        for _ in range(5):
            with pytest.raises(type(fault)):
                go_on(run, seconds=30)
    with monkeypatch.context() as taken:
        # Another worker is always a moment faster.
        turns = iter([False] * 5)
        work = import_work._work_through
        taken.setattr(
            import_work, "_work_through", lambda *given: next(turns, None) is None and work(*given)
        )
        assert through(run) == {RowState.READY: 1}
    start(run=run, by=cast.administrator)
    run.refresh_from_db()
    assert run.rows.get().tries == 0
    assert through(run) == {RowState.DONE: 1}


def test_what_breaks_every_worker_is_given_up_in_the_end(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = HEAD + "N-1,Ada,,,,,clinical,a.jpg\n"
    run = sent(cast, packed(table, {"a.jpg": picture_bytes(1)}))

    def broken(*_arguments: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(import_work, "_look", broken)
    for _ in range(3):
        with pytest.raises(MemoryError):
            go_on(run, seconds=30)
        assert counts_of(run)[RowState.NEW] == 1
    assert through(run) == {RowState.REFUSED: 1}
    assert "could not be worked through" in told(run)[2]


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_add_each_image_once(cast: Cast) -> None:
    files = {f"{n}.jpg": picture_bytes(n) for n in range(1, 7)}
    table = HEAD + "".join(f"N-{n},Ada {n},,,,,clinical,{n}.jpg\n" for n in range(1, 7))
    run = sent(cast, packed(table, files))
    through(run)
    start(run=run, by=cast.administrator)
    faults: list[BaseException] = []

    def work() -> None:
        try:
            through(ImportRun.objects.select_related("clinic", "created_by").get(pk=run.pk))
        except BaseException as error:  # noqa: BLE001 - told below
            faults.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert faults == []
    run.refresh_from_db()
    assert run.state == ImportState.FINISHED
    assert counts_of(run)[RowState.DONE] == Image.objects.count() == 6
    assert AuditEvent.objects.filter(action="import.finished").count() == 1
    assert Clinic.objects.get(pk=cast.clinic.pk) == run.clinic


def test_an_import_is_seen_by_who_heads_its_clinic_and_nobody_else(cast: Cast) -> None:
    run = ImportRun.objects.create(
        clinic=cast.clinic, created_by=cast.administrator, source_sha256="2" * 64
    )
    head_of_elsewhere = factories.make_member(cast.other_clinic, Role.ADMINISTRATOR)
    gone = factories.make_member(cast.clinic, Role.ADMINISTRATOR, is_active=False)
    assert list(ImportRun.objects.all().visible_to(cast.administrator)) == [run]
    for nobody in (
        AnonymousUser(),
        gone,
        head_of_elsewhere,
        cast.owner,
        cast.read_only,
        cast.stranger,
        cast.superuser,
    ):
        assert not ImportRun.objects.all().visible_to(nobody).exists()
