"""The network of an earlier release, to be released anew with other choices around it.

What is chosen after the training (offsets, thresholds, the gate) can become better while the
network stays; and a release outlives the machine that it was trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np

from mlcore.bundle import ReleaseError
from mlcore.train.loop import Trained
from mlcore.train.recipes import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlcore.bundle import Release
    from mlcore.train.pictures import Pictures


def network_of(
    release: Release, recipe: Recipe, parts: Mapping[str, Pictures], *, seed: int
) -> Trained:
    """Return the network of a release as it was before its offsets were added.

    Args:
        release: verified.
        recipe: that it must have been trained by.
        parts: pictures of today's splits; they must be the very ones that the release names, so
            that nothing which the network learnt from is measured.
        seed: of the run and of the splits.

    Raises:
        ReleaseError: the release is of another recipe, seed or deal.
    """
    from mlcore.data.splits import digest_of  # noqa: PLC0415 - only releases read the sets

    manifest = release.manifest
    there = f"{release.key} {release.version}"
    if Recipe.from_dict(manifest["recipe"]) != recipe or manifest["seed"] != seed:
        msg = f"{there} was trained by another recipe or seed; name those with --recipe and --seed."
        raise ReleaseError(msg)
    if "offsets" not in manifest:
        msg = f"{there} is too old: its network lacks what gates read; train the recipe again."
        raise ReleaseError(msg)
    dealt = {name: digest_of(part.records) for name, part in parts.items()}
    if dealt != {name: facts["sha256"] for name, facts in manifest["data"].items()}:
        msg = f"{there} was trained on other pictures than are dealt today; train the recipe again."
        raise ReleaseError(msg)
    model = keras.saving.load_model(release.file("model.keras"), compile=False, safe_mode=True)
    layer = model.get_layer("logits")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias - np.asarray(manifest["offsets"], dtype=bias.dtype)])
    return Trained(model, release.metrics()["history"], manifest["best_epoch"], 0.0)
