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
from mlcore.audit.pairs import LIKENESS, likeness_of, turn_thumb
from mlcore.data.hashing import TURNS
from mlcore.data.tables import DataError
from mlcore.labels import label_set
from tests.mlcore.audit_runs import OTHER_CLASS, TESTED, TRAINED, action_of, found
from tests.mlcore.audited import SIZE, put_picture, skin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_clean_folder_has_no_finding(clean_image_set: Path) -> None:
    done = audit(Question(clean_image_set))
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
    image_set: Path, content: bytes | None, says: str
) -> None:
    broken = image_set / "train" / "nevus" / "broken.jpg"
    if content is None:
        buffer = io.BytesIO()
        skin(90).save(buffer, "JPEG")
        content = buffer.getvalue()[:900]
    broken.write_bytes(content)
    done = audit(Question(image_set))
    assert [f.kind for f in done.findings] == ["unreadable"]
    assert done.findings[0].files == ("train/nevus/broken.jpg",)
    assert says in done.findings[0].says
    assert action_of(done, "train/nevus/broken.jpg") == ("drop", "cannot be read")


def test_a_file_that_may_not_be_opened_is_a_finding_and_no_traceback(image_set: Path) -> None:
    (image_set / "train" / "nevus" / "gone.jpg").symlink_to(image_set / "nowhere.jpg")
    kinds = found(image_set)
    assert list(kinds) == ["unreadable"]
    assert "cannot be read from the disk: No such file" in kinds["unreadable"][0].says


def test_tables_and_notes_are_no_pictures(image_set: Path) -> None:
    (image_set / "train" / "nevus" / "list.csv").write_text("a,b\n")
    (image_set / "train" / "nevus" / "remarks.doc").write_bytes(b"Some words")
    done = audit(Question(image_set))
    assert done.findings == ()
    assert len(done.rows) == 48


def test_a_name_that_says_another_format(image_set: Path) -> None:
    put_picture(image_set / "train" / "nevus" / "a.jpg", skin(91), "PNG")
    put_picture(image_set / "train" / "nevus" / "b", skin(92), "JPEG")
    says = [f.says for f in found(image_set)["suffix"]]
    assert says == ["train/nevus/a.jpg holds PNG.", "train/nevus/b holds JPEG."]


def test_a_picture_beside_the_classes(image_set: Path) -> None:
    put_picture(image_set / "train" / "loose.png", skin(93))
    assert [f.files for f in found(image_set)["stray"]] == [("train/loose.png",)]


def test_names_that_clash(image_set: Path) -> None:
    put_picture(image_set / "test" / "melanoma" / "IMAGE-000.jpg", skin(94), quality=95)
    clash = found(image_set)["name_clash"]
    assert [f.files for f in clash] == [("test/melanoma/IMAGE-000.jpg", TRAINED)]


def test_the_same_picture_twice_is_no_clash_of_names(image_set: Path) -> None:
    shutil.copy(image_set / TRAINED, image_set / "train" / "melanoma" / "image-000.png")
    assert set(found(image_set)) == {"contradiction"}


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
def test_a_copy_in_the_same_class_is_a_repeat(image_set: Path, how: str) -> None:
    change, says = COPIES[how]
    with Image.open(image_set / TRAINED) as image:
        # Compressed harder, so that not even the unchanged copy has the same bytes.
        put_picture(image_set / "train" / "nevus" / "zz.png", change(image), compress_level=1)
    done = audit(Question(image_set))
    repeats = [f for f in done.findings if f.kind == "repeat"]
    assert [f.files for f in repeats] == [(TRAINED, "train/nevus/zz.png")]
    assert says in repeats[0].says
    assert action_of(done, TRAINED)[0] == "keep"
    action, reason = action_of(done, "train/nevus/zz.png")
    assert (action, reason.split(";")[0]) == ("drop", "repeats another picture of the same label")
    assert done.groups == {TRAINED: TRAINED, "train/nevus/zz.png": TRAINED}


def test_a_copy_byte_for_byte_in_another_class_contradicts(image_set: Path) -> None:
    shutil.copy(image_set / TRAINED, image_set / OTHER_CLASS)
    done = audit(Question(image_set))
    assert [f.kind for f in done.findings] == ["contradiction"]
    assert done.findings[0].files == (OTHER_CLASS, TRAINED)
    assert done.findings[0].says == f"melanoma and nevus: {OTHER_CLASS} same bytes as {TRAINED}."
    # Nobody knows which is right: a person decides about both.
    assert {action_of(done, name)[0] for name in (OTHER_CLASS, TRAINED)} == {"review"}


def test_a_rule_says_which_copy_is_wrong(image_set: Path) -> None:
    shutil.copy(image_set / TRAINED, image_set / OTHER_CLASS)
    rule = {frozenset({"nevus", "melanoma"}): "melanoma"}
    done = audit(Question(image_set, wrong_copy=rule))
    assert action_of(done, OTHER_CLASS) == (
        "drop",
        "contradictory label: the same picture stands under another label",
    )
    assert action_of(done, TRAINED) == ("keep", "")


def test_a_mirrored_copy_in_another_class_and_split_contradicts_and_crosses(
    image_set: Path,
) -> None:
    with Image.open(image_set / TESTED) as image:
        put_picture(image_set / OTHER_CLASS, ImageOps.mirror(image))
    done = audit(Question(image_set))
    assert [f.kind for f in done.findings] == ["contradiction", "crossing"]
    assert {f.files for f in done.findings} == {(TESTED, OTHER_CLASS)}
    # The copy in training goes, whatever its label; the test stays as published.
    assert action_of(done, OTHER_CLASS) == ("drop", "the same picture is in the test split")
    assert action_of(done, TESTED)[0] == "keep"


def test_a_wrong_label_inside_the_test_split_is_left_to_a_person(image_set: Path) -> None:
    shutil.copy(image_set / TESTED, image_set / "test" / "melanoma" / "copy.png")
    rule = {frozenset({"nevus", "melanoma"}): "melanoma"}
    done = audit(Question(image_set, wrong_copy=rule))
    assert action_of(done, "test/melanoma/copy.png")[0] == "review"
    assert action_of(done, TESTED)[0] == "review"


def test_a_test_picture_is_never_dropped_as_a_repeat(image_set: Path) -> None:
    shutil.copy(image_set / TESTED, image_set / "test" / "nevus" / "zz.png")
    assert action_of(audit(Question(image_set)), "test/nevus/zz.png")[0] == "review"


def test_round_black_fields_do_not_make_two_lesions_alike(image_set: Path) -> None:
    mask = Image.new("L", SIZE, 0)
    ImageDraw.Draw(mask).ellipse((8, -4, SIZE[0] - 8, SIZE[1] + 4), fill=255)
    for seed in range(60, 66):
        field = Image.composite(skin(seed), Image.new("RGB", SIZE), mask)
        put_picture(image_set / "train" / "nevus" / f"round-{seed}.png", field)
    assert not {"repeat", "crossing", "contradiction"} & set(found(image_set))


def test_flat_pictures_are_compared_by_pixels_only(image_set: Path) -> None:
    for number, level in enumerate((10, 10, 200)):
        flat = Image.new("RGB", SIZE, (level, level, level))
        put_picture(image_set / "train" / "nevus" / f"flat-{number}.png", flat)
    kinds = found(image_set)
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


def test_a_picture_that_another_set_holds_too(image_set: Path, tmp_path: Path) -> None:
    other = tmp_path / "archive"
    with Image.open(image_set / TRAINED) as image:
        put_picture(other / "00.jpg", image.resize((90, 90)), "JPEG", quality=80)
    put_picture(other / "01.png", skin(300))
    # Copies inside the set are found as without the other one.
    shutil.copy(image_set / TRAINED, image_set / OTHER_CLASS)
    done = audit(Question(image_set, beside=(other,)))
    assert [(f.kind, f.files) for f in done.findings] == [
        ("contradiction", (OTHER_CLASS, TRAINED)),
        ("elsewhere", (OTHER_CLASS,)),
    ]
    assert "looks like archive:00.jpg" in done.findings[1].says
    assert len(done.rows) == 49
    assert done.groups[TRAINED] == OTHER_CLASS
    assert "another set holds the same picture" in action_of(done, OTHER_CLASS)[1]
    with pytest.raises(DataError, match="is the audited folder itself"):
        audit(Question(image_set, beside=(image_set,)))


# --- classes


def test_one_class_only(tmp_path: Path) -> None:
    for seed in range(12):
        put_picture(tmp_path / "nevus" / f"{seed}.png", skin(seed))
    assert [f.says for f in found(tmp_path)["one_class"]] == [
        "nevus is the only class; put the other classes in folders beside it."
    ]


def test_an_empty_class_and_one_that_a_split_lacks(image_set: Path) -> None:
    (image_set / "train" / "dermatofibroma").mkdir()
    assert [f.says for f in found(image_set)["empty_class"]] == [
        "The class folder test/dermatofibroma does not exist.",
        "The class folder train/dermatofibroma holds no readable picture.",
    ]


def test_a_class_of_which_no_picture_can_be_read_is_empty(image_set: Path) -> None:
    (image_set / "train" / "dermatofibroma").mkdir()
    (image_set / "train" / "dermatofibroma" / "a.jpg").write_bytes(b"no")
    assert len(found(image_set)["empty_class"]) == 2


def test_a_class_that_is_no_label(image_set: Path) -> None:
    (image_set / "train" / "nevus").rename(image_set / "train" / "naevus")
    kinds = found(image_set, labels=label_set("isic9"))
    assert [f.says for f in kinds["unknown_class"]] == [
        "The class train/naevus is named after no label of isic9."
    ]
    assert "The class folder train/nevus does not exist." in [f.says for f in kinds["empty_class"]]


def test_tiny_and_lopsided_classes(image_set: Path) -> None:
    for path in sorted((image_set / "train" / "melanoma").iterdir())[1:]:
        path.unlink()
    kinds = found(image_set)
    assert [f.says for f in kinds["tiny_class"]] == ["train/melanoma has 1 picture."]
    assert [f.says for f in kinds["imbalance"]] == [
        "train/nevus has 12 pictures and train/melanoma 1: 12 to 1."
    ]


def test_an_audit_says_the_same_twice(image_set: Path) -> None:
    shutil.copy(image_set / TRAINED, image_set / OTHER_CLASS)
    shutil.copy(image_set / TESTED, image_set / "train" / "nevus" / "zz.png")
    one, other = audit(Question(image_set)), audit(Question(image_set))
    assert one.findings == other.findings
    assert one.rows == other.rows


def test_kinds_stand_in_the_order_of_their_urgency() -> None:
    urgencies = [kind.urgency for kind in KINDS.values()]
    assert list(dict.fromkeys(urgencies)) == ["fix first", "decide", "look at"]
    assert urgencies == sorted(urgencies, key=["fix first", "decide", "look at"].index)
