"""Reading the public image sets, and what curation leaves out of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlcore.audit.manifest import CONTRADICTORY, Row, read_manifest, write_manifest
from mlcore.data import curation
from mlcore.data.sets import (
    HAM_LABELS,
    archive_id,
    data_root,
    ham_facts,
    read_folder_set,
    read_ham10000,
    read_picture,
)
from mlcore.data.tables import DataError
from mlcore.labels import label_set
from tests.mlcore.sets import make_folder_set, make_ham, put

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlcore.data.sets import Record


@pytest.fixture
def own_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let the curation manifest be read and written elsewhere."""
    monkeypatch.setattr(curation, "_FOLDER", tmp_path)
    curation.forget()
    yield tmp_path
    curation.forget()


def test_every_image_of_a_set_becomes_a_record(tmp_path: Path) -> None:
    make_folder_set(tmp_path, "clinical5", train=2, test=1)
    (tmp_path / "clinical5" / "train" / "acne" / "notes.txt").write_text("no image")
    records = read_folder_set(tmp_path, "clinical5")
    assert len(records) == 5 * 3
    assert {r.label for r in records} == set(label_set("clinical5").keys)
    assert [r.split for r in records].count("test") == 5
    assert all(r.source == "clinical5" and tmp_path / r.name == r.path for r in records)


def test_what_is_wrong_with_the_layout_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="clinical5/train is missing"):
        read_folder_set(tmp_path, "clinical5")
    make_folder_set(tmp_path, "clinical5", train=1, test=1)
    odd = tmp_path / "clinical5" / "test" / "warts"
    odd.mkdir()
    with pytest.raises(DataError, match=r"warts is named after no label.*Rename it.*acne, mel"):
        read_folder_set(tmp_path, "clinical5")
    odd.rmdir()
    for path in (tmp_path / "clinical5" / "test" / "acne").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="acne holds no image"):
        read_folder_set(tmp_path, "clinical5")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"image_id,lesion_id,age,sex,localization\nISIC_1,HAM_1,50,male,back\n", "no column dx"),
        (b"image_id,lesion_id,dx,age,sex,localization\nISIC_1,HAM_1\n", "cut short in line 2"),
        (b"image_id,lesion_id,dx,age,sex,localization\n\xff\xfe,,,,,\n", "no table in CSV form"),
        (b"", "no column image_id, lesion_id"),
    ],
)
def test_a_damaged_table_of_ham10000_is_named(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    make_ham(tmp_path, [("ISIC_0000001", "HAM_1", "nv", 1)])
    (tmp_path / "ham10000" / "metadata.csv").write_bytes(content)
    with pytest.raises(DataError, match=sentence) as said:
        ham_facts(tmp_path)
    assert "metadata.csv" in str(said.value)


def test_the_root_is_the_argument_then_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("MLCORE_DATA", str(other))
    assert data_root() == other
    assert data_root(tmp_path) == tmp_path
    monkeypatch.setenv("MLCORE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="pass --data FOLDER or set MLCORE_DATA"):
        data_root()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ISIC_0025509.jpg", "ISIC_0025509"),
        ("ISIC_0025509(1).jpg", "ISIC_0025509"),
        ("ISIC_0000013_downsampled.jpg", "ISIC_0000013"),
        ("acne-closed-comedo-12.jpg", "acne-closed-comedo-12"),
    ],
)
def test_copies_keep_the_archives_id(name: str, expected: str) -> None:
    assert archive_id(Path("x") / name) == expected


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    good = put(tmp_path / "good.jpg", 1)
    assert read_picture(good).size == (96, 80)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(good.read_bytes()[:200])
    with pytest.raises(DataError, match=r"bad\.jpg: .*whole copy in its place"):
        read_picture(bad)
    with pytest.raises(DataError, match=r"gone\.jpg cannot be read"):
        read_picture(tmp_path / "gone.jpg")


def test_ham10000_gives_the_diagnoses_that_fit_a_label(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="HAM10000 is missing"):
        read_ham10000(tmp_path)
    assert ham_facts(tmp_path) == {}
    make_ham(
        tmp_path,
        [
            ("ISIC_0000001", "HAM_1", "mel", 1),
            ("ISIC_0000002", "HAM_2", "akiec", 2),
            ("ISIC_0000003", "HAM_3", "nv", 3),
        ],
    )
    put(tmp_path / "ham10000" / "images" / "ISIC_0000009.jpg", 9)
    found = {(r.path.stem, r.label, r.source, r.split) for r in read_ham10000(tmp_path)}
    assert found == {
        ("ISIC_0000001", "melanoma", "ham10000", "train"),
        ("ISIC_0000003", "nevus", "ham10000", "train"),
    }
    assert ham_facts(tmp_path)["ISIC_0000002"].lesion == "HAM_2"
    assert set(HAM_LABELS.values()) < set(label_set("isic9").keys)
    assert "akiec" not in HAM_LABELS


def _drop(root: Path, record: Record, own_manifest: Path) -> None:
    sha256 = hashlib.sha256(record.path.read_bytes()).hexdigest()
    name = record.path.relative_to(root / record.source).as_posix()
    row = Row(name, "drop", "acne", "blurred", "seen", "", sha256)
    write_manifest([row], own_manifest / f"curation_{record.source}.csv")
    curation.forget()


def test_what_the_manifest_drops_is_not_read(tmp_path: Path, own_manifest: Path) -> None:
    make_folder_set(tmp_path, "clinical5", train=2, test=1)
    whole = read_folder_set(tmp_path, "clinical5")
    first = next(r for r in whole if r.split == "train")
    _drop(tmp_path, first, own_manifest)
    assert [r.name for r in read_folder_set(tmp_path, "clinical5")] == [
        r.name for r in whole if r is not first
    ]
    assert read_folder_set(tmp_path, "clinical5", curated=False) == whole


def test_another_file_under_a_dropped_name_is_said_and_not_dropped(
    tmp_path: Path, own_manifest: Path
) -> None:
    make_folder_set(tmp_path, "clinical5", train=2, test=1)
    first = next(r for r in read_folder_set(tmp_path, "clinical5") if r.split == "train")
    _drop(tmp_path, first, own_manifest)
    put(first.path, seed=77)
    with pytest.raises(DataError, match="is not the file that the curation manifest drops") as said:
        read_folder_set(tmp_path, "clinical5")
    assert first.path.name in str(said.value)
    assert len(read_folder_set(tmp_path, "clinical5", curated=False)) == 15


def test_the_committed_manifest_names_what_the_sets_notes_count() -> None:
    rows = read_manifest(curation.manifest_path("isic9"))
    assert len(rows) == 2241 + 118
    assert [row.file for row in rows] == sorted({row.file for row in rows})
    assert all(len(row.sha256) == 64 for row in rows)
    dropped = [row for row in rows if row.action == "drop"]
    assert all(row.file.startswith("train/") and row.evidence for row in dropped)
    contradictory = [row for row in dropped if row.reason == CONTRADICTORY]
    by_label = [row.label for row in contradictory]
    # 77 actinic keratoses stand in train/nevus too, 78 seborrheic keratoses in train/melanoma;
    # one of the latter stands there twice.
    assert (by_label.count("nevus"), by_label.count("melanoma")) == (77, 79)
    assert len(dropped) == len(contradictory) + 6
    # The kept copy of every dropped picture is in the manifest too, in the same group.
    kept = {row.group for row in rows if row.action != "drop"}
    assert all(row.group in kept for row in dropped)
