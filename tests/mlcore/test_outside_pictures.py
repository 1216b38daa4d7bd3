"""Pictures from outside: two halves that share nothing, and drawn skin of every tone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from mlcore.data.outside import (
    DEVELOPMENT,
    HELD_OUT,
    deal_outside,
    drawn_plain_skin,
    drawn_skin,
    half_of,
    other_modality,
    read_pictures,
    without_twins,
)
from mlcore.data.tables import DataError
from mlcore.drawing import CLINICAL_KINDS, DERMOSCOPY_KINDS, draw_clinical, draw_not_skin
from mlcore.labels import label_set

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SIZE = (96, 80)


def write(folder: Path, pictures: Iterable[tuple[str, Image.Image]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures:
        picture.save(folder / name, quality=95)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for label in label_set("clinical5").labels:
        for split in ("train", "test"):
            seed = len(label.key) + (split == "test")
            write(
                tmp_path / "clinical5" / split / label.folder,
                [("drawn.jpg", draw_clinical(label.key, seed=seed, size=SIZE))],
            )
    names = [f"diagnosis-{number}__picture-{seed}.jpg" for number in range(8) for seed in (1, 2)]
    write(
        tmp_path / "outside" / "other_skin",
        [(name, draw_not_skin("noise", seed=i, size=SIZE)) for i, name in enumerate(names)],
    )
    return tmp_path


def test_a_diagnosis_is_never_on_both_sides(root: Path) -> None:
    halves = deal_outside(root, "other_skin")
    sides = {half: {path.name.split("__")[0] for path in paths} for half, paths in halves.items()}
    assert sides[DEVELOPMENT]
    assert sides[HELD_OUT]
    assert not sides[DEVELOPMENT] & sides[HELD_OUT]
    assert sum(map(len, halves.values())) == 16


def test_the_side_never_changes() -> None:
    # Facts, not a definition: a released gate was fitted on these sides.
    assert half_of("n01494475_hammerhead.jpg") == DEVELOPMENT
    assert half_of("n01514668_cock.jpg") == DEVELOPMENT
    assert half_of("psoriasis__one.jpg") == HELD_OUT
    assert half_of("rosacea__x.jpg") == DEVELOPMENT
    names = [f"n{number}.jpg" for number in range(200)]
    share = sum(half_of(name) == DEVELOPMENT for name in names) / len(names)
    assert 0.4 < share < 0.6
    assert half_of("psoriasis__one.jpg") == half_of("psoriasis__two.jpg")


def test_what_stands_twice_is_left_out_of_the_later_side(root: Path) -> None:
    halves = deal_outside(root, "other_skin")
    folder = root / "outside" / "other_skin"
    own = next((root / "clinical5" / "train" / "acne").iterdir())
    copied, twin = halves[DEVELOPMENT][0], halves[HELD_OUT][0]
    copied.write_bytes(own.read_bytes())
    twin.write_bytes(halves[DEVELOPMENT][1].read_bytes())
    kept = without_twins(root, deal_outside(root, "other_skin"))
    assert set(folder.iterdir()) - {*kept[DEVELOPMENT], *kept[HELD_OUT]} == {copied, twin}


def test_a_missing_folder_is_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"not_skin has no picture for the development half"):
        deal_outside(root, "not_skin")


def test_what_the_intake_refuses_is_counted(tmp_path: Path) -> None:
    good, tiny, broken = (tmp_path / name for name in ("good.jpg", "tiny.jpg", "broken.jpg"))
    draw_not_skin("noise", seed=1, size=SIZE).save(good)
    Image.new("RGB", (20, 20)).save(tiny)
    broken.write_bytes(b"no picture")
    pictures, refused = read_pictures([good, tiny, broken])
    assert (len(pictures), refused) == (1, 2)


def test_drawn_skin_has_every_tone_and_kind() -> None:
    assert len(drawn_skin("clinical", seeds=[1])) == 6 * len(CLINICAL_KINDS)
    assert len(drawn_skin("dermoscopy", seeds=[1, 2])) == 2 * len(DERMOSCOPY_KINDS)
    plain = drawn_plain_skin(seeds=[1])
    assert len({picture.resize((1, 1)).getpixel((0, 0)) for picture in plain}) == 6


def test_the_other_modality() -> None:
    assert (other_modality("isic9"), other_modality("clinical5")) == ("clinical5", "isic9")
