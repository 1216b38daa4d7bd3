"""Release folders around the tiny networks."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from mlcore.bundle import Release, write_release
from mlcore.labels import label_set

if TYPE_CHECKING:
    from pathlib import Path


def write_tiny_release(
    releases: Path, networks: Path, key: str, version: str, **facts: Any
) -> Release:
    """Write a release of a tiny network.

    Args:
        releases: the folder of all releases.
        networks: from the fixture ``tiny_networks``.
        key: the label set.
        version: like 0.1.0.
        facts: other facts of the manifest than the usual ones.
    """
    labels = label_set(key)
    manifest = {
        "label_set": key,
        "version": version,
        "labels": list(labels.keys),
        "network": "tiny",
        "input_side": 32,
        "temperature": 1.0,
        "answer_threshold": 0.3,
        "triage_threshold": 0.5,
        # A picture of one colour is rejected, a drawn one is not.
        "quality": {"min_spread": 1.0, "min_luma": 5.0, "max_luma": 252.0, "min_sharpness": 0.0},
    } | facts

    def fill(folder: Path) -> None:
        for name in ("model.keras", "model.tflite"):
            shutil.copy(networks / key / name, folder / name)
        figures = {"figures": {"version": version}}
        (folder / "metrics.json").write_text(json.dumps(figures), encoding="utf-8")

    return write_release(releases, manifest, fill)
