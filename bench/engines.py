"""The same network through LiteRT, a compiled TensorFlow function and ``model.predict``."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.bundle import latest, load_release
from mlcore.engines import load_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlcore.bundle import Release

_BATCHES = (1, 8, 32)


def run(*, quick: bool) -> str:
    """Measure the newest release of both label sets; the engines take turns in one run.

    Args:
        quick: 5 rounds instead of 20.

    Returns:
        A Markdown section: milliseconds an image, the median of the rounds.
    """
    rounds = 5 if quick else 20
    lines = [
        "## Engines, milliseconds an image (median; batch 1 / 8 / 32)",
        "",
        "| release | LiteRT | `tf.function` | `model.predict` | LiteRT is faster at batch 1 by |",
        "|---|---|---|---|---|",
    ]
    for key in ("isic9", "clinical5"):
        release = load_release(latest(key))
        found = _measure(release, rounds)
        cells = [" / ".join(f"{found[name][b]:.1f}" for b in _BATCHES) for name in found]
        ratio = found["predict"][1] / found["litert"][1]
        lines.append(
            f"| {key} {release.version}, {release.input_side} px | {' | '.join(cells)} "
            f"| {ratio:.1f} × |"
        )
    return "\n".join(lines)


def _measure(release: Release, rounds: int) -> dict[str, dict[int, float]]:
    runners: dict[str, Callable[[NDArray[Any]], Any]] = {
        "litert": load_engine(release, "litert").run,
        "tensorflow": load_engine(release, "tensorflow").run,
        "predict": _predict(release),
    }
    found: dict[str, dict[int, float]] = {name: {} for name in runners}
    rng = np.random.default_rng(0)
    for batch in _BATCHES:
        shape = (batch, release.input_side, release.input_side, 3)
        squares = rng.integers(0, 256, shape, dtype=np.uint8)
        taken: dict[str, list[float]] = {name: [] for name in runners}
        for turn in range(rounds + 2):
            for name, runner in runners.items():
                began = time.perf_counter()
                runner(squares)
                # The first two turns compile and warm up.
                if turn > 1:
                    taken[name].append((time.perf_counter() - began) * 1e3 / batch)
        for name, times in taken.items():
            found[name][batch] = float(np.median(times))
    return found


def _predict(release: Release) -> Callable[[NDArray[Any]], Any]:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras  # noqa: PLC0415 - a large library

    model = keras.saving.load_model(release.file("model.keras"), compile=False, safe_mode=True)
    return lambda squares: model.predict(squares.astype(np.float32), verbose=0)
