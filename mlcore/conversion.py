"""The serving file of a release: the network for LiteRT, proved to be the same network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.bundle import ReleaseError
from mlcore.evaluate import softmax
from mlcore.golden import TOLERANCE, same_ranking

if TYPE_CHECKING:
    from pathlib import Path

    import keras
    from numpy.typing import NDArray

# Beside the probabilities: what the map, similar cases and the gate are made of. Each may differ by
# this share of its own greatest value; another order of operations makes about a millionth.
_OTHERS = ("evidence", "embedding", "pooled")
_SHARE = 1e-3


class ParityError(ReleaseError):
    """The serving file does not answer as the Keras network does."""


def convert(model: keras.Model, folder: Path) -> bytes:
    """Return the network as a LiteRT file with weights in half precision.

    Args:
        model: from :func:`mlcore.networks.classifier.build_released`.
        folder: where its saved form lies in between.
    """
    import tensorflow as tf  # noqa: PLC0415 - only releases need it

    saved = folder / ".saved"
    model.export(saved, format="tf_saved_model", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    converted: bytes = converter.convert()
    for path in sorted(saved.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    saved.rmdir()
    return converted


def prove_parity(
    file: Path, model: keras.Model, squares: NDArray[np.uint8], temperature: float
) -> dict[str, float]:
    """Return how far the serving file is from the network, over some pictures.

    Args:
        file: of LiteRT.
        model: the network, with ``logits`` and the other outputs of a release.
        squares: uint8 (n, side, side, 3).
        temperature: that the release gives its probabilities at.

    Returns:
        ``pictures``, ``greatest_difference`` of a probability, and of the other outputs
        ``greatest_difference_elsewhere``, as a share of the output's greatest value.

    Raises:
        ParityError: a probability differs by more than :data:`mlcore.golden.TOLERANCE`, labels come
            in another order, or another output differs.
    """
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - a large library

    runner = Interpreter(model_path=str(file)).get_signature_runner()
    name = next(iter(runner.get_input_details()))
    rows = [runner(**{name: square[None].astype(np.float32)}) for square in squares]
    theirs = {
        key: np.asarray(values)
        for key, values in model.predict_on_batch(squares.astype(np.float32)).items()
    }
    ours = {key: np.concatenate([row[key] for row in rows]) for key in theirs}
    chances = [softmax(each["logits"], temperature) for each in (ours, theirs)]
    worst = float(np.abs(chances[0] - chances[1]).max())
    if not worst <= TOLERANCE or not same_ranking(*chances):
        msg = (
            f"LiteRT and Keras differ by {worst:.2e} (allowed {TOLERANCE}) or rank the labels "
            "differently; nothing was released."
        )
        raise ParityError(msg)
    elsewhere = {key: _apart(ours[key], theirs[key]) for key in _OTHERS if key in theirs}
    for key, apart in elsewhere.items():
        if not apart <= _SHARE:
            msg = (
                f"LiteRT and Keras differ in {key} by {apart:.2e} of its greatest value (allowed "
                f"{_SHARE}); nothing was released."
            )
            raise ParityError(msg)
    return {
        "pictures": len(squares),
        "greatest_difference": worst,
        "greatest_difference_elsewhere": max(elsewhere.values(), default=0.0),
    }


def _apart(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), 1e-9))
