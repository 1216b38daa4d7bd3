"""The background class: a further output for pictures that show none of the labels.

Dhamija et al., NeurIPS 2018, arXiv:1811.04110, compare it with teaching a network to be unsure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.detectors import BACKGROUND, log_total
from mlcore.outside import LABELS, Check, threshold_of_labels

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from mlcore.train.folds import HeldOut
    from mlcore.train.recipes import Recipe


def split_outputs(
    outputs: NDArray[Any], recipe: Recipe
) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
    """Return the logits of the labels, and how far each picture is in the background.

    Args:
        outputs: (n, ``recipe.outputs``), of a network trained with the recipe.
        recipe: says whether the last output is the background class.

    Returns:
        (n, labels) logits, and (n,) log-odds of the background against all labels together; None
        without a background class.
    """
    outputs = np.asarray(outputs, dtype=np.float32)
    if not recipe.background_class:
        return outputs, None
    logits = outputs[:, :-1]
    return logits, outputs[:, -1] - log_total(logits)


def background_threshold(held_out: HeldOut, *, without: int | None = None) -> float:
    """Return the log-odds of the background class from which on no answer is given.

    Args:
        held_out: predictions of the cross-validation of a recipe with a background class.
        without: a fold that it is not to be chosen on.

    Raises:
        ValueError: the recipe has no background class, or nothing outside was held out.
    """
    outside = held_out.outside
    if held_out.background is None or outside is None or outside.background is None:
        msg = "Only the cross-validation of a recipe with a background class has such a threshold."
        raise ValueError(msg)
    return threshold_of_labels(
        held_out.background[held_out.folds != without],
        outside.background[outside.folds != without],
    )


def background_check(
    trained: keras.Model, recipe: Recipe, held_out: HeldOut | None, offsets: NDArray[Any]
) -> Check | None:
    """Return the check of a release's gate that reads the background class.

    Args:
        trained: a network whose last output is the background class.
        recipe: it was trained with; without a background class there is no check.
        held_out: predictions of the recipe's cross-validation, for the threshold.
        offsets: (labels,) that the release adds to the logits of the labels.
    """
    if not recipe.background_class or held_out is None:
        return None
    kernel, bias = trained.get_layer("logits").get_weights()
    arrays = {
        "kernel": kernel[:, -1].astype(np.float32),
        "bias": bias[-1:].astype(np.float32),
        "offsets": np.asarray(offsets, dtype=np.float32),
    }
    return Check(LABELS, BACKGROUND, background_threshold(held_out), arrays)
