"""Pictures unlike the others, and marks that give a class away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mlcore.audit.audit import Question, audit
from mlcore.audit.outliers import cramers_v, robust_z
from tests.mlcore.audit_runs import action_of, found
from tests.mlcore.audited import SIZE, put_picture, skin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
def test_an_odd_picture_is_found_and_left_to_a_person(image_set: Path, kind: str) -> None:
    change, says = ODD[kind]
    put_picture(image_set / "train" / "nevus" / "odd.png", change(skin(70)))
    done = audit(Question(image_set))
    named = [f for f in done.findings if f.kind == kind]
    assert [f.files for f in named] == [("train/nevus/odd.png",)]
    assert says in named[0].says
    assert {f.files for f in done.findings} == {("train/nevus/odd.png",)}
    assert action_of(done, "train/nevus/odd.png")[0] == "review"


def test_a_picture_too_small_for_the_application(image_set: Path) -> None:
    put_picture(image_set / "train" / "nevus" / "small.png", skin(72, (50, 40)))
    assert [f.says for f in found(image_set)["odd_size"]] == [
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
