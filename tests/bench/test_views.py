"""Looking several ways: what the table says of two ways whose difference is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.views import VIEWS, table
from mlcore.data.sets import Record
from mlcore.labels import label_set
from mlcore.train.folds import HeldOut

KEYS = label_set("isic9").keys


def test_views_are_four_and_keep_every_pixel() -> None:
    squares = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    seen = {name: view(squares) for name, view in VIEWS.items()}
    assert len({view.tobytes() for view in seen.values()}) == 4
    for view in seen.values():
        assert view.shape == squares.shape
        assert sorted(view.ravel()) == sorted(squares.ravel())


def test_a_way_that_is_better_everywhere_gains_what_it_should() -> None:
    labels = np.arange(90) % 9
    records = [
        Record(Path(f"{n}.jpg"), f"{n}", KEYS[label], "isic9", "train", f"{n}", archive="ham10000")
        for n, label in enumerate(labels)
    ]
    held = HeldOut(records, labels, np.zeros((90, 9), np.float32), labels * 0)
    right = np.full((90, 9), 0.01)
    right[np.arange(90), labels] = 0.92
    # A third of every label is called something else.
    wrong = right.copy()
    third = np.arange(90) // 9 % 3 == 0
    wrong[third] = np.roll(right[third], 1, axis=1)
    rows = table("isic9", {"as it is": (held, wrong), "better": (held, right)})
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    found = {(c[0], c[1]): c[2:] for c in cells}
    assert found["as it is", "balanced accuracy, isic9's own pictures"][1] == ""
    first = float(found["as it is", "balanced accuracy, isic9's own pictures"][0])
    value, gain = found["better", "balanced accuracy, isic9's own pictures"]
    assert (float(value), float(gain.split()[0])) == (1.0, round(1 - first, 3))
    low, high = (float(part.strip("()")) for part in gain.split(maxsplit=1)[1].split(" to "))
    assert 0 < low < 1 - first < high
