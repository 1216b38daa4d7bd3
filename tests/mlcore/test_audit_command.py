"""``python -m mlcore audit``: manifest, report, contact sheets, exit status, plain errors."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from mlcore.audit.audit import Question, audit
from mlcore.audit.manifest import FIELDS, read_manifest, write_manifest
from mlcore.cli import main
from mlcore.cli.audit import progress
from mlcore.data import curation
from mlcore.data.tables import DataError
from tests.mlcore.audited import clean_set, put_picture, skin
from tests.mlcore.sets import REAL, make_folder_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TESTED = "test/nevus/image-024.png"
COPY = "train/melanoma/copy.png"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with nothing wrong; never write into it."""
    return clean_set(tmp_path_factory.mktemp("clean"))


@pytest.fixture
def faulty(clean: Path, tmp_path: Path) -> Path:
    """Return a folder with a contradiction across the splits, a broken and a grey picture."""
    root = shutil.copytree(clean, tmp_path / "set *of* <pictures>")
    shutil.copy(root / TESTED, root / COPY)
    (root / "train" / "nevus" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    put_picture(root / "train" / "nevus" / "grey.png", skin(70).convert("L"))
    return root


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command: status, output, error stream."""

    def command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        caught = capsys.readouterr()
        return status, caught.out, caught.err

    return command


def test_a_clean_folder_gives_status_0(clean: Path, run: Any) -> None:
    status, out, err = run("audit", clean)
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == f"Nothing was found in the 48 files of {clean.name}."
    assert "keep 48, review 0, relabel 0, drop 0" in out


@pytest.mark.skipif(sys.platform == "darwin", reason="such a name cannot be made there")
def test_a_name_that_is_no_utf_8_is_a_finding_and_harms_no_report(
    clean: Path, tmp_path: Path, run: Any
) -> None:
    root = shutil.copytree(clean, tmp_path / "set")
    odd = os.fsencode(root / "train" / "nevus") + b"/m\xe9lanome.png"
    next((root / "train" / "nevus").iterdir()).rename(os.fsdecode(odd))
    asked = ("--manifest", tmp_path / "m.csv", "--report", tmp_path / "report.html")
    status, out, _ = run("audit", root, *asked)
    assert status == 1
    assert "fix first: Names that are no UTF-8: 1" in out
    assert "m\\udce9lanome.png" in (tmp_path / "report.html").read_text(encoding="utf-8")
    files = {row.file for row in read_manifest(tmp_path / "m.csv")}
    assert "train/nevus/m\\udce9lanome.png" in files


def test_a_manifest_that_cannot_be_written_whole_stays_as_it_was(
    clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, path = audit(Question(clean)).rows, tmp_path / "m.csv"
    write_manifest(rows[:2], path)
    kept = path.read_bytes()

    def full(*_arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match="cannot be written: No space left"):
        write_manifest(rows, path)
    assert path.read_bytes() == kept
    assert [each.name for each in tmp_path.iterdir()] == ["m.csv"]


def test_findings_give_status_1_and_say_what_to_do_most_important_first(
    faulty: Path, run: Any
) -> None:
    status, out, _ = run("audit", faulty)
    assert status == 1
    lines = out.splitlines()
    assert lines[0].startswith("Do not train on set *of* <pictures> as it is: files that cannot")
    heads = [line.strip() for line in lines if line.startswith("  ") and line[2] != " "]
    assert heads == [
        "fix first: Files that cannot be read: 1",
        "fix first: The same picture under two labels: 1 (2 files)",
        "fix first: The same picture in two splits: 1 (2 files)",
        "look at: Pictures without colour: 1",
    ]
    assert any("Take the copies out of training" in line for line in lines)


def test_everything_comes_as_json_too(faulty: Path, run: Any) -> None:
    status, out, _ = run("audit", faulty, "--json")
    whole = json.loads(out)
    assert status == 1
    assert whole["files"] == 51
    assert [f["kind"] for f in whole["findings"]] == [
        "unreadable",
        "contradiction",
        "crossing",
        "grey",
    ]
    assert whole["findings"][1]["files"] == [TESTED, COPY]
    assert whole["actions"] == {"keep": 48, "drop": 2, "review": 1}
    assert {"split": "train", "class": "nevus", "pictures": 13} in whole["classes"]


@pytest.mark.parametrize("name", ["m.csv", "m.json"])
def test_the_manifest_names_every_file_and_is_read_again(
    faulty: Path, tmp_path: Path, run: Any, name: str
) -> None:
    path = tmp_path / name
    assert run("audit", faulty, "--manifest", path)[0] == 1
    rows = read_manifest(path)
    assert [row.file for row in rows] == sorted(row.file for row in rows)
    assert len(rows) == 51
    by_file = {row.file: row for row in rows}
    assert by_file[COPY].action == "drop"
    assert by_file[COPY].evidence == f"same bytes as {TESTED}"
    assert by_file[COPY].group == by_file[TESTED].group == TESTED
    again = tmp_path / f"again-{name}"
    write_manifest(rows, again)
    assert again.read_bytes() == path.read_bytes()


def test_a_manifest_that_matches_is_said_and_one_that_does_not_is_refused(
    faulty: Path, tmp_path: Path, run: Any
) -> None:
    path = tmp_path / "m.csv"
    run("audit", faulty, "--manifest", path)
    status, out, _ = run("audit", faulty, "--check", path)
    assert status == 0
    assert out.endswith("matches all 51 files: keep 48, review 1, relabel 0, drop 2.\n")

    put_picture(faulty / "train" / "nevus" / "image-000.png", skin(500))
    status, out, err = run("audit", faulty, "--check", path)
    assert (status, out) == (2, "")
    assert err == (
        "mlcore: train/nevus/image-000.png is not the file the manifest was made for (other "
        "SHA-256). Put the audited files back, or audit again with --manifest to make a new one.\n"
    )
    (faulty / COPY).unlink()
    put_picture(faulty / "train" / "nevus" / "new.png", skin(501))
    (faulty / "train" / "nevus" / "list.csv").write_text("no picture")
    err = run("audit", faulty, "--check", path)[2]
    assert f"{COPY} is in the manifest but not in the folder, and 2 more do not match." in err
    assert run("audit", faulty, "--curated", path)[0] == 2


def test_what_a_manifest_leaves_is_clean_once_a_person_has_decided(
    faulty: Path, tmp_path: Path, run: Any
) -> None:
    path = tmp_path / "m.csv"
    run("audit", faulty, "--manifest", path)
    status, out, _ = run("audit", faulty, "--curated", path, "--json")
    assert status == 1
    assert [f["kind"] for f in json.loads(out)["findings"]] == ["grey"]
    text = path.read_text().replace("grey.png,review,", "grey.png,keep,")
    path.write_text(text)
    assert run("audit", faulty, "--curated", path)[0] == 0


def test_a_relabelled_file_is_audited_under_its_new_label(
    clean: Path, tmp_path: Path, run: Any
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("file,dx\ntrain/nevus/image-000.png,melanoma\n")
    path = tmp_path / "m.csv"
    assert run("audit", clean, "--metadata", table, "--manifest", path)[0] == 1
    assert run("audit", clean, "--metadata", table, "--curated", path)[0] == 0
    curated = audit(Question(clean, curated=path))
    assert curated.counts["train", "melanoma"] == 13


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("file,action\na,keep\n", "has no column label, so it is no manifest; it needs file,"),
        (",".join(FIELDS) + "\na,burn,,,,,\n", "'burn' of a is none of keep, review, relabel"),
        ("\x00", "is no manifest in CSV or JSON|is in the folder|is not in the manifest"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_manifest(
    clean: Path, tmp_path: Path, run: Any, content: str | None, says: str
) -> None:
    path = tmp_path / "m.csv"
    if content is not None:
        path.write_text(content)
    status, _, err = run("audit", clean, "--check", path)
    assert status == 2
    assert any(part in err for part in says.split("|"))
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_the_report_is_a_page_most_important_first(
    faulty: Path, tmp_path: Path, run: Any, name: str
) -> None:
    path = tmp_path / name
    run("audit", faulty, "--report", path, "--contact-sheet", tmp_path / "sheets")
    text = path.read_text()
    titles = ["Files that cannot be read", "two labels", "two splits", "without colour", "Classes"]
    places = [text.rindex(title) for title in titles]
    assert places == sorted(places)
    assert "51 files, 2 classes; train 26, test 24." in text
    assert "What an audit cannot find" in text
    assert "contradiction-01.jpg" in text.replace("\\", "")
    # The folder's name is text, not markup.
    assert "<pictures>" not in text.replace("\\<pictures\\>", "")
    if name.endswith("md"):
        assert "| melanoma | 13 | 12 | 12 | 12 |" in text
    else:
        assert "<td>melanoma</td><td>13</td><td>12</td><td>12</td><td>12</td>" in text
        assert "<script" not in text


def test_contact_sheets_show_the_pictures_side_by_side(
    faulty: Path, tmp_path: Path, run: Any
) -> None:
    folder = tmp_path / "sheets"
    before = sorted(faulty.rglob("*"))
    assert "Contact sheets: 3 in" in run("audit", faulty, "--contact-sheet", folder)[1]
    assert sorted(p.name for p in folder.iterdir()) == [
        "contradiction-01.jpg",
        "crossing-01.jpg",
        "grey-01.jpg",
    ]
    with Image.open(folder / "contradiction-01.jpg") as sheet:
        # The same picture twice, in the left and in the right half of its row.
        left, right = (sheet.getpixel((x, 70)) for x in (70, 256))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    assert max(left) < 250
    assert all(abs(a - b) < 12 for a, b in zip(left, right, strict=True))
    assert sorted(faulty.rglob("*")) == before


def test_many_findings_make_several_sheets(clean: Path, tmp_path: Path, run: Any) -> None:
    root = shutil.copytree(clean, tmp_path / "set")
    for seed in range(13):
        shutil.copy(
            root / f"train/nevus/image-{seed % 12:03d}.png", root / f"train/melanoma/{seed}.png"
        )
        shutil.copy(
            root / f"train/melanoma/image-{12 + seed % 12:03d}.png",
            root / f"train/nevus/{seed}.png",
        )
    run("audit", root, "--contact-sheet", tmp_path / "sheets")
    names = sorted(p.name for p in (tmp_path / "sheets").iterdir())
    assert names[:2] == ["contradiction-01.jpg", "contradiction-02.jpg"]


def test_contact_sheets_go_neither_into_the_set_nor_into_a_repository(
    faulty: Path, tmp_path: Path, run: Any
) -> None:
    assert (
        "lies inside the audited folder"
        in run(*("audit", faulty, "--contact-sheet", faulty / "sheets"))[2]
    )
    (tmp_path / "code" / ".git").mkdir(parents=True)
    status, _, err = run("audit", faulty, "--contact-sheet", tmp_path / "code" / "a" / "b")
    assert status == 2
    assert "lies in a git repository" in err
    assert not (tmp_path / "code" / "a").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("{tmp}/nowhere",), "There is no folder"),
        (("{tmp}",), "holds no picture; lay them out as <split>/<class>/"),
        (("{clean}", "--wrong-label", "nevus"), "write it as WRONG=RIGHT"),
        (("{clean}", "--metadata", "{tmp}/none.csv"), "none.csv cannot be read"),
        (("{clean}", "--report", "{tmp}/no/report.md"), "report.md cannot be written"),
        (("{clean}", "--manifest", "{tmp}/no/m.csv"), "m.csv cannot be written"),
        (("{clean}", "--contact-sheet", "{tmp}/a file/x"), "cannot be written to"),
    ],
)
def test_what_cannot_be_done_is_one_plain_line_and_status_2(
    clean: Path, tmp_path: Path, run: Any, arguments: tuple[str, ...], says: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    if "--contact-sheet" in arguments:
        (empty / "a file").write_text("")
    given = [a.format(tmp=empty, clean=clean) for a in arguments]
    status, _, err = run("audit", *given)
    assert status == 2
    assert err.startswith("mlcore: ")
    assert says in err
    assert len(err.splitlines()) == 1


def test_a_rule_on_the_command_line_decides_between_two_labels(
    clean: Path, tmp_path: Path, run: Any
) -> None:
    root = shutil.copytree(clean, tmp_path / "set")
    shutil.copy(root / "train/nevus/image-000.png", root / COPY)
    path = tmp_path / "m.csv"
    run("audit", root, "--wrong-label", "melanoma=nevus", "--manifest", path)
    row = next(row for row in read_manifest(path) if row.action == "drop")
    assert row.file == COPY
    assert row.evidence.endswith("of melanoma and nevus, melanoma is the wrong one by rule")


@pytest.mark.parametrize("bits", ["-1", "257", "few"])
def test_bits_are_those_of_the_hash(clean: Path, run: Any, bits: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("audit", clean, "--bits", bits)
    assert stopped.value.code == 2


def test_a_bar_is_drawn_where_somebody_watches() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert progress(io.StringIO()) is None
    stream = Terminal()
    tell = progress(stream)
    assert tell is not None
    for done in range(1, 301):
        tell("reading", done, 300)
    assert stream.getvalue().endswith("] 300 of 300\n")
    assert stream.getvalue().count("\r") <= 32


@pytest.fixture
def own_manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let the committed manifests be written elsewhere."""
    monkeypatch.setattr(curation, "_FOLDER", tmp_path)
    curation.forget()
    yield tmp_path
    curation.forget()


def test_curate_writes_what_training_leaves_out(
    tmp_path: Path, own_manifests: Path, run: Any
) -> None:
    make_folder_set(tmp_path, "isic9", train=2, test=1)
    root = tmp_path / "isic9"
    right = min((root / "test" / "actinic keratosis").iterdir())
    shutil.copy(right, root / "train" / "nevus" / "b.jpg")
    assert curation.dropped_files("isic9") == frozenset()
    status, out, _ = run("curate", "--data", tmp_path)
    assert status == 0
    assert out.startswith("28 files of isic9: keep ")
    assert "drop 1:" in out
    assert curation.dropped_files("isic9") == {"isic9/train/nevus/b.jpg"}
    with (own_manifests / "curation_isic9.csv").open(newline="") as stream:
        row = next(r for r in csv.DictReader(stream) if r["action"] == "drop")
    assert row["reason"] == "contradictory label: the same picture stands under another label"
    assert "of actinic keratosis and nevus, nevus is the wrong one by rule" in row["evidence"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the image sets are not on this machine")
def test_the_committed_manifest_is_the_one_of_the_set_on_this_machine(run: Any) -> None:
    path = Path(curation.__file__).parent / "curation_isic9.csv"
    assert run("audit", REAL / "isic9", "--check", path)[0] == 0
