"""Lesions and labels that a table tells."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageEnhance

from mlcore.audit.audit import Question, audit
from mlcore.data.tables import DataError
from tests.mlcore.audit_runs import TESTED, TRAINED, action_of
from tests.mlcore.audited import put_picture, skin

if TYPE_CHECKING:
    from pathlib import Path


# --- tables


def test_a_lesion_in_two_splits_is_found_through_the_table(image_set: Path, tmp_path: Path) -> None:
    table = tmp_path / "metadata.csv"
    table.write_text(
        "lesion_id,image_id,age\nHAM_1,IMAGE-000,50\nHAM_1,image-024,50\n"
        "HAM_2,image-001,40\nHAM_2,image-013,40\nHAM_3,nothing,1\n"
    )
    done = audit(Question(image_set, tables=(table,)))
    assert [(f.kind, f.says) for f in done.findings] == [
        ("group_crossing", "lesion_id HAM_1: 2 files in test and train."),
        ("group_labels", "lesion_id HAM_2: 2 files under melanoma and nevus."),
    ]
    assert action_of(done, TRAINED)[0] == "drop"
    assert action_of(done, TESTED)[0] == "keep"
    assert done.groups[TRAINED] == done.groups[TESTED] == TESTED
    assert done.notes == (
        "1 rows of metadata.csv name no file of this folder.",
        "metadata.csv says nothing of 44 files.",
    )


def test_a_flat_folder_takes_its_classes_from_the_table(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    rows = ["isic_id,dx"]
    for seed in range(24):
        put_picture(folder / f"{seed}.png", skin(seed))
        rows.append(f"{seed},{'mel' if seed % 2 else 'nv'}")
    shutil.copy(folder / "0.png", folder / "99.png")
    rows.append("99,mel")
    table = tmp_path / "t.csv"
    table.write_text("\n".join(rows))
    done = audit(Question(folder, tables=(table,)))
    assert [f.kind for f in done.findings] == ["contradiction"]
    assert done.counts["", "mel"] == 13


def test_folder_and_table_that_disagree(image_set: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text(f"file,label\n{TRAINED},melanoma\n{TESTED},melanoma\n")
    done = audit(Question(image_set, tables=(table,)))
    assert {f.kind for f in done.findings} == {"label_differs"}
    row = next(row for row in done.rows if row.file == TRAINED)
    assert (row.action, row.label) == ("relabel", "melanoma")
    assert action_of(done, TESTED)[0] == "review"


def test_two_photographs_of_one_lesion_are_no_repeat(image_set: Path, tmp_path: Path) -> None:
    with Image.open(image_set / TRAINED) as image:
        put_picture(
            image_set / "train" / "nevus" / "zz.png", ImageEnhance.Brightness(image).enhance(0.8)
        )
    table = tmp_path / "t.csv"
    table.write_text("image,lesion_id\nimage-000.png,L1\nzz.png,L1\n")
    done = audit(Question(image_set, tables=(table,)))
    assert done.findings == ()
    assert action_of(done, "train/nevus/zz.png") == ("keep", "")
    assert done.groups["train/nevus/zz.png"] == TRAINED


def test_of_a_lesion_photographed_twice_only_the_true_copy_is_a_repeat(
    image_set: Path, tmp_path: Path
) -> None:
    with Image.open(image_set / TRAINED) as image:
        put_picture(
            image_set / "train" / "nevus" / "y.png", ImageEnhance.Brightness(image).enhance(0.8)
        )
    shutil.copy(image_set / TRAINED, image_set / "train" / "nevus" / "z.png")
    table = tmp_path / "t.csv"
    table.write_text("image,lesion_id\nimage-000.png,L1\ny.png,L1\nz.png,L1\n")
    done = audit(Question(image_set, tables=(table,)))
    assert [f.files for f in done.findings] == [(TRAINED, "train/nevus/z.png")]
    assert [row.file for row in done.rows if row.action == "drop"] == ["train/nevus/z.png"]


def test_groups_of_two_tables_join(image_set: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text("image,lesion_id\nimage-000,L1\nimage-001,L1\n")
    other.write_text("image,group\nimage-001,7\nimage-024,7\n")
    done = audit(Question(image_set, tables=(one, other)))
    assert [f.kind for f in done.findings] == ["group_crossing"]
    assert len(done.findings[0].files) == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,b\n1,2\n", "has the columns a, b; it needs one for the file"),
        ("image,age\nimage-000,3\n", "it needs one for the file"),
        ("", r"has the columns \(none\)"),
        ("image,lesion\nelsewhere,1\n", "No row of .* names a picture"),
        (b"\xff\xfe\x00image", "is not a table in CSV form"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_table_of_no_use_is_said(
    clean_image_set: Path, tmp_path: Path, content: str | bytes | None, says: str
) -> None:
    table = tmp_path / "t.csv"
    if content is not None:
        table.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=says):
        audit(Question(clean_image_set, tables=(table,)))
