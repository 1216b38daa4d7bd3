"""What the mean of two networks is worth: of their answers, or of their very weights.

Two runs that began at the same weights often lie in one valley, and the mean of their weights is a
network that is as good as both together and costs what one does (Wortsman et al., Model soups, ICML
2022). Measured on the folds that both recipes were trained on here: each mean is of two networks
that saw neither the pictures of the fold nor their groups.
"""

from __future__ import annotations

import numpy as np

from bench.views import (
    answers,
    calibrated_alike,
    folds_here,
    network_of,
    runs_of,
    squares_of,
    table,
    told,
)
from mlcore.train.recipes import recipe_named

_RECIPES = ("isic9_lite0_mixed", "isic9_lite0_longer")
_QUICK = 400


def run(*, quick: bool) -> str:
    """Measure every fold that both recipes were trained on here.

    Args:
        quick: at most 400 pictures of each fold.

    Raises:
        FileNotFoundError: fewer than two folds of both were trained here.
    """
    first, second = (recipe_named(name) for name in _RECIPES)
    folds = folds_here([first, second], most=_QUICK if quick else None)
    said: dict[str, list[np.ndarray]] = {}
    for number, fold in folds.items():
        squares = squares_of(first, fold)
        one, other = (network_of(r, runs_of(r) / f"fold{number}") for r in (first, second))
        logits = [answers(model, squares) for model in (one, other)]
        pairs = zip(one.get_weights(), other.get_weights(), strict=True)
        one.set_weights([(a + b) / 2 for a, b in pairs])
        for name, found in (
            *zip(_RECIPES, logits, strict=True),
            ("mean of the weights", answers(one, squares)),
            ("mean of the answers", np.mean(logits, axis=0)),
        ):
            said.setdefault(name, []).append(found)
    ways = {name: calibrated_alike(first, folds, found) for name, found in said.items()}
    head = f"## Two networks in one: {told(' and '.join(_RECIPES), folds)}"
    return "\n".join([head, "", *table(first.label_set, ways)])
