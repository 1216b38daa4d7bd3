"""Making a release of a finished training run: convert, calibrate, measure, prove, write."""

from __future__ import annotations

import json
import platform
import zipfile
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version as installed
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from mlcore.bundle import ReleaseError, new_folder, sha256_of, write_release
from mlcore.calibrate import MIN_COVERAGE, TARGET_RISK, choose_threshold, risk_coverage
from mlcore.card import render_card
from mlcore.conversion import convert, prove_parity
from mlcore.data.curation import same_lesions
from mlcore.data.outside import DEVELOPMENT, HELD_OUT
from mlcore.data.splits import digest_of
from mlcore.detectors import Features
from mlcore.drift import CONFIDENCE, GATE_PREFIX, INPUTS, SUSPICION, reference_of
from mlcore.evaluate import evaluate, operating_point, softmax
from mlcore.fitting import add_offsets, answers_of, fit_to_unseen, triage_of
from mlcore.gating import (
    MOST_OWN,
    OwnPart,
    Rules,
    features_of,
    gate_facts,
    measure_gates,
    outsiders_of,
    spread_over,
)
from mlcore.golden import write_golden
from mlcore.imaging import to_array
from mlcore.labels import label_set
from mlcore.networks.classifier import build_released, round_to_half
from mlcore.networks.efficientnet_lite import SCALES
from mlcore.outside import GATE, first_to_hold, fit_gate
from mlcore.plots import render_plots
from mlcore.quality import QualityLimits, measure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from mlcore.bundle import Release
    from mlcore.data.outside import OutsidePictures
    from mlcore.gating import Run
    from mlcore.outside import Gate
    from mlcore.train.folds import HeldOut
    from mlcore.train.loop import Pictures, Trained
    from mlcore.train.recipes import Recipe

# Share of the training pictures that each bound of the quality gate may refuse.
_QUALITY_SHARE = 0.002
# The public sets hardly show dark skin, so what is dark or even among their pictures may be a
# well-lit picture of skin of type VI (luma about 60, spread about 8) or I (about 220). No bound may
# be stricter than these, whatever the training pictures are like.
_SPREAD_OF_ANY_SKIN = 2.0
_LUMA_OF_DARK_SKIN = 40.0
_LUMA_OF_LIGHT_SKIN = 235.0
# A picture with so much detail is sharp enough on any set: one more blur of a fortieth of its side
# takes 30 % of the differences between neighbours away.
_DETAIL_OF_ANY_PICTURE = 0.3
# Amelanotic and scaling lesions hardly stand out; plain skin is even to about a tenth.
_CONTRAST_OF_ANY_LESION = 0.1
_PARITY_PICTURES = 64


def make_release(  # noqa: PLR0913 - everything a release is made of
    recipe: Recipe,
    trained: Trained,
    parts: dict[str, Pictures],
    *,
    releases: Path,
    version: str,
    seed: int,
    test_looks: int,
    held_out: HeldOut | None = None,
    cross_validation: dict[str, Any] | None = None,
    outside: dict[str, OutsidePictures] | None = None,
) -> Release:
    """Make a release folder from a finished run.

    Offsets, temperature and the triage threshold are chosen on the predictions of the recipe's
    cross-validation where there was one, as those are of every picture but the tested ones, and
    else on the calibration split, as the gate and the answer threshold always are. The offsets join
    the network's last layer and its weights are rounded to half precision; then the test split is
    measured once with everything fixed.

    Args:
        recipe: how the network was trained.
        trained: the run, or :func:`mlcore.earlier.network_of` an earlier release.
        parts: pictures of ``train``, ``calibration`` and ``test``, and of ``validation`` unless the
            run learnt from them too.
        releases: folder of all releases.
        version: of the release.
        seed: of the run.
        test_looks: how often the test split has been looked at, this time included.
        held_out: predictions of the recipe's cross-validation.
        cross_validation: figures of :func:`mlcore.train.cross_figures.cross_figures`.
        outside: both halves of :func:`mlcore.data.outside.load_outside`; None makes a release
            without a gate.

    Raises:
        ParityError: the serving file disagrees with the Keras network.
        ReleaseError: the version exists or is none, the network gives no map, or the release is
            too large.
    """
    # First of all: a release that cannot be written must not cost a look at the test split.
    new_folder(releases, recipe.label_set, version)
    _refuse_without_map(recipe)
    labels = label_set(recipe.label_set)
    model = trained.model
    if not isinstance(model.output, dict):
        model = build_released(model, recipe.network, recipe.side)
    calibration = parts["calibration"]
    fitted, raised = fit_to_unseen(model, recipe, parts, held_out)
    temperature = round(fitted.temperature, 6)
    add_offsets(model, fitted.offsets)
    round_to_half(model)
    logits = {
        name: answers_of(model, part.squares(recipe.side))
        for name, part in parts.items()
        if name != "train"
    }
    chances = {name: softmax(values, temperature) for name, values in logits.items()}
    limits = quality_limits(parts["train"])
    gate, margins = (None, {}) if outside is None else _gate(model, recipe, parts, outside)
    held = _held(margins, len(calibration))
    chosen = choose_threshold(calibration.labels, chances["calibration"], held=held)
    bad = np.array([label.malignant for label in labels.labels])
    triage = triage_of(bad, held_out, fitted, calibration.labels, chances["calibration"])
    metrics: dict[str, Any] = dict(cross_validation or {})
    for name in logits:
        answers = (recipe.label_set, parts[name].labels, chances[name], _groups(parts[name]))
        metrics[name] = evaluate(*answers)
        metrics[name]["operating_point"] = operating_point(
            *answers, answer=chosen["threshold"], triage=triage
        )
    metrics["calibration"]["risk_coverage"] = risk_coverage(
        calibration.labels, chances["calibration"], held=held
    )
    if gate is not None and outside is not None:
        metrics["outside"] = measure_gates(
            _runner(model),
            recipe.side,
            Rules(recipe.label_set, gate, limits, temperature, chosen["threshold"]),
            outside[HELD_OUT],
            {name: OwnPart(_images(parts[name]), _groups(parts[name])) for name in logits},
        )
    manifest = {
        "label_set": recipe.label_set,
        "version": version,
        "labels": list(labels.keys),
        "network": recipe.network,
        "input_side": recipe.side,
        "temperature": temperature,
        "offsets": [round(float(offset), 4) for offset in fitted.offsets],
        "melanoma_raised": round(raised, 2),
        "calibrated_on": "calibration" if held_out is None else "cross_validation",
        "answer_threshold": chosen["threshold"],
        "answer_rule": {
            "target_risk": TARGET_RISK,
            "min_coverage": MIN_COVERAGE,
            "on_calibration": chosen,
        },
        "triage_threshold": triage,
        "quality": asdict(limits),
        "recipe": recipe.as_dict(),
        "seed": seed,
        "best_epoch": trained.best_epoch,
        "data": {
            name: {"images": len(part), "sha256": digest_of(part.records)}
            for name, part in parts.items()
        },
        # Pairs of pictures of one patient that no table names and the parts keep together.
        "same_patients": sum(one.startswith(recipe.label_set) for one, _ in same_lesions()),
        "test_looks": test_looks,
        "trained_with": _versions(),
        "made_at": datetime.now(UTC).date().isoformat(),
        "licence": "Research build: trained on images under CC BY-NC and CC BY-NC-ND licences.",
    }

    if gate is not None and outside is not None:
        manifest["gate"] = gate_facts(gate, outside[DEVELOPMENT])

    def fill(folder: Path) -> None:
        if gate is not None:
            gate.save(folder / GATE)
        model.save(folder / "model.keras")
        _compress(folder / "model.keras")
        # The parity is that of the files as they are shipped, loaded as they will be.
        saved = keras.saving.load_model(folder / "model.keras", compile=False, safe_mode=True)
        (folder / "model.tflite").write_bytes(convert(saved, folder))

        def judge(pictures: Sequence[Picture]) -> NDArray[Any]:
            squares = np.stack([to_array(picture, recipe.side) for picture in pictures])
            return softmax(answers_of(saved, squares), temperature)

        golden = write_golden(folder, recipe.label_set, judge)
        shown = [to_array(picture, recipe.side) for picture in golden]
        shown += list(calibration.squares(recipe.side)[_spread(len(calibration))])
        manifest["parity"] = prove_parity(
            folder / "model.tflite", saved, np.stack(shown), temperature
        )
        drawn = render_plots(metrics, trained.history, labels=labels)
        for plot, svg in drawn.items():
            (folder / plot).write_text(svg, encoding="utf-8")
        everything = {"figures": metrics, "history": trained.history} | {
            "reference": _reference(calibration, chances["calibration"], bad, margins)
        }
        (folder / "metrics.json").write_text(
            json.dumps(everything, indent=1) + "\n", encoding="utf-8"
        )
        hashed = {
            path.name: {"sha256": sha256_of(path)}
            for path in sorted(folder.iterdir())
            if path.is_file()
        }
        card = render_card(manifest | {"files": hashed}, metrics, plots=drawn)
        (folder / "card.md").write_text(card, encoding="utf-8")

    return write_release(releases, manifest, fill)


def _refuse_without_map(recipe: Recipe) -> None:
    if recipe.network not in SCALES:
        msg = f"{recipe.network} is there to compare with (mlcore evaluate) and gives no map."
        raise ReleaseError(msg)


def _runner(model: keras.Model) -> Run:
    """Return what the gates ask of the network."""

    def run(squares: NDArray[np.uint8]) -> Features:
        out = model.predict_on_batch(squares.astype(np.float32))
        return Features(*(np.asarray(out[name]) for name in ("logits", "pooled", "embedding")))

    return run


def _gate(
    model: keras.Model,
    recipe: Recipe,
    parts: dict[str, Pictures],
    outside: dict[str, OutsidePictures],
) -> tuple[Gate, dict[str, NDArray[np.float64]]]:
    """Return the gate, and what it says of the calibration pictures."""
    own = parts["train"].subset(spread_over(len(parts["train"]), MOST_OWN))
    run = _runner(model)
    calibration = features_of(run, _images(parts["calibration"]), recipe.side)
    outsiders = outsiders_of(run, recipe.label_set, recipe.side, outside[DEVELOPMENT])
    known = features_of(run, _images(own), recipe.side)
    gate = fit_gate(known, own.labels, calibration, outsiders)
    return gate, gate.margins(calibration)


def _held(margins: Mapping[str, NDArray[np.float64]], count: int) -> NDArray[np.bool_]:
    """Return which of ``count`` pictures a gate holds back."""
    return np.array([first_to_hold(margins, row) != "" for row in range(count)], dtype=np.bool_)


def _reference(
    calibration: Pictures,
    chances: NDArray[np.float64],
    bad: NDArray[np.bool_],
    margins: Mapping[str, NDArray[np.float64]],
) -> dict[str, Any]:
    """Return what drift is judged by: the measures that serving takes of every picture."""
    looks = [asdict(measure(image)) for image in _images(calibration)]
    return reference_of(
        {name: np.array([look[name] for look in looks]) for name in INPUTS}
        | {CONFIDENCE: chances.max(axis=1), SUSPICION: chances[:, bad].sum(axis=1)}
        | {GATE_PREFIX + name: values for name, values in margins.items()}
    )


def _groups(part: Pictures) -> list[str]:
    return [record.group for record in part.records]


def _images(part: Pictures) -> list[Picture]:
    from PIL import Image  # noqa: PLC0415 - one use

    return [Image.fromarray(array) for array in part.arrays]


def _spread(count: int) -> NDArray[np.int64]:
    """Return evenly spaced indices, so that every label is among the pictures of the parity."""
    return np.unique(np.linspace(0, count - 1, min(count, _PARITY_PICTURES)).astype(np.int64))


def quality_limits(training: Pictures) -> QualityLimits:
    """Return bounds that hardly any of the training pictures fails, and no skin by its colour."""
    measured = [measure(image) for image in _images(training)]

    def quantile(name: str, share: float) -> float:
        return float(np.quantile([getattr(quality, name) for quality in measured], share))

    return QualityLimits(
        min_spread=min(round(quantile("spread", _QUALITY_SHARE) * 0.8, 3), _SPREAD_OF_ANY_SKIN),
        min_luma=min(round(quantile("high_luma", _QUALITY_SHARE) * 0.8, 3), _LUMA_OF_DARK_SKIN),
        max_luma=max(
            round(255 - (255 - quantile("low_luma", 1 - _QUALITY_SHARE)) * 0.5, 3),
            _LUMA_OF_LIGHT_SKIN,
        ),
        min_sharpness=round(quantile("sharpness", _QUALITY_SHARE) * 0.8, 4),
        min_detail=min(round(quantile("detail", _QUALITY_SHARE) * 0.9, 4), _DETAIL_OF_ANY_PICTURE),
        min_contrast=min(
            round(quantile("contrast", _QUALITY_SHARE) * 0.9, 4), _CONTRAST_OF_ANY_LESION
        ),
    )


def _compress(path: Path) -> None:
    """Write the ``.keras`` archive again, compressed: rounded weights shrink well."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _versions() -> dict[str, str]:
    names = ("keras", "tensorflow", "numpy", "pillow", "ai-edge-litert")
    return {"python": platform.python_version()} | {name: installed(name) for name in names}
