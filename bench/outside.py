"""What each way of telling outsiders finds, and what becomes of pictures of every kind.

Detectors are fitted on training pictures and on the development half of ``outside``; thresholds
are set on the calibration split; the figures are of the held-out half and of the validation split.
Where the network learnt from that too, own pictures are those of the calibration split: what is
held back of them is what the threshold was set to, and says nothing. No published test split is
read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from mlcore.bundle import latest, load_release
from mlcore.calibrate import choose_threshold
from mlcore.data.outside import DEVELOPMENT, HELD_OUT, load_outside
from mlcore.data.sets import data_root
from mlcore.data.splits import load_split
from mlcore.detectors import DETECTORS, Features, fit, score
from mlcore.evaluate import softmax
from mlcore.gating import (
    MOST_OWN,
    OwnPart,
    Rules,
    features_of,
    measure_gates,
    outsiders_of,
    spread_over,
)
from mlcore.outside import LABELS, NOT_SKIN, OTHER_KIND, SHARES, examples_for, fit_gate
from mlcore.quality import QualityLimits
from mlcore.train.pictures import Pictures

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from mlcore.bundle import Release
    from mlcore.gating import Run
    from mlcore.outside import Outsiders

_QUICK = 200
_NO_PROOF = (
    "The network learnt from the validation split too, so “own calibration” is the very split that "
    "the thresholds were set on: those columns say what was asked for, not what was found."
)
_SIZE = (320, 240)
_DRAWN = ("flat colour", "gradient", "stripes", "bar chart", "line drawing", "screen")


def run(*, quick: bool) -> str:
    """Measure the newest release of both label sets.

    Args:
        quick: at most 200 pictures of each part.

    Returns:
        A Markdown section with two tables for every release.
    """
    root = data_root()
    most = _QUICK if quick else MOST_OWN
    sections = ["## Pictures outside the label sets"]
    for key in ("isic9", "clinical5"):
        release = load_release(latest(key))
        sections += ["", f"### {key} {release.version}", "", *_section(release, root, most)]
    return "\n".join(sections)


@dataclass(frozen=True)
class _Own:
    pictures: list[Picture]
    groups: list[str]
    labels: NDArray[Any]
    features: Features

    def as_part(self) -> OwnPart:
        return OwnPart(self.pictures, self.groups)


def _section(release: Release, root: Path, most: int) -> list[str]:
    network, side, key = _network(release), release.input_side, release.key
    # Which of the training pictures a network has learnt from, its recipe says.
    with_ham = bool(release.manifest["recipe"].get("with_ham"))
    seed = int(release.manifest["seed"])
    parts = load_split(key, root, seed=seed, with_ham=with_ham)
    own: dict[str, _Own] = {}
    for name in ("train", "calibration", "validation"):
        chosen = spread_over(len(parts[name]), most)
        read = Pictures([parts[name][int(i)] for i in chosen], release.labels.keys)
        images = [Image.fromarray(array) for array in read.arrays]
        groups = [record.group for record in read.records]
        own[name] = _Own(images, groups, read.labels, features_of(network, images, side))
    halves = load_outside(root, key)
    fitted = outsiders_of(network, key, side, halves[DEVELOPMENT])
    held = outsiders_of(network, key, side, halves[HELD_OUT])
    drawn = features_of(network, _drawn_elsewhere(), side)
    # A network that learnt from the validation split too leaves only calibration to be measured.
    part = "validation" if "validation" in release.manifest["data"] else "calibration"
    lines = [*_compared(own, part, fitted, held, drawn), ""]
    if part == "calibration":
        lines += [_NO_PROOF, ""]
    gate = fit_gate(own["train"].features, own["train"].labels, own["calibration"].features, fitted)
    temperature = float(release.manifest["temperature"])
    calibration = own["calibration"]
    kept = np.array([verdict != "" for verdict in gate.verdicts(calibration.features)])
    chances = softmax(calibration.features.logits, temperature)
    needed = choose_threshold(calibration.labels, chances, held=kept)["threshold"]
    rules = Rules(key, gate, QualityLimits(**release.manifest["quality"]), temperature, needed)
    rows = measure_gates(network, side, rules, halves[HELD_OUT], {part: own[part].as_part()})
    used = ", ".join(f"{check.name}: {check.detector}" for check in gate.checks)
    said = (
        f"Quality, gate ({used}) and confidence together, in per cent with 95 % intervals; "
        f"{halves[HELD_OUT].refused} held-out pictures were too small for the intake."
    )
    lines += [
        said,
        "",
        "| pictures | images | rejected | cannot say | answered |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [_share(row[name]) for name in ("rejected", "cannot_say", "answered")]
        lines.append(f"| {row['set']} | {row['images']} | {' | '.join(cells)} |")
    return lines


def _compared(
    own: dict[str, _Own], part: str, fitted: Outsiders, held: Outsiders, drawn: Features
) -> list[str]:
    """Return the table of all detectors for the two questions."""
    examples = examples_for(own["train"].features, own["train"].labels, fitted)
    shown = {
        NOT_SKIN: (held.not_skin, drawn),
        LABELS: (held.other_skin,),
        OTHER_KIND: (held.other_kind,),
    }
    said = "Share held back, in per cent, when at most this share of the calibration split may be: "
    said += ", ".join(f"{name} {share:.0%}" for name, share in SHARES.items())
    columns = (
        *("detector", f"not skin: own {part}", "ordinary pictures", "drawn pictures"),
        *(f"labels: own {part}", "other skin", f"other kind: own {part}", "other modality"),
    )
    lines = [said, "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for detector in DETECTORS:
        cells = []
        for name, outside in shown.items():
            arrays = fit(detector, examples[name])
            limit = np.quantile(
                score(detector, arrays, own["calibration"].features),
                1 - SHARES[name],
                method="higher",
            )
            cells += [
                f"{(score(detector, arrays, features) > limit).mean() * 100:.1f}"
                for features in (own[part].features, *outside)
            ]
        lines.append(f"| {detector} | {' | '.join(cells)} |")
    return lines


def _network(release: Release) -> Run:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras  # noqa: PLC0415 - a large library

    whole = keras.saving.load_model(release.file("model.keras"), compile=False, safe_mode=True)
    # Releases before 1.1.0 have the layer, but not its mean among their outputs.
    last = whole.get_layer("head_conv").input
    pooled = keras.layers.GlobalAveragePooling2D()(last)
    outputs = [whole.get_layer("logits").output, pooled, whole.get_layer("embedding").output]
    model = keras.Model(whole.input, outputs)

    def answer(squares: NDArray[np.uint8]) -> Features:
        logits, features, embedding = model.predict_on_batch(squares.astype(np.float32))
        return Features(logits, features, embedding)

    return answer


def _drawn_elsewhere() -> list[Picture]:
    """Return pictures of kinds that no gate was fitted on, four of each."""
    rng = np.random.default_rng(5)
    return [_draw(kind, rng) for kind in _DRAWN for _ in range(4)]


def _draw(kind: str, rng: np.random.Generator) -> Picture:
    def colour() -> tuple[int, int, int]:
        red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
        return red, green, blue

    width, height = _SIZE
    first, second = np.array(colour(), float), np.array(colour(), float)
    mix = np.tile(np.linspace(0, 1, width)[None, :, None], (height, 1, 1))
    if kind == "stripes":
        mix = np.round(mix * int(rng.integers(4, 30))) % 2
    if kind in {"gradient", "stripes"}:
        return Image.fromarray((first * mix + second * (1 - mix)).astype(np.uint8))
    page = Image.new("RGB", _SIZE, colour() if kind == "flat colour" else (252, 252, 250))
    pen = ImageDraw.Draw(page)
    if kind == "bar chart":
        pen.line((20, 10, 20, height - 20, width - 10, height - 20), fill="black", width=2)
        for left in range(30, width - 30, 34):
            top = int(rng.integers(20, height - 30))
            pen.rectangle((left, top, left + 22, height - 20), fill=colour())
    elif kind == "line drawing":
        for _ in range(24):
            across, down = rng.integers(0, width, 2), rng.integers(0, height, 2)
            pen.line((int(across[0]), int(down[0]), int(across[1]), int(down[1])), fill="black")
    elif kind == "screen":
        pen.rectangle((0, 0, width, height), fill=(34, 36, 44))
        pen.rectangle((0, 0, width, 26), fill=colour())
        for top in range(36, height - 24, 30):
            pen.rounded_rectangle((70, top, width - 10, top + 22), 5, fill=(66, 70, 84))
            pen.text((78, top + 5), f"Entry {top}", fill="white")
    return page


def _share(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['value'] * 100:.1f} ({low * 100:.0f} to {high * 100:.0f})"
