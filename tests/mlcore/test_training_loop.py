"""The training loop on a handful of drawn pictures: steps, choice of the epoch, going on."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlcore.data.sets import Record
from mlcore.data.tables import DataError
from mlcore.imaging import to_array
from mlcore.labels import label_set
from mlcore.train.recipes import Augmentation, Recipe, Stage
from mlcore.train.run import RunError
from tests.mlcore.sets import picture, put

if TYPE_CHECKING:
    from pathlib import Path

KEYS = label_set("clinical5").keys
RECIPE = Recipe(
    name="handful",
    label_set="clinical5",
    network="small_cnn",
    stages=(Stage(2, 64),),
    augmentation=Augmentation(flip_horizontal=True, brightness=0.1),
    batch=5,
    learning_rate=1e-3,
    epoch_size=10,
    freeze_normalisation=False,
)


def _records(folder: Path, counts: dict[str, int], source: str = "clinical5") -> list[Record]:
    records = []
    for label, count in counts.items():
        for number in range(count):
            seed = KEYS.index(label) * 100 + number + (5000 if source == "ham10000" else 0)
            path = put(folder / f"{source}-{label}-{number}.jpg", seed)
            records.append(Record(path, path.name, label, source, "train", path.name))
    return records


@pytest.fixture
def handful(tmp_path: Path) -> Any:
    from mlcore.train.loop import Pictures

    return Pictures(_records(tmp_path / "pictures", dict.fromkeys(KEYS, 2)), KEYS)


def _train(recipe: Recipe, handful: Any, folder: Path, **changed: Any) -> Any:
    from mlcore.train.loop import train

    named: dict[str, Any] = {"folder": folder, "seed": 1, "report": io.StringIO()} | changed
    return train(recipe, handful, handful, **named)


def test_a_picture_is_kept_as_serving_sees_it(handful: Any) -> None:
    assert len(handful) == 10
    assert [KEYS[i] for i in handful.labels] == [r.label for r in handful.records]
    squares = handful.squares(64)
    assert (squares.shape, squares.dtype) == ((10, 64, 64, 3), np.uint8)
    # JPEG changes a smooth picture little; it is squashed as serving squashes it.
    assert np.abs(squares[0].astype(int) - to_array(picture(0), 64)).mean() < 4


def test_no_picture_is_a_shape_of_none(tmp_path: Path) -> None:
    from mlcore.train.loop import Pictures

    assert Pictures([], KEYS).squares(32).shape == (0, 32, 32, 3)
    gone = Record(tmp_path / "gone.jpg", "gone.jpg", "acne", "clinical5", "train")
    with pytest.raises(DataError, match=r"gone\.jpg cannot be read"):
        Pictures([gone], KEYS)


def test_training_learns_and_reports(handful: Any, tmp_path: Path) -> None:
    report = io.StringIO()
    recipe = replace(RECIPE, stages=(Stage(6, 64),), patience=6, epoch_size=20)
    trained = _train(recipe, handful, tmp_path / "run", report=report)
    losses = [row["train_loss"] for row in trained.history]
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    assert trained.pictures_per_second > 0
    best = max(range(6), key=lambda n: (trained.history[n]["score"], n))
    assert trained.best_epoch == best
    lines = report.getvalue().strip().splitlines()
    assert len(lines) == 6
    assert "epoch 6/6 side 64 loss" in lines[-1]
    assert "█" not in report.getvalue()


def test_a_person_watches_a_bar(handful: Any, tmp_path: Path) -> None:
    class _Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = _Terminal()
    _train(replace(RECIPE, stages=(Stage(1, 64),)), handful, tmp_path, report=terminal)
    assert "█" * 30 + " 2/2" in terminal.getvalue()


class _Stopper(io.StringIO):
    """Presses Ctrl-C when the first epoch is reported."""

    def write(self, _text: str) -> int:
        raise KeyboardInterrupt


@pytest.mark.parametrize("averaging", [0.0, 0.8])
def test_a_stopped_run_ends_where_an_unstopped_one_does(
    handful: Any, tmp_path: Path, averaging: float
) -> None:
    from mlcore.train.loop import load_trained

    recipe = replace(RECIPE, averaging=averaging)
    whole = _train(recipe, handful, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _train(recipe, handful, tmp_path / "stopped", report=_Stopper())
    with pytest.raises(RunError, match=r"not over: 1 of 2 epochs are done. Go on with: .*handful"):
        load_trained(recipe, folder=tmp_path / "stopped", seed=1)
    early = load_trained(recipe, folder=tmp_path / "stopped", seed=1, even_if_stopped=True)
    assert len(early.history) == 1
    resumed = _train(recipe, handful, tmp_path / "stopped")
    assert len(resumed.history) == 2
    for one, other in zip(whole.history, resumed.history, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)
    # A run that is over is not trained on.
    again = _train(recipe, handful, tmp_path / "stopped")
    assert again.history == resumed.history
    assert again.pictures_per_second == 0
    loaded = load_trained(recipe, folder=tmp_path / "stopped", seed=1)
    for one, other in zip(loaded.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_average_of_the_weights_is_what_a_run_gives(handful: Any, tmp_path: Path) -> None:
    import keras

    weights = []

    class Kept(keras.optimizers.AdamW):  # type: ignore[misc] # Keras has no types
        """Keeps what the first weights were after every step."""

        def apply(self, *args: Any, **named: Any) -> Any:
            done = super().apply(*args, **named)
            weights.append(np.copy(self._trainable_variables[0].numpy()))
            return done

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(keras.optimizers, "AdamW", Kept)
        one = replace(RECIPE, stages=(Stage(1, 64),), averaging=0.5, epoch_size=15)
        compiled = keras.Model.compile
        patched.setattr(
            keras.Model, "compile", lambda self, **how: compiled(self, **how, run_eagerly=True)
        )
        trained = _train(one, handful, tmp_path)
    first, second, third = weights
    # Keras starts the average at the weights after the first step.
    average = 0.5 * (0.5 * first + 0.5 * second) + 0.5 * third
    np.testing.assert_allclose(trained.model.get_weights()[0], average, rtol=1e-4, atol=1e-6)
    assert not np.allclose(average, third, rtol=1e-4, atol=1e-6)


def test_a_run_that_never_began_is_not_loaded(tmp_path: Path) -> None:
    from mlcore.train.loop import load_trained

    for even_if_stopped in (False, True):
        with pytest.raises(RunError, match="0 of 2 epochs"):
            load_trained(RECIPE, folder=tmp_path / "none", seed=1, even_if_stopped=even_if_stopped)


def test_training_stops_when_nothing_gets_better(
    handful: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlcore.train import loop

    scores = iter([0.1, 0.9, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1])
    figures = {"loss": 1.0, "accuracy": 0.0, "balanced_accuracy": 0.0}
    monkeypatch.setattr(loop, "_validate", lambda *_: figures | {"score": next(scores)})
    recipe = replace(RECIPE, stages=(Stage(8, 64),), patience=2, epoch_size=5)
    trained = _train(recipe, handful, tmp_path)
    assert (len(trained.history), trained.best_epoch) == (4, 1)


def _drawn(handful: Any, recipe: Recipe, draws: Any, seed: int = 0) -> list[Any]:
    from mlcore.train.feeds import PictureFeed

    feed = PictureFeed(handful, handful, 64, recipe)
    return list(feed.batches(draws, np.random.default_rng(seed)))


def test_batches_hold_every_draw_once_with_its_label(handful: Any) -> None:
    draws = np.array([3, 1, 4, 1, 5, 9, 2])
    batches = _drawn(handful, replace(RECIPE, batch=3, augmentation=Augmentation()), draws)
    assert [len(x) for x, _y in batches] == [3, 3, 1]
    labels = np.concatenate([y for _x, y in batches]).argmax(axis=1)
    np.testing.assert_array_equal(labels, handful.labels[draws])
    assert all(x.dtype == y.dtype == np.float32 for x, y in batches)


def test_a_picture_without_a_label_speaks_for_all_alike(handful: Any, tmp_path: Path) -> None:
    from mlcore.train.pictures import Pictures

    path = put(tmp_path / "psoriasis__1.jpg", 99)
    outside = Pictures([Record(path, path.name, "", "outside", "train")], KEYS)
    assert outside.labels.tolist() == [-1]
    both = handful + outside
    assert (len(both), both.records[-1].source) == (11, "outside")
    ((_, y),) = _drawn(both, replace(RECIPE, batch=3), np.array([10, 0, 10]))
    np.testing.assert_allclose(y[[0, 2]], 1 / 5)
    assert y[1].max() == 1


def test_mixup_mixes_pictures_and_labels_alike(handful: Any) -> None:
    draws = np.arange(10)
    plain = replace(RECIPE, batch=10, augmentation=Augmentation())
    ((x, y),) = _drawn(handful, plain, draws)
    ((mixed_x, mixed_y),) = _drawn(handful, replace(plain, mixup=0.5), draws, seed=2)
    np.testing.assert_allclose(mixed_y.sum(axis=1), 1, atol=1e-6)
    assert mixed_x.min() >= 0
    assert mixed_x.max() <= 255
    changed = np.abs(mixed_x - x).mean((1, 2, 3)) > 1
    relabelled = np.abs(mixed_y - y).max(axis=1) > 1e-6
    assert relabelled.any()
    assert (changed | ~relabelled).all()


def test_without_an_epoch_size_every_picture_is_seen_once(
    handful: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlcore.train.feeds import PictureFeed

    seen: list[Any] = []
    inner = PictureFeed.batches

    def spy(feed: Any, draws: Any, rng: Any) -> Any:
        seen.append(draws)
        return inner(feed, draws, rng)

    monkeypatch.setattr(PictureFeed, "batches", spy)
    _train(replace(RECIPE, epoch_size=0, stages=(Stage(2, 64),)), handful, tmp_path)
    assert [sorted(draws) for draws in seen] == [list(range(10))] * 2
    assert seen[0].tolist() != seen[1].tolist()


def test_a_fault_in_the_batches_is_raised_where_training_waits() -> None:
    from mlcore.train.feeds import ahead

    def broken() -> Any:
        yield 1
        msg = "disk gone"
        raise OSError(msg)

    batches = ahead(broken())
    assert next(batches) == 1
    with pytest.raises(OSError, match="disk gone"):
        next(batches)
    assert list(ahead(iter(range(20)))) == list(range(20))


def test_the_rate_warms_up_and_falls() -> None:
    from mlcore.train.loop import _optimiser

    recipe = replace(RECIPE, warm_up=0.1)
    schedule: Any = _optimiser(recipe, 100, recipe.learning_rate)._learning_rate
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == pytest.approx(recipe.learning_rate / 20, rel=1e-3)
    assert max(rates) == pytest.approx(recipe.learning_rate, rel=1e-3)
    assert rates.index(max(rates)) == 10
    assert rates[-1] == pytest.approx(recipe.learning_rate / 100, rel=1e-2)
    cold: Any = _optimiser(replace(RECIPE, warm_up=0.0), 100, RECIPE.learning_rate)._learning_rate
    assert float(cold(0)) == pytest.approx(recipe.learning_rate, rel=1e-3)
