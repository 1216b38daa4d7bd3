"""What is fitted to a trained network on pictures that it did not learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlcore.calibrate import Calibration, calibration_of, choose_triage_threshold, raise_label
from mlcore.labels import label_set

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from mlcore.train.folds import HeldOut
    from mlcore.train.loop import Pictures
    from mlcore.train.recipes import Recipe


def fit_to_unseen(
    model: keras.Model, recipe: Recipe, parts: dict[str, Pictures], held_out: HeldOut | None
) -> tuple[Calibration, float]:
    """Return offsets and temperature, and by how much the log-odds of melanoma are raised.

    Both come from the cross-validation where there was one. Otherwise offsets and temperature come
    from the calibration split alone, which chose no epoch; the raise is judged on the validation
    split as well, because melanomas of any one collection are few.

    Args:
        model: in its released form, without offsets.
        recipe: of the network.
        parts: pictures of ``calibration``, and of ``validation`` unless the run learnt from them.
        held_out: predictions of the recipe's cross-validation.
    """
    if held_out is not None:
        logits, truth = held_out.logits, held_out.labels
        places = [record.archive for record in held_out.records]
        fitted = calibration_of(logits, truth, places, even=recipe.even_labels)
    else:
        calibration = parts["calibration"]
        judged = [calibration, *([parts["validation"]] if "validation" in parts else [])]
        each = [answers_of(model, part.squares(recipe.side)) for part in judged]
        own = [record.archive for record in calibration.records]
        fitted = calibration_of(each[0], calibration.labels, own, even=recipe.even_labels)
        logits, truth = np.concatenate(each), np.concatenate([part.labels for part in judged])
        places = [record.archive for part in judged for record in part.records]
    keys = label_set(recipe.label_set).keys
    if not recipe.even_labels or "melanoma" not in keys:
        return fitted, 0.0
    return raise_label(fitted, logits, truth, keys.index("melanoma"), collections=places)


def triage_of(
    bad: NDArray[np.bool_],
    held_out: HeldOut | None,
    fitted: Calibration,
    truth: NDArray[np.int64],
    chances: NDArray[np.float64],
) -> float:
    """Return the probability of malignancy from which a picture counts as suspicious.

    Args:
        bad: (labels,) whether a label is malignant or pre-malignant.
        held_out: predictions of the recipe's cross-validation.
        fitted: of the network.
        truth: (n,) indices of the calibration pictures, for want of a cross-validation.
        chances: (n, labels) what is said of them.
    """
    if held_out is not None:
        truth, chances = held_out.labels, fitted.chances(held_out.logits)
    return choose_triage_threshold(bad[truth], chances[:, bad].sum(axis=1))


def add_offsets(model: keras.Model, offsets: NDArray[np.float64]) -> None:
    """Make offsets (labels,) part of a network's last layer."""
    layer = model.get_layer("logits")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias + offsets.astype(bias.dtype)])


def answers_of(model: keras.Model, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return logits (n, labels) of uint8 squares (n, side, side, 3)."""
    parts = [
        np.asarray(model.predict_on_batch(squares[i : i + 32].astype(np.float32))["logits"])
        for i in range(0, len(squares), 32)
    ]
    return np.concatenate(parts)
