"""Golden pictures: drawn skin that ships with a release, and what its network said of it.

Whoever holds the folder can prove that engine, decoder and network still give the answers they
gave when the release was made. The pictures are stored, not drawn again, so that the drawing code
may change.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np

from mlcore.drawing import CLINICAL_KINDS, DERMOSCOPY_KINDS, draw_clinical, draw_dermoscopy
from mlcore.imaging import load_network_source
from mlcore.labels import label_set

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from mlcore.predictor import Predictor

GOLDEN = "golden.json"
# The greatest difference of a probability that engines, processors and library versions may make.
TOLERANCE = 1e-3
_SEED = 20
_SIZE = (240, 180)
# Probabilities nearer to each other than this have no order.
_TIE = 1e-4


class GoldenError(RuntimeError):
    """A release no longer answers as it did when it was made."""


def write_golden(
    folder: Path, key: str, judge: Callable[[Sequence[Picture]], NDArray[Any]]
) -> list[Picture]:
    """Draw one picture of every kind, judge it, and write both; return the pictures as read back.

    Args:
        folder: the release in the making.
        key: its label set.
        judge: from pictures as networks read them to probabilities (n, labels).
    """
    kinds = DERMOSCOPY_KINDS if label_set(key).modality == "dermoscopy" else CLINICAL_KINDS
    pictures: dict[str, Picture] = {}
    for kind in kinds:
        drawn = (
            draw_dermoscopy(kind, seed=_SEED, size=_SIZE)
            if label_set(key).modality == "dermoscopy"
            else draw_clinical(kind, seed=_SEED, size=_SIZE)
        )
        buffer = io.BytesIO()
        drawn.save(buffer, "PNG", optimize=True)
        name = f"golden-{kind}.png"
        (folder / name).write_bytes(buffer.getvalue())
        pictures[name] = load_network_source(buffer.getvalue())
    chances = judge(list(pictures.values()))
    facts = {
        name: {label: round(float(p), 6) for label, p in zip(label_set(key).keys, row, strict=True)}
        for name, row in zip(pictures, chances, strict=True)
    }
    (folder / GOLDEN).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return list(pictures.values())


def check_golden(predictor: Predictor) -> float:
    """Judge the golden pictures again and return the greatest difference of a probability.

    Raises:
        GoldenError: it is above :data:`TOLERANCE`, or the labels come in another order.
        ReleaseError: the release has no golden pictures.
    """
    release = predictor.release
    facts: dict[str, dict[str, float]] = json.loads(
        release.file(GOLDEN).read_text(encoding="utf-8")
    )
    pictures = [load_network_source(release.file(name).read_bytes()) for name in facts]
    now = np.array([list(r.probabilities.values()) for r in predictor.predict(pictures)])
    then = np.array([[row[key] for key in predictor.labels.keys] for row in facts.values()])
    worst = float(np.abs(now - then).max())
    if worst > TOLERANCE or not same_ranking(now, then):
        msg = (
            f"{release.folder} no longer answers as it did when it was made: a probability differs "
            f"by {worst:.1e} (allowed {TOLERANCE}). Install the pinned requirements again."
        )
        raise GoldenError(msg)
    return worst


def same_ranking(ours: NDArray[Any], theirs: NDArray[Any]) -> bool:
    """Return whether two tables of probabilities (n, labels) put the labels into the same order.

    Labels within 1e-4 of each other have no order.
    """
    order = np.argsort(-ours, axis=1)
    falling = np.diff(np.take_along_axis(theirs, order, axis=1), axis=1)
    return bool((falling <= _TIE).all())
