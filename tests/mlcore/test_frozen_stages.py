"""Stages that leave the first part of a network as published."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlcore.data.sets import Record
from mlcore.labels import label_set
from mlcore.train.recipes import Augmentation, Recipe, Stage
from tests.mlcore.conftest import scramble
from tests.mlcore.sets import put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS = label_set("clinical5").keys
FROZEN = Stage(2, 64, frozen="block4_project_bn", variants=2)
HOW = Augmentation(flip_horizontal=True, brightness=0.2)


@pytest.fixture
def recipe(tiny: Recipe) -> Recipe:
    return replace(
        tiny, stages=(FROZEN,), augmentation=HOW, batch=5, epoch_size=10, learning_rate=1e-3
    )


@pytest.fixture
def handful(tmp_path: Path) -> Any:
    from mlcore.train.pictures import Pictures

    records = []
    for number in range(10):
        label = KEYS[number % 5]
        path = put(tmp_path / "pictures" / f"{number}.jpg", number)
        records.append(Record(path, path.name, label, "clinical5", "train", path.name))
    return Pictures(records, KEYS)


def _train(recipe: Recipe, handful: Any, folder: Path, **changed: Any) -> Any:
    from mlcore.train.loop import train

    named: dict[str, Any] = {"folder": folder, "seed": 1, "report": io.StringIO()} | changed
    return train(recipe, handful, handful, **named)


@pytest.fixture
def eagerly() -> Iterator[None]:
    """Compile nothing: a compiled step costs seconds, and here each is taken a few times only.

    What is trained compiled is tested in ``test_training_loop.py``.
    """
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def _network() -> Any:
    from mlcore.networks.classifier import build_trainable

    model = build_trainable("tiny", 5, dropout=0, freeze_normalisation=True, imagenet=False)
    scramble(model, 3)
    return model


def test_the_two_parts_together_are_the_network(tiny: Recipe, handful: Any) -> None:
    from mlcore.train.frozen import split_network

    model = _network()
    lower, upper = split_network(model, "block4_project_bn")
    x = handful.squares(64).astype(np.float32)
    np.testing.assert_allclose(upper(lower(x)), model(x), atol=1e-4)
    with pytest.raises(ValueError, match="no_such_layer"):
        split_network(model, "no_such_layer")


def test_only_what_follows_is_trained(
    recipe: Recipe, handful: Any, published: None, tmp_path: Path
) -> None:
    trained = _train(recipe, handful, tmp_path / "run")
    assert len(trained.history) == 2
    for layer in _network().layers:
        now = trained.model.get_layer(layer.name).get_weights()
        same = all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), now, strict=True))
        if layer.name.startswith(("stem", "block0", "block1_", "block2", "block3", "block4")):
            assert same, layer.name
        elif layer.name in {"head_conv", "logits", "block5_expand_conv"}:
            assert not same, layer.name


def test_outputs_are_worked_out_once_for_all_runs(
    recipe: Recipe, handful: Any, published: None, tmp_path: Path
) -> None:
    _train(recipe, handful, tmp_path / "one")
    ((folder),) = (tmp_path / "frozen").iterdir()
    before = (folder / "rows.f16").stat()
    # Ten plain pictures for validation, and one or two variants of each to learn from.
    rows = len((folder / "index.txt").read_text().splitlines())
    assert 20 <= rows <= 30
    assert before.st_size % rows == 0
    _train(recipe, handful, tmp_path / "two", seed=2)
    after = (folder / "rows.f16").stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)


def test_another_picture_of_the_same_name_is_not_taken_for_the_first(
    handful: Any, tmp_path: Path
) -> None:
    from mlcore.train.frozen import PLAIN, FrozenOutputs, split_network

    lower, _ = split_network(_network(), "block4_project_bn")

    def outputs() -> Any:
        found = FrozenOutputs(tmp_path / "frozen", lower, 64, HOW)
        rows = found.prepare(handful, [(0, PLAIN), (0, 1)], lambda _done, _whole: None)
        return found.read(rows)

    before = outputs()
    # The file was put back from another copy of the set.
    handful.arrays[0] = np.ascontiguousarray(handful.arrays[0][::-1])
    after = outputs()
    assert np.abs(before - after).max() > 0.01
    handful.arrays[0] = np.ascontiguousarray(handful.arrays[0][::-1])
    np.testing.assert_array_equal(outputs(), before)


def test_two_runs_at_once_add_each_row_once(handful: Any, tmp_path: Path) -> None:
    from mlcore.train.frozen import PLAIN, FrozenOutputs, split_network

    lower, _ = split_network(_network(), "block4_project_bn")
    wanted = [(index, variant) for index in range(10) for variant in (PLAIN, 0, 1)]
    one, other = (FrozenOutputs(tmp_path / "frozen", lower, 64, HOW) for _ in range(2))
    rows: dict[str, Any] = {}

    def second() -> None:
        rows["other"] = other.prepare(handful, wanted[5:], lambda _done, _whole: None)

    thread = threading.Thread(target=second)

    def beside(_done: int, _whole: int) -> None:
        if not thread.is_alive():
            thread.start()
            # Time enough to add rows of its own, if nothing kept it from that.
            thread.join(1)
            assert "other" not in rows

    rows["one"] = one.prepare(handful, wanted[:20], beside)
    thread.join(60)
    index = next((tmp_path / "frozen").glob("*/index.txt")).read_text().splitlines()
    assert len(index) == len(set(index)) == len(wanted)
    np.testing.assert_array_equal(one.read(rows["one"])[5:], other.read(rows["other"])[:15])


def test_rows_cut_short_by_a_kill_are_worked_out_again(
    tiny: Recipe, handful: Any, tmp_path: Path
) -> None:
    from mlcore.train.frozen import PLAIN, FrozenOutputs, split_network

    lower, _upper = split_network(_network(), "block4_project_bn")
    wanted = [(i, PLAIN) for i in range(10)]

    def opened() -> Any:
        return FrozenOutputs(tmp_path, lower, 64, HOW)

    def quiet(_done: int, _of: int) -> None:
        """Show no progress."""

    first = opened()
    whole = first.read(first.prepare(handful, wanted, quiet))
    expected = lower.predict_on_batch(handful.squares(64).astype(np.float32))
    np.testing.assert_allclose(whole, expected, rtol=1e-2, atol=1e-2)
    ((folder),) = tmp_path.glob("*/index.txt")
    lines = folder.read_text()
    # Killed while the index was written, and once more while the rows were.
    folder.write_text(lines[: len(lines) // 2])
    with folder.with_name("rows.f16").open("ab") as rows:
        rows.write(b"\0\1\2")
    again = opened()
    np.testing.assert_array_equal(again.read(again.prepare(handful, wanted, quiet)), whole)
    assert folder.read_text().splitlines() == lines.splitlines()


def test_a_network_thaws_and_goes_on_when_stopped(
    recipe: Recipe, handful: Any, published: None, eagerly: None, tmp_path: Path
) -> None:
    class _Stopper(io.StringIO):
        """Presses Ctrl-C after so many lines."""

        def __init__(self, lines: int) -> None:
            super().__init__()
            self.left = lines

        def write(self, text: str) -> int:
            if text.strip():
                self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return len(text)

    # Dropout is not drawn again as it was, so without it a resumed run ends where a whole one does.
    frozen, thawed = replace(FROZEN, epochs=1), Stage(2, 64, learning_rate=1e-4)
    both = replace(recipe, stages=(frozen, thawed), dropout=0.0, epoch_size=5)
    whole = _train(both, handful, tmp_path / "whole")
    assert [row["side"] for row in whole.history] == [64] * 3
    stem = whole.model.get_layer("stem_conv").get_weights()[0]
    assert not np.array_equal(stem, _network().get_layer("stem_conv").get_weights()[0])
    # At the very end of the frozen phase, and within the last.
    for lines in (0, 1):
        folder = tmp_path / f"stopped-{lines}"
        with pytest.raises(KeyboardInterrupt):
            _train(both, handful, folder, report=_Stopper(lines), outputs=tmp_path / "frozen")
        resumed = _train(both, handful, folder, outputs=tmp_path / "frozen")
        for one, other in zip(whole.history, resumed.history, strict=True):
            assert one == pytest.approx(other, rel=1e-2, abs=1e-3)


def test_without_validation_the_last_epoch_counts(
    recipe: Recipe, handful: Any, published: None, tmp_path: Path
) -> None:
    from mlcore.train.loop import train

    trained = train(
        recipe, handful, handful.subset([]), folder=tmp_path, seed=1, report=io.StringIO()
    )
    assert trained.best_epoch == 1
    assert "balanced_accuracy" not in trained.history[0]
