"""Pictures a second while the shipped recipes train, at each of their input sizes."""

from __future__ import annotations

import io
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcore.bundle import latest, load_release
from mlcore.data.sets import Record
from mlcore.drawing import draw_clinical, draw_dermoscopy
from mlcore.labels import label_set

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlcore.train.pictures import Pictures
    from mlcore.train.recipes import Recipe

_KEYS = ("isic9", "clinical5")
_PICTURES = 64
# Steps an epoch, and epochs at each input size: the first compiles and is not counted.
_STEPS, _QUICK_STEPS, _EPOCHS = 8, 2, 3


class _Clock(io.StringIO):
    """A report that keeps the time of every line."""

    def __init__(self) -> None:
        """Begin with no lines."""
        super().__init__()
        self.times: list[float] = []

    def write(self, text: str) -> int:
        """Note when an epoch is over."""
        if text.strip():
            self.times.append(time.monotonic())
        return len(text)


def measure(*, quick: bool) -> dict[str, Any]:
    """Train each shipped recipe for a few steps on drawn pictures, and keep nothing of it.

    Args:
        quick: two steps an epoch instead of eight.

    Returns:
        ``backend``, and ``recipes``: name, ``network``, ``batch`` and pictures a second by
        input ``side``.
    """
    import keras  # noqa: PLC0415 - takes seconds, and --render needs none of it

    found = {}
    for key in _KEYS:
        recipe = _recipe(key)
        with tempfile.TemporaryDirectory(prefix="skinapp-bench-") as folder:
            found[key] = {
                "name": recipe.name,
                "network": recipe.network,
                "batch": recipe.batch,
                "per_s": _per_second(recipe, Path(folder), _QUICK_STEPS if quick else _STEPS),
            }
    return {"backend": keras.backend.backend(), "recipes": found}


def _recipe(key: str) -> Recipe:
    from mlcore.train.recipes import RECIPES  # noqa: PLC0415 - as above

    return RECIPES[load_release(latest(key)).manifest["recipe"]["name"]]


def _per_second(recipe: Recipe, folder: Path, steps: int) -> dict[str, float]:
    """Return pictures a second at each input side; what an epoch writes to disk is part of it."""
    from mlcore.train.loop import train  # noqa: PLC0415 - as above

    pictures = _drawn(recipe.label_set, folder)
    found = {}
    for side in sorted({stage.side for stage in recipe.stages}):
        stage = next(stage for stage in recipe.stages if stage.side == side)
        short = replace(
            recipe,
            stages=(replace(stage, epochs=_EPOCHS),),
            epoch_size=steps * recipe.batch,
            patience=_EPOCHS,
        )
        clock = _Clock()
        run = folder / f"run-{side}"
        train(short, pictures, pictures.subset([]), folder=run, seed=1, report=clock)
        seconds = clock.times[-1] - clock.times[-_EPOCHS]
        found[str(side)] = round((_EPOCHS - 1) * steps * recipe.batch / seconds, 1)
    return found


def _drawn(key: str, folder: Path) -> Pictures:
    from mlcore.train.pictures import Pictures  # noqa: PLC0415 - as above

    keys = label_set(key).keys
    draw = draw_dermoscopy if key == "isic9" else draw_clinical
    records = []
    for number in range(_PICTURES):
        label = keys[number % len(keys)]
        path = folder / f"{number}.jpg"
        draw(label, seed=number, size=(600, 450)).save(path, quality=90)
        records.append(Record(path, path.name, label, key, "train", path.name))
    return Pictures(records, keys)


def render(found: Mapping[str, Any]) -> str:
    """Return the section."""
    lines = [
        "## Training",
        "",
        (
            f"The shipped recipes on drawn pictures, Keras on {found['backend']}, all cores; "
            "augmentation and what an epoch writes to disk are part of it, compiling is not:"
        ),
        "",
        "| recipe | network | batch | pictures a second, by input side |",
        "|---|---|---|---|",
    ]
    for one in found["recipes"].values():
        rates = ", ".join(f"{side} px: {rate:.0f}" for side, rate in one["per_s"].items())
        lines.append(f"| {one['name']} | {one['network']} | {one['batch']} | {rates} |")
    return "\n".join(lines)
