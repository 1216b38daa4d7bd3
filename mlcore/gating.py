"""A release's gate: fitted on the released network's own outputs, and measured on held-out ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.data.outside import (
    DEVELOPMENT,
    HELD_OUT,
    drawn_plain_skin,
    drawn_skin,
)
from mlcore.decision import ANSWER, CANNOT_SAY, REJECTED, decide
from mlcore.detectors import Features
from mlcore.drawing import NOT_SKIN_KINDS, draw_not_skin
from mlcore.evaluate import softmax
from mlcore.figures.bootstrap import estimate
from mlcore.figures.report import shares
from mlcore.imaging import to_array
from mlcore.labels import label_set
from mlcore.outside import SHARES, Outsiders
from mlcore.quality import fault_of, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from mlcore.data.outside import OutsidePictures
    from mlcore.outside import Gate
    from mlcore.quality import QualityLimits

    # From squares, uint8 (n, side, side, 3), to what the network says of them.
    Run = Callable[[NDArray[np.uint8]], Features]

# Training pictures that a gate is fitted on: more would change nothing but the time it takes.
MOST_OWN = 1500
_FITTED_SEEDS = (1, 2)
_MEASURED_SEEDS = (11, 12)
_DRAWN_SIZE = (320, 240)
_BATCH = 32


@dataclass(frozen=True)
class Rules:
    """Everything that decides besides the network.

    Attributes:
        key: the label set.
        gate: None for a release without one.
        limits: of the quality gate.
        temperature: of the probabilities.
        needed: least confidence for an answer.
    """

    key: str
    gate: Gate | None
    limits: QualityLimits
    temperature: float
    needed: float


@dataclass(frozen=True)
class OwnPart:
    """Pictures of the label set's own.

    Attributes:
        pictures: as Pillow opens them.
        groups: one group a picture; a lesion's pictures and near-duplicates share one.
    """

    pictures: Sequence[Picture]
    groups: Sequence[str]


def features_of(run: Run, pictures: Sequence[Picture], side: int) -> Features:
    """Return what a network says of pictures, 32 at a time."""
    parts = [
        run(np.stack([to_array(picture, side) for picture in pictures[i : i + _BATCH]]))
        for i in range(0, len(pictures), _BATCH)
    ]
    return Features.join(parts)


def spread_over(count: int, most: int) -> NDArray[np.int64]:
    """Return at most ``most`` evenly spaced indices below ``count``."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def outsiders_of(run: Run, key: str, side: int, half: OutsidePictures) -> Outsiders:
    """Return what a network says of one half of the pictures from outside, and of drawn ones."""
    modality = label_set(key).modality
    other = "clinical" if modality == "dermoscopy" else "dermoscopy"
    plain = drawn_plain_skin(seeds=_FITTED_SEEDS)

    def seen(pictures: Sequence[Picture]) -> Features:
        return features_of(run, pictures, side)

    return Outsiders(
        not_skin=seen([*half.not_skin, *_drawn_not_skin(_FITTED_SEEDS)]),
        other_skin=seen(half.other_skin),
        other_kind=seen(half.other_kind),
        drawn_own=seen(drawn_skin(modality, seeds=_FITTED_SEEDS[:1])),
        drawn_skin=seen([*drawn_skin(other, seeds=_FITTED_SEEDS[:1]), *plain]),
    )


def gate_facts(gate: Gate, development: OutsidePictures) -> dict[str, Any]:
    """Return what the manifest says of a gate."""
    return {
        "checks": gate.facts(),
        "most_of_own": SHARES,
        "fitted_on": {
            "half": DEVELOPMENT,
            "not_skin": len(development.not_skin),
            "other_skin": len(development.other_skin),
            "other_kind": len(development.other_kind),
        },
    }


def measure_gates(
    run: Run,
    side: int,
    rules: Rules,
    held_out: OutsidePictures,
    own: Mapping[str, OwnPart],
) -> list[dict[str, Any]]:
    """Return what becomes of pictures of every kind, one row for each.

    Args:
        run: the network.
        side: of its input.
        rules: what decides besides it.
        held_out: the half of the pictures from outside that nothing was fitted on. Pictures that
            the intake refuses are not among them.
        own: the label set's own pictures by the name of their part.

    Returns:
        Rows of ``set``, ``images`` and the shares ``rejected``, ``cannot_say`` and ``answered``,
        each with ``value`` and ``interval``: 95 %, by bootstrap over the groups of the own
        pictures; of pictures without groups, each stands for itself.
    """
    sets = {
        f"ordinary pictures, {_half(HELD_OUT)}": held_out.not_skin,
        # Of whatever modality the network is: dermoscopic ones are not at hand.
        f"clinical photographs of other skin diseases, {_half(HELD_OUT)}": held_out.other_skin,
        f"the other modality, {_half(HELD_OUT)}": held_out.other_kind,
        "drawn pictures without skin": _drawn_not_skin(_MEASURED_SEEDS),
        "drawn skin of type I to VI, no lesion": drawn_plain_skin(seeds=_MEASURED_SEEDS),
        "drawn lesions of the own modality": drawn_skin(
            label_set(rules.key).modality, seeds=_MEASURED_SEEDS[:1]
        ),
    }
    rows = [
        _row(f"own pictures, {name}", decisions(run, side, rules, part.pictures), part.groups)
        for name, part in own.items()
    ]
    for name, pictures in sets.items():
        decided = decisions(run, side, rules, pictures)
        rows.append(_row(name, decided, [str(index) for index in range(len(decided))]))
    return rows


def decisions(run: Run, side: int, rules: Rules, pictures: Sequence[Picture]) -> list[str]:
    """Return ``answer``, ``cannot_say`` or ``rejected`` for every picture."""
    features = features_of(run, pictures, side)
    confidence = softmax(features.logits, rules.temperature).max(axis=1)
    verdicts = rules.gate.verdicts(features) if rules.gate else [""] * len(pictures)
    modality = label_set(rules.key).modality
    return [
        decide(
            fault_of(measure(picture), rules.limits),
            verdict,
            float(sure),
            needed=rules.needed,
            modality=modality,
        ).kind
        for picture, verdict, sure in zip(pictures, verdicts, confidence, strict=True)
    ]


def _row(name: str, decided: Sequence[str], groups: Sequence[str]) -> dict[str, Any]:
    kinds = np.array(decided)
    everything = np.ones(len(kinds), dtype=bool)
    written = {"rejected": REJECTED, "cannot_say": CANNOT_SAY, "answered": ANSWER}
    figures = estimate(
        [shares({key: (kinds == kind, everything) for key, kind in written.items()})], groups
    )
    return {"set": name, "images": len(decided), **figures}


def _half(name: str) -> str:
    return name.replace("_", " ") + " half"


def _drawn_not_skin(seeds: Sequence[int]) -> list[Picture]:
    return [
        draw_not_skin(kind, seed=seed, size=_DRAWN_SIZE)
        for seed in seeds
        for kind in NOT_SKIN_KINDS
    ]
