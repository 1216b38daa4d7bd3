"""One network of several: the mean of the weights of runs that began alike.

Runs of one architecture that start from the same weights end close enough together that the mean of
their weights is a network of its own, often a better one than each (Wortsman et al., Model soups,
ICML 2022, arXiv:2203.05482). It costs no more to run than one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlcore.train.loop import Trained, load_trained
from mlcore.train.recipes import UnknownRecipeError, recipe_named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mlcore.train.recipes import Recipe


def members_of(recipe: Recipe) -> tuple[Recipe, ...]:
    """Return the recipes whose runs make a network: the recipe itself where it has no members.

    Raises:
        UnknownRecipeError: a member is unknown, or of another network, label set or input size.
    """
    if not recipe.members:
        return (recipe,)
    members = tuple(recipe_named(name) for name in recipe.members)
    for member in members:
        if (member.network, member.label_set, member.side) != (
            recipe.network,
            recipe.label_set,
            recipe.side,
        ):
            msg = f"{member.name} cannot join {recipe.name}: another network, set or input size."
            raise UnknownRecipeError(msg)
    return members


def load_runs(
    recipe: Recipe, folder_of: Callable[[Recipe], Path], *, seed: int, even_if_stopped: bool = False
) -> Trained:
    """Return a recipe's finished run, or the mean of its members' finished runs.

    Args:
        recipe: of the run.
        folder_of: where the run of a recipe lies.
        seed: of the runs.
        even_if_stopped: see :func:`mlcore.train.loop.load_trained`.

    Raises:
        RunError: a run is missing or not over.
        UnknownRecipeError: see :func:`members_of`.
    """
    runs = [
        load_trained(member, folder=folder_of(member), seed=seed, even_if_stopped=even_if_stopped)
        for member in members_of(recipe)
    ]
    if len(runs) == 1:
        return runs[0]
    model = runs[0].model
    together = zip(*(run.model.get_weights() for run in runs), strict=True)
    model.set_weights([np.mean(weights, axis=0) for weights in together])
    history = _mean_history([run.history for run in runs])
    return Trained(model, history, max(run.best_epoch for run in runs), 0.0)


def _mean_history(histories: Sequence[list[dict[str, float]]]) -> list[dict[str, float]]:
    """Return the mean of every figure that all runs noted of an epoch, as far as all of them go."""
    return [
        {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if _in_all(key, rows)}
        | {"epoch": rows[0]["epoch"], "side": rows[0]["side"]}
        for rows in zip(*histories, strict=False)
    ]


def _in_all(key: str, rows: Sequence[dict[str, float]]) -> bool:
    return all(key in row for row in rows)
