"""Ways to tell from a network's own outputs that a picture is outside what it was trained on.

Every detector is a name, a few plain arrays, and a score that is greater the further outside a
picture is. None runs the network again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

Arrays = dict[str, "NDArray[Any]"]
_Table = dict[
    str, "tuple[Callable[[Examples], Arrays], Callable[[Arrays, Features], NDArray[Any]]]"
]

# Share of the diagonal in a covariance: with few pictures the off-diagonal part is mostly chance.
_SHRINKAGE = 0.1
_NEIGHBOURS = 5
# Rows of the bank of the nearest-neighbour detector: it must stay small beside the network.
_MOST_ROWS = 512
_DIRECTIONS = 64
# Ridge of the logistic head, per feature.
_RIDGE = 0.1
_ROUNDS = 12
# Standardised features are cut here, so that one channel out of all bounds does not decide alone.
_FURTHEST = 8.0


@dataclass(frozen=True)
class Features:
    """What one forward pass says of pictures.

    Attributes:
        logits: (n, labels), before temperature.
        pooled: (n, c), mean over positions of the last block's linear output.
        embedding: (n, d), mean over positions of the last feature map.
    """

    logits: NDArray[Any]
    pooled: NDArray[Any]
    embedding: NDArray[Any]

    def __len__(self) -> int:
        return len(self.logits)

    def rows(self, chosen: NDArray[Any]) -> Features:
        """Return some rows, by index or mask."""
        return Features(self.logits[chosen], self.pooled[chosen], self.embedding[chosen])

    @classmethod
    def join(cls, parts: Sequence[Features]) -> Features:
        """Return the rows of all parts, one after another."""
        return cls(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.pooled for part in parts]),
            np.concatenate([part.embedding for part in parts]),
        )


@dataclass(frozen=True)
class Examples:
    """What a detector is fitted on.

    Attributes:
        inside: pictures that must pass.
        labels: (n,) index of the label of each of them, for the detectors that look at labels.
        outside: pictures that must not pass.
    """

    inside: Features
    labels: NDArray[Any]
    outside: Features


def fit(name: str, examples: Examples) -> Arrays:
    """Return the arrays of a detector.

    Raises:
        KeyError: there is no such detector.
    """
    return _DETECTORS[name][0](examples)


def score(name: str, arrays: Arrays, features: Features) -> NDArray[np.float64]:
    """Return (n,) scores, greater for what is further outside.

    Raises:
        KeyError: there is no such detector.
    """
    return np.asarray(_DETECTORS[name][1](arrays, features), dtype=np.float64)


def learns_from_outside(name: str) -> bool:
    """Return whether a detector has seen the pictures from outside that it was fitted with."""
    return name in {"head", "relative_mahalanobis"}


def _fit_nothing(_examples: Examples) -> Arrays:
    return {}


def _softmax_score(_arrays: Arrays, features: Features) -> NDArray[Any]:
    """Hendrycks and Gimpel, ICLR 2017, arXiv:1610.02136."""
    logits = features.logits.astype(np.float64)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[Any] = -shifted.max(axis=1) / shifted.sum(axis=1)
    return result


def _energy_score(_arrays: Arrays, features: Features) -> NDArray[Any]:
    """Liu et al., NeurIPS 2020, arXiv:2010.03759."""
    logits = features.logits.astype(np.float64)
    top = logits.max(axis=1)
    result: NDArray[Any] = -(top + np.log(np.exp(logits - top[:, None]).sum(axis=1)))
    return result


def _whitening(centred: NDArray[Any]) -> NDArray[Any]:
    covariance = centred.T @ centred / len(centred)
    diagonal = np.diag(covariance) + 1e-6
    shrunk = (1 - _SHRINKAGE) * covariance + np.diag(_SHRINKAGE * diagonal)
    return np.asarray(np.linalg.inv(np.linalg.cholesky(shrunk)).T)


def _fit_mahalanobis(examples: Examples) -> Arrays:
    pooled = examples.inside.pooled.astype(np.float64)
    present, index = np.unique(examples.labels, return_inverse=True)
    means = np.stack([pooled[examples.labels == label].mean(axis=0) for label in present])
    return {"means": means, "whitening": _whitening(pooled - means[index])}


def _mahalanobis_score(arrays: Arrays, features: Features) -> NDArray[Any]:
    """Lee et al., NeurIPS 2018, arXiv:1807.03888: distance to the nearest label's mean."""
    white = features.pooled @ arrays["whitening"]
    means = arrays["means"] @ arrays["whitening"]
    squared = ((white[:, None] - means) ** 2).sum(axis=2)
    result: NDArray[Any] = squared.min(axis=1)
    return result


def _fit_relative(examples: Examples) -> Arrays:
    everything = np.concatenate([examples.inside.pooled, examples.outside.pooled]).astype(
        np.float64
    )
    mean = everything.mean(axis=0)
    background = {"background_mean": mean, "background_whitening": _whitening(everything - mean)}
    return _fit_mahalanobis(examples) | background


def _relative_score(arrays: Arrays, features: Features) -> NDArray[Any]:
    """Ren et al., arXiv:2106.09022: less the distance to pictures of every kind."""
    white = (features.pooled - arrays["background_mean"]) @ arrays["background_whitening"]
    result: NDArray[Any] = _mahalanobis_score(arrays, features) - (white**2).sum(axis=1)
    return result


def _unit(rows: NDArray[Any]) -> NDArray[Any]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    result: NDArray[Any] = rows / np.maximum(lengths, 1e-9)
    return result


def _fit_nearest(examples: Examples) -> Arrays:
    embedding = examples.inside.embedding.astype(np.float64)
    mean = embedding.mean(axis=0)
    chosen = np.unique(np.linspace(0, len(embedding) - 1, _MOST_ROWS).astype(np.int64))
    return {"mean": mean, "bank": _unit(embedding[chosen] - mean).astype(np.float16)}


def _nearest_score(arrays: Arrays, features: Features) -> NDArray[Any]:
    """Sun et al., ICML 2022, arXiv:2204.06507, with cosines about the mean embedding."""
    likeness = _unit(features.embedding - arrays["mean"]) @ arrays["bank"].astype(np.float64).T
    nearest = min(_NEIGHBOURS, likeness.shape[1])
    result: NDArray[Any] = -np.sort(likeness, axis=1)[:, -nearest]
    return result


def _fit_residual(examples: Examples) -> Arrays:
    embedding = examples.inside.embedding.astype(np.float64)
    mean = embedding.mean(axis=0)
    directions = np.linalg.eigh(np.cov((embedding - mean).T))[1][:, -_DIRECTIONS:]
    arrays = {"mean": mean, "directions": directions.astype(np.float16)}
    residual = _residual_score(arrays, examples.inside).mean()
    # ViM's factor: the residual is to weigh as much as a logit does.
    alpha = examples.inside.logits.max(axis=1).mean() / max(float(residual), 1e-9)
    return arrays | {"alpha": np.array(alpha)}


def _residual_score(arrays: Arrays, features: Features) -> NDArray[Any]:
    """Return the share of the embedding that the main directions do not explain."""
    centred = features.embedding - arrays["mean"]
    directions = arrays["directions"].astype(np.float64)
    rest = centred - (centred @ directions) @ directions.T
    lengths = np.maximum(np.linalg.norm(centred, axis=1), 1e-9)
    result: NDArray[Any] = np.linalg.norm(rest, axis=1) / lengths
    return result


def _vim_score(arrays: Arrays, features: Features) -> NDArray[Any]:
    """Wang et al., CVPR 2022, arXiv:2203.10807: residual and energy in one."""
    energy = _energy_score({}, features)
    result: NDArray[Any] = arrays["alpha"] * _residual_score(arrays, features) + energy
    return result


def _fit_head(examples: Examples) -> Arrays:
    """Fit a ridge logistic regression, both sides weighing alike, by Newton's method.

    Outlier exposure (Hendrycks et al., ICLR 2019, arXiv:1812.04606) with the network left alone.
    """
    inside, outside = examples.inside.pooled, examples.outside.pooled
    mean = inside.mean(axis=0, dtype=np.float64)
    spread = inside.std(axis=0, dtype=np.float64)
    spread += 1e-3 * float(spread.mean()) + 1e-6
    arrays = {"mean": mean, "spread": spread}
    rows = _standard(arrays, np.concatenate([inside, outside]))
    rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    truth = np.repeat([0.0, 1.0], [len(inside), len(outside)])
    # Both sides together weigh as much as the pictures inside alone do.
    weights = np.where(truth == 1, len(inside) / len(outside), 1.0) / 2
    ridge = np.full(rows.shape[1], _RIDGE * inside.shape[1])
    ridge[-1] = 1e-6
    beta = np.zeros(rows.shape[1])
    for _ in range(_ROUNDS):
        chances = 1 / (1 + np.exp(-np.clip(rows @ beta, -30, 30)))
        slope = rows.T @ (weights * (chances - truth)) + ridge * beta
        curvature = (rows * (weights * chances * (1 - chances) + 1e-6)[:, None]).T @ rows
        beta -= np.linalg.solve(curvature + np.diag(ridge), slope)
    return arrays | {"kernel": beta[:-1], "bias": beta[-1:]}


def _standard(arrays: Arrays, pooled: NDArray[Any]) -> NDArray[Any]:
    return np.clip((pooled - arrays["mean"]) / arrays["spread"], -_FURTHEST, _FURTHEST)


def _head_score(arrays: Arrays, features: Features) -> NDArray[Any]:
    """Return the logit of being outside."""
    result: NDArray[Any] = _standard(arrays, features.pooled) @ arrays["kernel"] + arrays["bias"]
    return result


_DETECTORS: _Table = {
    "max_softmax": (_fit_nothing, _softmax_score),
    "energy": (_fit_nothing, _energy_score),
    "mahalanobis": (_fit_mahalanobis, _mahalanobis_score),
    "relative_mahalanobis": (_fit_relative, _relative_score),
    "nearest": (_fit_nearest, _nearest_score),
    "residual": (_fit_residual, _residual_score),
    "vim": (_fit_residual, _vim_score),
    "head": (_fit_head, _head_score),
}
DETECTORS = tuple(_DETECTORS)
