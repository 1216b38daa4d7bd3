"""How often each picture is drawn: by class, and within a class by the collection it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlcore.train.pictures import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlcore.data.sets import Record
    from mlcore.train.recipes import Recipe


def chances(
    records: Sequence[Record], labels: NDArray[np.int64], recipe: Recipe
) -> NDArray[np.float64]:
    """Return each picture's chance to be drawn; they add up to 1.

    A class of n pictures is drawn in proportion to n to the power of ``recipe.class_power``. Within
    a class, HAM10000 gets ``recipe.ham_share`` of the draws; or, with a ``stratum_power``, the
    pictures that come from one collection are drawn in proportion to their number to that power.
    The smaller the power, the less knowing the collection says about the class.

    Pictures that show no label get ``recipe.outside_share`` of all draws.

    Args:
        records: the pictures.
        labels: (n,) their indices.
        recipe: how to draw.
    """
    found = np.zeros(len(records))
    stratified = recipe.stratum_power is not None
    groups = np.array([r.archive for r in records]) if stratified else _sources(records)
    for label in np.unique(labels[labels != UNLABELLED]):
        members = labels == label
        weight = float(members.sum()) ** recipe.class_power
        inside = {str(group): members & (groups == group) for group in np.unique(groups[members])}
        if recipe.stratum_power is None:
            shares = _ham_shares(inside, recipe.ham_share)
        else:
            shares = {g: float(those.sum()) ** recipe.stratum_power for g, those in inside.items()}
        whole = sum(shares.values())
        for group, those in inside.items():
            found[those] = weight * shares[group] / whole / those.sum()
    outside = labels == UNLABELLED
    if outside.any():
        found[~outside] *= (1 - recipe.outside_share) / found.sum()
        found[outside] = recipe.outside_share / outside.sum()
    return np.asarray(found / found.sum(), dtype=np.float64)


def _sources(records: Sequence[Record]) -> NDArray[np.str_]:
    return np.array(["ham10000" if r.source == "ham10000" else "own" for r in records])


def _ham_shares(inside: dict[str, NDArray[np.bool_]], ham_share: float) -> dict[str, float]:
    if set(inside) != {"ham10000", "own"}:
        return dict.fromkeys(inside, 1.0)
    counts = {group: int(those.sum()) for group, those in inside.items()}
    # A handful of pictures must not be drawn for half of the class.
    share = min(ham_share, counts["ham10000"] / sum(counts.values()) * 2)
    return {"ham10000": share, "own": 1 - share}
