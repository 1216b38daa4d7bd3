"""``python -m mlcore train|evaluate|predict|release|curate``: no Django, no server."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcore.bundle import RELEASES, ReleaseError, latest, load_release
from mlcore.data.sets import DataError, data_root
from mlcore.engines.base import EngineError
from mlcore.imaging import ImageError, load_network_source
from mlcore.labels import LABEL_SETS, UnknownLabelSetError, label_set
from mlcore.train.recipes import RECIPES, UnknownRecipeError, recipe_named

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREDICTION_BATCH = 16
_KNOWN = (DataError, ReleaseError, UnknownLabelSetError, UnknownRecipeError, EngineError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status.

    A mistake of the person at the keyboard is one plain line and status 2, never a traceback.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
    except _KNOWN as error:
        print(f"mlcore: {error}", file=sys.stderr)  # noqa: T201 - the command's own message
        return 2
    except ModuleNotFoundError as error:
        print(  # noqa: T201 - the command's own message
            f"mlcore: {error.name} is not installed; install requirements-train.txt "
            "(make train does it).",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("mlcore: stopped; the same command goes on from here.", file=sys.stderr)  # noqa: T201
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mlcore", description="Images and networks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="judge images with a release")
    predict.add_argument("--model", required=True, choices=sorted(LABEL_SETS))
    predict.add_argument("--release", type=Path, help="a release folder (default: the newest)")
    predict.add_argument("--engine", help="litert or tensorflow (default: MLCORE_ENGINE)")
    predict.add_argument("--json", action="store_true", help="one JSON object a line")
    predict.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    predict.set_defaults(run=_predict)

    train = commands.add_parser("train", help="train a recipe, or go on with a stopped run")
    _common(train)
    train.set_defaults(run=_train)

    release = commands.add_parser("release", help="make a release of a finished run")
    _common(release)
    release.add_argument("--version", required=True)
    release.add_argument(
        "--test-looks",
        type=int,
        required=True,
        help="how often the test split has been looked at, this time included",
    )
    release.add_argument("--releases", type=Path, default=RELEASES)
    release.set_defaults(run=_release)

    evaluate = commands.add_parser(
        "evaluate", help="measure a release, or a finished run such as small_cnn, on a split"
    )
    evaluate.add_argument("what", help="a recipe's name, or a label set for its newest release")
    evaluate.add_argument("--split", default="test", choices=["validation", "calibration", "test"])
    evaluate.add_argument("--data", type=Path)
    evaluate.add_argument("--runs", type=Path, default=Path("var/train"))
    evaluate.add_argument("--seed", type=int, default=1)
    evaluate.set_defaults(run=_evaluate)

    curate = commands.add_parser("curate", help="write the curation manifest of isic9 again")
    curate.add_argument("--data", type=Path)
    curate.set_defaults(run=_curate)
    return parser


def _common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--recipe", required=True, help=", ".join(sorted(RECIPES)))
    command.add_argument("--data", type=Path, help="root of the image sets (default: MLCORE_DATA)")
    command.add_argument("--runs", type=Path, default=Path("var/train"), help="folder of the runs")
    command.add_argument("--seed", type=int, default=1)


def _predict(options: argparse.Namespace) -> int:
    from mlcore.predictor import Predictor  # noqa: PLC0415 - keeps the other commands light

    predictor = Predictor.load(options.release or latest(options.model), engine=options.engine)
    if predictor.key != options.model:
        msg = f"{options.release} is a release of {predictor.key}, not of {options.model}."
        raise ReleaseError(msg)
    failed = False
    for start in range(0, len(options.images), _PREDICTION_BATCH):
        paths = options.images[start : start + _PREDICTION_BATCH]
        for row in _rows(predictor, paths):
            failed = failed or row["probabilities"] is None
            print(json.dumps(row) if options.json else _in_words(row), flush=True)  # noqa: T201
    return 1 if failed else 0


def _rows(predictor: Any, paths: Sequence[Path]) -> list[dict[str, Any]]:
    pictures: dict[int, Any] = {}
    faults: dict[int, str] = {}
    for number, path in enumerate(paths):
        try:
            pictures[number] = load_network_source(path.read_bytes())
        except ImageError as error:
            faults[number] = error.sentence
        except OSError as error:
            faults[number] = f"The file cannot be read: {error.strerror or error}."
    results = dict(zip(pictures, predictor.predict(list(pictures.values())), strict=True))
    rows = []
    for number, path in enumerate(paths):
        row: dict[str, Any] = {
            "image": str(path),
            "model": predictor.key,
            "version": predictor.version,
        }
        if number in faults:
            row |= {"probabilities": None, "top": None, "confidence": None}
            row |= {"decision": "rejected", "reason": faults[number]}
        else:
            result = results[number]
            row |= {"probabilities": result.probabilities, "top": result.top}
            row |= {"confidence": result.confidence, "decision": result.decision}
            row |= {"reason": result.reason}
        rows.append(row)
    return rows


def _in_words(row: dict[str, Any]) -> str:
    if row["decision"] != "answer":
        return f"{row['image']}: {row['decision']}: {row['reason']}"
    return f"{row['image']}: {row['top']} ({row['confidence']:.0%})"


def _pictures(options: argparse.Namespace, recipe: Any, names: Sequence[str]) -> dict[str, Any]:
    from mlcore.data.splits import load_split  # noqa: PLC0415 - only training reads the sets
    from mlcore.train.loop import Pictures  # noqa: PLC0415 - imports Keras

    root = data_root(options.data)
    parts = load_split(recipe.label_set, root, seed=options.seed, with_ham=recipe.with_ham)
    keys = label_set(recipe.label_set).keys
    return {name: Pictures(parts[name], keys) for name in names}


def _trained(options: argparse.Namespace, recipe: Any, parts: dict[str, Any]) -> Any:
    from mlcore.train.loop import train  # noqa: PLC0415 - imports Keras

    folder = options.runs / f"{recipe.name}-{options.seed}"
    return train(recipe, parts["train"], parts["validation"], folder=folder, seed=options.seed)


def _train(options: argparse.Namespace) -> int:
    recipe = recipe_named(options.recipe)
    parts = _pictures(options, recipe, ("train", "validation"))
    trained = _trained(options, recipe, parts)
    best = trained.history[trained.best_epoch]
    print(  # noqa: T201 - the command's result
        f"{recipe.name}: best epoch {trained.best_epoch + 1}, balanced accuracy "
        f"{best['balanced_accuracy']:.3f} on validation, "
        f"{trained.pictures_per_second:.1f} pictures/s"
    )
    return 0


def _release(options: argparse.Namespace) -> int:
    from mlcore.release import make_release  # noqa: PLC0415 - imports Keras

    recipe = recipe_named(options.recipe)
    parts = _pictures(options, recipe, ("train", "validation", "calibration", "test"))
    trained = _trained(options, recipe, parts)
    made = make_release(
        recipe,
        trained,
        parts,
        releases=options.releases,
        version=options.version,
        seed=options.seed,
        test_looks=options.test_looks,
    )
    print(f"released {made.key} {made.version}: {made.folder}")  # noqa: T201 - the result
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from mlcore.evaluate import evaluate  # noqa: PLC0415 - keeps the other commands light

    if options.what in LABEL_SETS:
        truth, chances, groups, key = _release_answers(options)
    else:
        truth, chances, groups, key = _run_answers(options)
    print(json.dumps(evaluate(key, truth, chances, groups), indent=1))  # noqa: T201 - the result
    return 0


def _release_answers(options: argparse.Namespace) -> tuple[Any, Any, Any, str]:
    import numpy as np  # noqa: PLC0415 - keeps the other commands light
    from PIL import Image  # noqa: PLC0415

    from mlcore.predictor import Predictor  # noqa: PLC0415

    predictor = Predictor(load_release(latest(options.what)))
    recipe = recipe_named(predictor.release.manifest["recipe"]["name"])
    part = _pictures(options, recipe, (options.split,))[options.split]
    chances = []
    for start in range(0, len(part), _PREDICTION_BATCH):
        batch = [Image.fromarray(a) for a in part.arrays[start : start + _PREDICTION_BATCH]]
        chances += [list(r.probabilities.values()) for r in predictor.predict(batch)]
    groups = [record.group for record in part.records]
    return part.labels, np.array(chances), groups, options.what


def _run_answers(options: argparse.Namespace) -> tuple[Any, Any, Any, str]:
    from mlcore.evaluate import softmax  # noqa: PLC0415 - keeps the other commands light
    from mlcore.train.loop import predict_logits  # noqa: PLC0415

    recipe = recipe_named(options.what)
    parts = _pictures(options, recipe, ("train", "validation", options.split))
    trained = _trained(options, recipe, parts)
    part = parts[options.split]
    logits = predict_logits(trained.model, part.squares(recipe.side))
    return part.labels, softmax(logits), [r.group for r in part.records], recipe.label_set


def _curate(options: argparse.Namespace) -> int:
    from mlcore.data.curation import curate_isic9, write_manifest  # noqa: PLC0415 - one use

    rows = curate_isic9(data_root(options.data))
    path = write_manifest(rows, "isic9")
    print(f"{len(rows)} files left out of training: {os.path.relpath(path)}")  # noqa: T201
    return 0
