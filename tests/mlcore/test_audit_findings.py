"""Every fault that an audit claims to find, planted in a clean folder, and the clean folder."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from mlcore.audit.audit import Question, audit
from mlcore.audit.findings import KINDS
from mlcore.audit.layout import read_layout, worth
from mlcore.audit.outliers import cramers_v, robust_z
from mlcore.audit.pairs import LIKENESS, likeness_of, turn_thumb
from mlcore.data.hashing import TURNS
from mlcore.data.sets import DataError
from mlcore.labels import label_set
from tests.mlcore.audited import SIZE, clean_set, put_picture, skin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlcore.audit.audit import Audit
    from mlcore.audit.findings import Finding
    from mlcore.labels import LabelSet

# image-000 to 011 are train/nevus, then train/melanoma, test/nevus, test/melanoma.
TRAINED = "train/nevus/image-000.png"
OTHER_CLASS = "train/melanoma/copy.png"
TESTED = "test/nevus/image-024.png"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with nothing wrong; never write into it."""
    return clean_set(tmp_path_factory.mktemp("clean"))


@pytest.fixture
def root(clean: Path, tmp_path: Path) -> Path:
    """Return a copy of the clean folder, to plant a fault in."""
    return shutil.copytree(clean, tmp_path / "set")


def found(root: Path, labels: LabelSet | None = None) -> dict[str, list[Finding]]:
    """Return the findings by kind."""
    by_kind: dict[str, list[Finding]] = {}
    for finding in audit(Question(root, labels)).findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    return by_kind


def _action(done: Audit, name: str) -> tuple[str, str]:
    row = next(row for row in done.rows if row.file == name)
    return row.action, row.reason


def test_a_clean_folder_has_no_finding(clean: Path) -> None:
    done = audit(Question(clean))
    assert done.findings == ()
    assert [row.action for row in done.rows] == ["keep"] * 48
    assert all(len(row.sha256) == 64 and not row.reason for row in done.rows)


@pytest.mark.parametrize("flat", [True, False])
def test_folders_without_splits_or_classes_are_read_too(tmp_path: Path, flat: bool) -> None:
    for seed in range(24):
        folder = tmp_path if flat else tmp_path / ("nevus" if seed % 2 else "melanoma")
        put_picture(folder / f"{seed}.png", skin(seed))
    done = audit(Question(tmp_path))
    assert done.findings == ()
    assert {row.label for row in done.rows} == ({""} if flat else {"nevus", "melanoma"})


def test_the_layout_knows_splits_by_their_names(tmp_path: Path) -> None:
    for name in ("Train/a", "val/a", "test/b", "notes"):
        put_picture(tmp_path / name / "x.png", skin(1))
    (tmp_path / "test" / "empty").mkdir()
    (tmp_path / "test" / "b" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "test" / "b" / ".hidden.png").write_bytes(b"x")
    put_picture(tmp_path / "loose.png", skin(2))
    layout = read_layout(tmp_path)
    assert layout.splits == ("Train", "val", "test")
    assert [(i.split, i.label) for i in layout.items] == [
        ("Train", "a"),
        ("test", "b"),
        ("val", "a"),
    ]
    assert ("test", "empty") in layout.folders
    assert layout.stray == ("loose.png",)
    assert layout.beside == 1
    assert worth("TEST") < worth("val") < worth("train") < worth("")


# --- files


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "The file is empty."),
        (b"hello", "This is not a picture."),
        (b"%PDF-1.7 ...", "This is a PDF document."),
        (b"GIF89a...........", "This kind of picture is not supported."),
        (None, "ends too early"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    root: Path, content: bytes | None, says: str
) -> None:
    broken = root / "train" / "nevus" / "broken.jpg"
    if content is None:
        buffer = io.BytesIO()
        skin(90).save(buffer, "JPEG")
        content = buffer.getvalue()[:900]
    broken.write_bytes(content)
    done = audit(Question(root))
    assert [f.kind for f in done.findings] == ["unreadable"]
    assert done.findings[0].files == ("train/nevus/broken.jpg",)
    assert says in done.findings[0].says
    assert _action(done, "train/nevus/broken.jpg") == ("drop", "cannot be read")


def test_a_file_that_may_not_be_opened_is_a_finding_and_no_traceback(root: Path) -> None:
    (root / "train" / "nevus" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    kinds = found(root)
    assert list(kinds) == ["unreadable"]
    assert "cannot be read from the disk: No such file" in kinds["unreadable"][0].says


def test_tables_and_notes_are_no_pictures(root: Path) -> None:
    (root / "train" / "nevus" / "list.csv").write_text("a,b\n")
    (root / "train" / "nevus" / "remarks.doc").write_bytes(b"Some words")
    done = audit(Question(root))
    assert done.findings == ()
    assert len(done.rows) == 48


def test_a_name_that_says_another_format(root: Path) -> None:
    put_picture(root / "train" / "nevus" / "a.jpg", skin(91), "PNG")
    put_picture(root / "train" / "nevus" / "b", skin(92), "JPEG")
    says = [f.says for f in found(root)["suffix"]]
    assert says == ["train/nevus/a.jpg holds PNG.", "train/nevus/b holds JPEG."]


def test_a_picture_beside_the_classes(root: Path) -> None:
    put_picture(root / "train" / "loose.png", skin(93))
    assert [f.files for f in found(root)["stray"]] == [("train/loose.png",)]


def test_names_that_clash(root: Path) -> None:
    put_picture(root / "test" / "melanoma" / "IMAGE-000.jpg", skin(94), quality=95)
    clash = found(root)["name_clash"]
    assert [f.files for f in clash] == [("test/melanoma/IMAGE-000.jpg", TRAINED)]


def test_the_same_picture_twice_is_no_clash_of_names(root: Path) -> None:
    shutil.copy(root / TRAINED, root / "train" / "melanoma" / "image-000.png")
    assert set(found(root)) == {"contradiction"}


# --- copies


def _recompressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=45)
    return Image.open(buffer)


COPIES: dict[str, tuple[Callable[[Image.Image], Image.Image], str]] = {
    "saved again": (lambda image: image, "same pixels as"),
    "recompressed": (_recompressed, "looks like"),
    "squashed": (lambda image: image.resize((90, 90)), "looks like"),
    "larger": (lambda image: image.resize((300, 240)), "looks like"),
    "darker": (lambda image: ImageEnhance.Brightness(image).enhance(0.7), "looks like"),
    "other colours": (lambda image: ImageEnhance.Color(image).enhance(0.3), "looks like"),
    "mirrored": (ImageOps.mirror, "mirrored left to right"),
    "upside down": (ImageOps.flip, "mirrored top to bottom"),
    "quarter turn": (lambda image: image.transpose(Image.Transpose.ROTATE_90), "turned by"),
    "half turn": (lambda image: image.transpose(Image.Transpose.ROTATE_180), "turned by 180°"),
    "transposed": (lambda image: image.transpose(Image.Transpose.TRANSPOSE), "diagonal"),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_in_the_same_class_is_a_repeat(root: Path, how: str) -> None:
    change, says = COPIES[how]
    with Image.open(root / TRAINED) as image:
        # Compressed harder, so that not even the unchanged copy has the same bytes.
        put_picture(root / "train" / "nevus" / "zz.png", change(image), compress_level=1)
    done = audit(Question(root))
    repeats = [f for f in done.findings if f.kind == "repeat"]
    assert [f.files for f in repeats] == [(TRAINED, "train/nevus/zz.png")]
    assert says in repeats[0].says
    assert _action(done, TRAINED)[0] == "keep"
    action, reason = _action(done, "train/nevus/zz.png")
    assert (action, reason.split(";")[0]) == ("drop", "repeats another picture of the same label")
    assert done.groups == {TRAINED: TRAINED, "train/nevus/zz.png": TRAINED}


def test_a_copy_byte_for_byte_in_another_class_contradicts(root: Path) -> None:
    shutil.copy(root / TRAINED, root / OTHER_CLASS)
    done = audit(Question(root))
    assert [f.kind for f in done.findings] == ["contradiction"]
    assert done.findings[0].files == (OTHER_CLASS, TRAINED)
    assert done.findings[0].says == f"melanoma and nevus: {OTHER_CLASS} same bytes as {TRAINED}."
    # Nobody knows which is right: a person decides about both.
    assert {_action(done, name)[0] for name in (OTHER_CLASS, TRAINED)} == {"review"}


def test_a_rule_says_which_copy_is_wrong(root: Path) -> None:
    shutil.copy(root / TRAINED, root / OTHER_CLASS)
    rule = {frozenset({"nevus", "melanoma"}): "melanoma"}
    done = audit(Question(root, wrong_copy=rule))
    assert _action(done, OTHER_CLASS) == (
        "drop",
        "contradictory label: the same picture stands under another label",
    )
    assert _action(done, TRAINED) == ("keep", "")


def test_a_mirrored_copy_in_another_class_and_split_contradicts_and_crosses(root: Path) -> None:
    with Image.open(root / TESTED) as image:
        put_picture(root / OTHER_CLASS, ImageOps.mirror(image))
    done = audit(Question(root))
    assert [f.kind for f in done.findings] == ["contradiction", "crossing"]
    assert {f.files for f in done.findings} == {(TESTED, OTHER_CLASS)}
    # The copy in training goes, whatever its label; the test stays as published.
    assert _action(done, OTHER_CLASS) == ("drop", "the same picture is in the test split")
    assert _action(done, TESTED)[0] == "keep"


def test_a_wrong_label_inside_the_test_split_is_left_to_a_person(root: Path) -> None:
    shutil.copy(root / TESTED, root / "test" / "melanoma" / "copy.png")
    rule = {frozenset({"nevus", "melanoma"}): "melanoma"}
    done = audit(Question(root, wrong_copy=rule))
    assert _action(done, "test/melanoma/copy.png")[0] == "review"
    assert _action(done, TESTED)[0] == "review"


def test_a_test_picture_is_never_dropped_as_a_repeat(root: Path) -> None:
    shutil.copy(root / TESTED, root / "test" / "nevus" / "zz.png")
    assert _action(audit(Question(root)), "test/nevus/zz.png")[0] == "review"


def test_round_black_fields_do_not_make_two_lesions_alike(root: Path) -> None:
    mask = Image.new("L", SIZE, 0)
    ImageDraw.Draw(mask).ellipse((8, -4, SIZE[0] - 8, SIZE[1] + 4), fill=255)
    for seed in range(60, 66):
        field = Image.composite(skin(seed), Image.new("RGB", SIZE), mask)
        put_picture(root / "train" / "nevus" / f"round-{seed}.png", field)
    assert not {"repeat", "crossing", "contradiction"} & set(found(root))


def test_flat_pictures_are_compared_by_pixels_only(root: Path) -> None:
    for number, level in enumerate((10, 10, 200)):
        flat = Image.new("RGB", SIZE, (level, level, level))
        put_picture(root / "train" / "nevus" / f"flat-{number}.png", flat)
    kinds = found(root)
    assert [f.files[0][-10:] for f in kinds["blank"]] == ["flat-0.png", "flat-1.png", "flat-2.png"]
    assert [f.files[0][-10:] for f in kinds["repeat"]] == ["flat-0.png"]


def test_a_turned_thumbnail_is_what_its_hash_saw() -> None:
    image = skin(3, (96, 96))
    thumb = np.asarray(image.resize((24, 24), Image.Resampling.BOX))
    for number, turn in enumerate(TURNS):
        turned = np.asarray(image.transpose(turn).resize((24, 24), Image.Resampling.BOX))
        assert likeness_of(turn_thumb(thumb, number + 1), turned) > 0.999
    other = np.asarray(skin(4).resize((24, 24)))
    assert likeness_of(thumb, other) < LIKENESS
    assert likeness_of(thumb, np.full_like(thumb, 90)) == 0


def test_a_picture_that_another_set_holds_too(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "archive"
    with Image.open(root / TRAINED) as image:
        put_picture(other / "00.jpg", image.resize((90, 90)), "JPEG", quality=80)
    put_picture(other / "01.png", skin(300))
    # Copies inside the set are found as without the other one.
    shutil.copy(root / TRAINED, root / OTHER_CLASS)
    done = audit(Question(root, beside=(other,)))
    assert [(f.kind, f.files) for f in done.findings] == [
        ("contradiction", (OTHER_CLASS, TRAINED)),
        ("elsewhere", (OTHER_CLASS,)),
    ]
    assert "looks like archive:00.jpg" in done.findings[1].says
    assert len(done.rows) == 49
    assert done.groups[TRAINED] == OTHER_CLASS
    assert "another set holds the same picture" in _action(done, OTHER_CLASS)[1]
    with pytest.raises(DataError, match="is the audited folder itself"):
        audit(Question(root, beside=(root,)))


# --- classes


def test_one_class_only(tmp_path: Path) -> None:
    for seed in range(12):
        put_picture(tmp_path / "nevus" / f"{seed}.png", skin(seed))
    assert [f.says for f in found(tmp_path)["one_class"]] == [
        "nevus is the only class; put the other classes in folders beside it."
    ]


def test_an_empty_class_and_one_that_a_split_lacks(root: Path) -> None:
    (root / "train" / "dermatofibroma").mkdir()
    assert [f.says for f in found(root)["empty_class"]] == [
        "The class folder test/dermatofibroma does not exist.",
        "The class folder train/dermatofibroma holds no readable picture.",
    ]


def test_a_class_of_which_no_picture_can_be_read_is_empty(root: Path) -> None:
    (root / "train" / "dermatofibroma").mkdir()
    (root / "train" / "dermatofibroma" / "a.jpg").write_bytes(b"no")
    assert len(found(root)["empty_class"]) == 2


def test_a_class_that_is_no_label(root: Path) -> None:
    (root / "train" / "nevus").rename(root / "train" / "naevus")
    kinds = found(root, labels=label_set("isic9"))
    assert [f.says for f in kinds["unknown_class"]] == [
        "The class train/naevus is named after no label of isic9."
    ]
    assert "The class folder train/nevus does not exist." in [f.says for f in kinds["empty_class"]]


def test_tiny_and_lopsided_classes(root: Path) -> None:
    for path in sorted((root / "train" / "melanoma").iterdir())[1:]:
        path.unlink()
    kinds = found(root)
    assert [f.says for f in kinds["tiny_class"]] == ["train/melanoma has 1 picture."]
    assert [f.says for f in kinds["imbalance"]] == [
        "train/nevus has 12 pictures and train/melanoma 1: 12 to 1."
    ]


# --- outliers


def _grey(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("RGB")


def _bars(image: Image.Image) -> Image.Image:
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, SIZE[0], 14), fill="black")
    pen.rectangle((0, SIZE[1] - 14, SIZE[0], SIZE[1]), fill="black")
    return image


def _round(image: Image.Image) -> Image.Image:
    mask = Image.new("L", SIZE, 0)
    ImageDraw.Draw(mask).ellipse((0, -8, SIZE[0], SIZE[1] + 8), fill=255)
    return Image.composite(image, Image.new("RGB", SIZE), mask)


def _diagram(_: Image.Image) -> Image.Image:
    image = Image.new("RGB", SIZE, (250, 250, 225))
    pen = ImageDraw.Draw(image)
    pen.rectangle((20, 20, 40, 70), fill=(120, 160, 200))
    pen.line((60, 10, 100, 80), fill="black", width=3)
    return image


ODD: dict[str, tuple[Callable[[Image.Image], Image.Image], str]] = {
    "grey": (_grey, "has no colour"),
    "border": (_bars, "black or white bars (30% of the picture)"),
    "dark_corners": (_round, "has black corners"),
    "drawing": (_diagram, "has exactly one colour"),
    "odd_colour": (lambda _: Image.merge("RGB", skin(70).split()[::-1]), "unusually blue"),
    "odd_size": (lambda _: skin(71, (400, 80)), "its shape is"),
    "blank": (lambda _: Image.new("RGB", SIZE, (205, 160, 140)), "one flat colour"),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_picture_is_found_and_left_to_a_person(root: Path, kind: str) -> None:
    change, says = ODD[kind]
    put_picture(root / "train" / "nevus" / "odd.png", change(skin(70)))
    done = audit(Question(root))
    named = [f for f in done.findings if f.kind == kind]
    assert [f.files for f in named] == [("train/nevus/odd.png",)]
    assert says in named[0].says
    assert {f.files for f in done.findings} == {("train/nevus/odd.png",)}
    assert _action(done, "train/nevus/odd.png")[0] == "review"


def test_a_picture_too_small_for_the_application(root: Path) -> None:
    put_picture(root / "train" / "nevus" / "small.png", skin(72, (50, 40)))
    assert [f.says for f in found(root)["odd_size"]] == [
        "train/nevus/small.png is 50 by 40 pixels; the application refuses under 64."
    ]


def test_a_mark_that_a_class_has_gives_it_away(tmp_path: Path) -> None:
    for seed in range(40):
        melanoma = seed % 2
        image = _round(skin(seed)) if melanoma else skin(seed)
        put_picture(tmp_path / ("melanoma" if melanoma else "nevus") / f"{seed}.png", image)
    kinds = found(tmp_path)
    assert "black corners: 100% of melanoma, 0% of nevus" in kinds["shortcut"][0].says
    # What half of the set has is no outlier.
    assert "dark_corners" not in kinds


def test_a_size_that_a_class_has_gives_it_away(tmp_path: Path) -> None:
    for seed in range(40):
        size = (120, 96) if seed % 2 else (125, 100)
        put_picture(tmp_path / ("a" if seed % 2 else "b") / f"{seed}.png", skin(seed, size))
    assert "The size tells the class" in found(tmp_path)["shortcut"][0].says


def test_robust_scores_and_association() -> None:
    values = np.array([1.0] * 10 + [2.0] * 20 + [3.0] * 10 + [50.0])
    z = robust_z(values, floor=0.1)
    assert z[-1] == pytest.approx(48 / 1.4826, rel=0.6)
    assert abs(robust_z(values, floor=100.0)[-1]) < 1
    assert not robust_z(np.array([1.0, 9.0]), 0.1).any()
    assert cramers_v(["a"] * 30 + ["b"] * 30, ["x"] * 30 + ["y"] * 30) == pytest.approx(1, abs=0.01)
    assert cramers_v(["a", "b"] * 30, ["x", "x", "y", "y"] * 15) == 0
    assert cramers_v(["a"] * 30, ["x", "y"] * 15) == 0


# --- tables


def test_a_lesion_in_two_splits_is_found_through_the_table(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "metadata.csv"
    table.write_text(
        "lesion_id,image_id,age\nHAM_1,IMAGE-000,50\nHAM_1,image-024,50\n"
        "HAM_2,image-001,40\nHAM_2,image-013,40\nHAM_3,nothing,1\n"
    )
    done = audit(Question(root, tables=(table,)))
    assert [(f.kind, f.says) for f in done.findings] == [
        ("group_crossing", "lesion_id HAM_1: 2 files in test and train."),
        ("group_labels", "lesion_id HAM_2: 2 files under melanoma and nevus."),
    ]
    assert _action(done, TRAINED)[0] == "drop"
    assert _action(done, TESTED)[0] == "keep"
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


def test_folder_and_table_that_disagree(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text(f"file,label\n{TRAINED},melanoma\n{TESTED},melanoma\n")
    done = audit(Question(root, tables=(table,)))
    assert {f.kind for f in done.findings} == {"label_differs"}
    row = next(row for row in done.rows if row.file == TRAINED)
    assert (row.action, row.label) == ("relabel", "melanoma")
    assert _action(done, TESTED)[0] == "review"


def test_two_photographs_of_one_lesion_are_no_repeat(root: Path, tmp_path: Path) -> None:
    with Image.open(root / TRAINED) as image:
        put_picture(
            root / "train" / "nevus" / "zz.png", ImageEnhance.Brightness(image).enhance(0.8)
        )
    table = tmp_path / "t.csv"
    table.write_text("image,lesion_id\nimage-000.png,L1\nzz.png,L1\n")
    done = audit(Question(root, tables=(table,)))
    assert done.findings == ()
    assert _action(done, "train/nevus/zz.png") == ("keep", "")
    assert done.groups["train/nevus/zz.png"] == TRAINED


def test_of_a_lesion_photographed_twice_only_the_true_copy_is_a_repeat(
    root: Path, tmp_path: Path
) -> None:
    with Image.open(root / TRAINED) as image:
        put_picture(root / "train" / "nevus" / "y.png", ImageEnhance.Brightness(image).enhance(0.8))
    shutil.copy(root / TRAINED, root / "train" / "nevus" / "z.png")
    table = tmp_path / "t.csv"
    table.write_text("image,lesion_id\nimage-000.png,L1\ny.png,L1\nz.png,L1\n")
    done = audit(Question(root, tables=(table,)))
    assert [f.files for f in done.findings] == [(TRAINED, "train/nevus/z.png")]
    assert [row.file for row in done.rows if row.action == "drop"] == ["train/nevus/z.png"]


def test_groups_of_two_tables_join(root: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text("image,lesion_id\nimage-000,L1\nimage-001,L1\n")
    other.write_text("image,group\nimage-001,7\nimage-024,7\n")
    done = audit(Question(root, tables=(one, other)))
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
    clean: Path, tmp_path: Path, content: str | bytes | None, says: str
) -> None:
    table = tmp_path / "t.csv"
    if content is not None:
        table.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=says):
        audit(Question(clean, tables=(table,)))


def test_an_audit_says_the_same_twice(root: Path) -> None:
    shutil.copy(root / TRAINED, root / OTHER_CLASS)
    shutil.copy(root / TESTED, root / "train" / "nevus" / "zz.png")
    one, other = audit(Question(root)), audit(Question(root))
    assert one.findings == other.findings
    assert one.rows == other.rows


def test_kinds_stand_in_the_order_of_their_urgency() -> None:
    urgencies = [kind.urgency for kind in KINDS.values()]
    assert list(dict.fromkeys(urgencies)) == ["fix first", "decide", "look at"]
    assert urgencies == sorted(urgencies, key=["fix first", "decide", "look at"].index)
