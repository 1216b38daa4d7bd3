"""How often a picture is drawn: classes by their size, collections alike in every class."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlcore.data.archives import archive_of
from mlcore.data.sets import Record
from mlcore.labels import label_set
from mlcore.train.draws import chances
from mlcore.train.recipes import recipe_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEYS = label_set("clinical5").keys
RECIPE = recipe_named("clinical5_lite0")


def _records(counts: dict[tuple[str, str], int]) -> tuple[list[Record], NDArray[np.int64]]:
    """Return so many records of a label and an archive; HAM10000 is its own source too."""
    from pathlib import Path

    records = [
        Record(
            Path("x.jpg"),
            f"{label}-{archive}-{number}",
            label,
            "ham10000" if archive == "ham10000" else "isic9",
            "train",
            archive=archive,
        )
        for (label, archive), count in counts.items()
        for number in range(count)
    ]
    return records, np.array([KEYS.index(r.label) for r in records])


def _shares(counts: dict[tuple[str, str], int], **changed: Any) -> dict[tuple[str, str], float]:
    records, labels = _records(counts)
    found = chances(records, labels, replace(RECIPE, **changed))
    assert found.sum() == pytest.approx(1)
    return {
        cell: float(
            sum(p for p, r in zip(found, records, strict=True) if (r.label, r.archive) == cell)
        )
        for cell in counts
    }


@pytest.mark.parametrize(("power", "share"), [(0.0, 1 / 2), (0.5, 4 / 6), (1.0, 16 / 20)])
def test_classes_are_drawn_by_the_power_of_their_size(power: float, share: float) -> None:
    counts = {("acne", "one"): 16, ("melanoma", "one"): 4}
    assert _shares(counts, class_power=power)["acne", "one"] == pytest.approx(share)


def test_sources_share_the_draws_of_a_class() -> None:
    counts = {
        ("acne", "own"): 10,
        ("acne", "ham10000"): 1,
        ("melanoma", "own"): 10,
        ("melanoma", "ham10000"): 10,
    }
    shares = _shares(counts, class_power=0.0, ham_share=0.4)
    assert shares["melanoma", "ham10000"] == pytest.approx(0.5 * 0.4)
    # One picture of eleven is not drawn for two fifths of its class.
    assert shares["acne", "ham10000"] == pytest.approx(0.5 * 2 / 11)


def test_small_collections_of_a_class_are_drawn_more_often() -> None:
    counts = {
        ("acne", "a"): 90,
        ("acne", "b"): 10,
        ("melanoma", "a"): 5,
        ("melanoma", "b"): 60,
        ("vitiligo", "b"): 1,
    }
    even = _shares(counts, class_power=0.0, stratum_power=0.0)
    assert even["acne", "a"] == pytest.approx(even["acne", "b"]) == pytest.approx(1 / 6)
    assert even["vitiligo", "b"] == pytest.approx(1 / 3)
    shares = _shares(counts, class_power=1.0, stratum_power=0.5)
    assert shares["acne", "a"] / shares["acne", "b"] == pytest.approx(3)
    assert shares["melanoma", "b"] / shares["melanoma", "a"] == pytest.approx(12**0.5)
    assert shares["acne", "a"] + shares["acne", "b"] == pytest.approx(100 / 166)


def test_pictures_without_a_label_get_their_share() -> None:
    records, labels = _records({("acne", "a"): 6, ("melanoma", "a"): 2})
    labels = np.append(labels, [-1, -1, -1])
    found = chances([*records, *records[:3]], labels, replace(RECIPE, outside_share=0.2))
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found[-3:], 0.2 / 3)


@pytest.mark.parametrize(
    ("image", "in_ham", "archive"),
    [
        ("ISIC_0000013", False, "isic-0000"),
        ("ISIC_0009999", False, "isic-0001"),
        ("ISIC_0010491", False, "isic-0010"),
        ("ISIC_0025509", True, "ham10000"),
        ("ISIC_0025509", False, "isic-other"),
        ("a drawing", False, "isic-other"),
    ],
)
def test_the_number_tells_the_collection(image: str, in_ham: bool, archive: str) -> None:
    assert archive_of(image, in_ham=in_ham) == archive
