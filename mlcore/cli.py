"""``python -m mlcore train|evaluate|predict|release|verify|curate``: no Django, no server."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcore.bundle import RELEASES, ReleaseError, latest, list_releases, new_folder
from mlcore.card import side_by_side
from mlcore.data.sets import DataError, data_root
from mlcore.engines.base import EngineError
from mlcore.golden import GoldenError, check_golden
from mlcore.imaging import DEFAULT_LIMITS, ImageError, load_network_source
from mlcore.labels import LABEL_SETS, UnknownLabelSetError, label_set
from mlcore.networks.checkpoint import CheckpointError
from mlcore.train.recipes import RECIPES, UnknownRecipeError, recipe_named
from mlcore.train.run import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcore.predictor import Predictor
    from mlcore.train.loop import Pictures
    from mlcore.train.recipes import Recipe

_PREDICTION_BATCH = 16
_SPLITS = ("validation", "calibration", "test")
_LOOKS = "how often the test split has been looked at, this time included"
_DATA = "root of the image sets (default: MLCORE_DATA, else ../shared/data)"
_KNOWN = (
    DataError,
    ReleaseError,
    RunError,
    GoldenError,
    CheckpointError,
    UnknownLabelSetError,
    UnknownRecipeError,
    EngineError,
)


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
    release.add_argument("--version", required=True, help="like 1.2.3; never one that exists")
    release.add_argument("--test-looks", type=_looks, required=True, help=_LOOKS)
    release.add_argument("--releases", type=Path, default=RELEASES)
    release.add_argument(
        "--stopped", action="store_true", help="take a run that was stopped before its last epoch"
    )
    release.set_defaults(run=_release)

    evaluate = commands.add_parser(
        "evaluate", help="measure releases and finished runs on one split, side by side"
    )
    evaluate.add_argument(
        "what", nargs="+", help="a label set for its newest release, or a recipe for its run"
    )
    evaluate.add_argument("--split", default="validation", choices=_SPLITS)
    evaluate.add_argument("--test-looks", type=_looks, help=f"with --split test: {_LOOKS}")
    evaluate.add_argument("--json", action="store_true", help="every figure, as one JSON object")
    evaluate.add_argument("--data", type=Path, help=_DATA)
    evaluate.add_argument("--runs", type=Path, default=Path("var/train"))
    evaluate.add_argument("--releases", type=Path, default=RELEASES)
    evaluate.add_argument("--seed", type=int, default=1, help="of the runs")
    evaluate.set_defaults(run=_evaluate)

    verify = commands.add_parser(
        "verify", help="prove that releases are whole and still give their golden answers"
    )
    verify.add_argument("folders", nargs="*", type=Path, help="release folders (default: all)")
    verify.add_argument("--engine", help="litert or tensorflow (default: MLCORE_ENGINE)")
    verify.set_defaults(run=_verify)

    curate = commands.add_parser("curate", help="write the curation manifest of isic9 again")
    curate.add_argument("--data", type=Path, help=_DATA)
    curate.set_defaults(run=_curate)
    return parser


def _looks(text: str) -> int:
    count = int(text)
    if count < 1:
        msg = "this time counts too, so it is at least 1"
        raise argparse.ArgumentTypeError(msg)
    return count


def _common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--recipe", required=True, help=", ".join(sorted(RECIPES)))
    command.add_argument("--data", type=Path, help=_DATA)
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
            group = row.pop("triage_group")
            line = json.dumps(row) if options.json else _in_words(row, group)
            print(line, flush=True)  # noqa: T201 - the command's result
    return 1 if failed else 0


def _rows(predictor: Predictor, paths: Sequence[Path]) -> list[dict[str, Any]]:
    pictures: dict[int, Any] = {}
    faults: dict[int, str] = {}
    for number, path in enumerate(paths):
        try:
            with path.open("rb") as stream:
                # One byte more than is allowed is enough to be refused.
                data = stream.read(DEFAULT_LIMITS.max_bytes + 1)
            pictures[number] = load_network_source(data)
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
            row |= {"decision": "rejected", "reason": faults[number], "triage_group": None}
        else:
            result = results[number]
            row |= {"probabilities": result.probabilities, "top": result.top}
            row |= {"confidence": result.confidence, "decision": result.decision}
            row |= {"reason": result.reason, "triage_group": result.triage_group}
        rows.append(row)
    return rows


def _in_words(row: dict[str, Any], group: str | None) -> str:
    if row["decision"] != "answer":
        return f"{row['image']}: {row['decision']}: {row['reason']}"
    return f"{row['image']}: {row['top']} ({row['confidence']:.0%}); worst plausible group: {group}"


def _pictures(
    options: argparse.Namespace, recipe: Recipe, seed: int, names: Sequence[str]
) -> dict[str, Pictures]:
    from mlcore.data.splits import load_split  # noqa: PLC0415 - only training reads the sets
    from mlcore.train.loop import Pictures  # noqa: PLC0415 - imports Keras

    root = data_root(options.data)
    parts = load_split(recipe.label_set, root, seed=seed, with_ham=recipe.with_ham)
    keys = label_set(recipe.label_set).keys
    return {name: Pictures(parts[name], keys) for name in names}


def _folder(options: argparse.Namespace, recipe: Recipe) -> Path:
    return Path(options.runs / f"{recipe.name}-{options.seed}")


def _train(options: argparse.Namespace) -> int:
    from mlcore.train.loop import train  # noqa: PLC0415 - imports Keras

    recipe = recipe_named(options.recipe)
    parts = _pictures(options, recipe, options.seed, ("train", "validation"))
    trained = train(
        recipe,
        parts["train"],
        parts["validation"],
        folder=_folder(options, recipe),
        seed=options.seed,
    )
    best = trained.history[trained.best_epoch]
    print(  # noqa: T201 - the command's result
        f"{recipe.name}: best epoch {trained.best_epoch + 1}, balanced accuracy "
        f"{best['balanced_accuracy']:.3f} on validation, "
        f"{trained.pictures_per_second:.1f} pictures/s"
    )
    return 0


def _release(options: argparse.Namespace) -> int:
    recipe = recipe_named(options.recipe)
    new_folder(options.releases, recipe.label_set, options.version)
    from mlcore.release import make_release  # noqa: PLC0415 - imports Keras
    from mlcore.train.loop import load_trained  # noqa: PLC0415 - imports Keras

    trained = load_trained(
        recipe,
        folder=_folder(options, recipe),
        seed=options.seed,
        even_if_stopped=options.stopped,
    )
    parts = _pictures(options, recipe, options.seed, ("train", *_SPLITS))
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

    if options.split == "test" and options.test_looks is None:
        msg = f"--split test needs --test-looks N: {_LOOKS}."
        raise DataError(msg)
    tables = {}
    for what in options.what:
        answers = _release_answers if what in LABEL_SETS else _run_answers
        tables[what] = evaluate(*answers(options, what))
    if options.json:
        whole = {"split": options.split, "test_looks": options.test_looks, "figures": tables}
        print(json.dumps(whole, indent=1))  # noqa: T201 - the result
    else:
        print("\n".join(side_by_side(tables)))  # noqa: T201 - the result
    return 0


def _release_answers(options: argparse.Namespace, key: str) -> tuple[str, Any, Any, list[str]]:
    import numpy as np  # noqa: PLC0415 - keeps the other commands light
    from PIL import Image  # noqa: PLC0415

    from mlcore.predictor import Predictor  # noqa: PLC0415

    predictor = Predictor.load(latest(key, options.releases))
    facts = predictor.release.manifest
    # The deal of the pictures it was trained on, or it would be measured on some of them.
    recipe = recipe_named(facts["recipe"]["name"])
    part = _pictures(options, recipe, facts["seed"], (options.split,))[options.split]
    chances = []
    for start in range(0, len(part), _PREDICTION_BATCH):
        batch = [Image.fromarray(a) for a in part.arrays[start : start + _PREDICTION_BATCH]]
        chances += [list(r.probabilities.values()) for r in predictor.predict(batch)]
    return key, part.labels, np.array(chances), [record.group for record in part.records]


def _run_answers(options: argparse.Namespace, name: str) -> tuple[str, Any, Any, list[str]]:
    from mlcore.evaluate import softmax  # noqa: PLC0415 - keeps the other commands light
    from mlcore.train.loop import load_trained, predict_logits  # noqa: PLC0415

    recipe = recipe_named(name)
    trained = load_trained(recipe, folder=_folder(options, recipe), seed=options.seed)
    part = _pictures(options, recipe, options.seed, (options.split,))[options.split]
    chances = softmax(predict_logits(trained.model, part.squares(recipe.side)))
    return recipe.label_set, part.labels, chances, [record.group for record in part.records]


def _verify(options: argparse.Namespace) -> int:
    from mlcore.predictor import Predictor  # noqa: PLC0415 - keeps the other commands light

    folders = options.folders or list_releases()
    if not folders:
        msg = f"There is no release under {RELEASES}."
        raise ReleaseError(msg)
    for folder in folders:
        predictor = Predictor.load(folder, engine=options.engine)
        worst = check_golden(predictor)
        print(  # noqa: T201 - the command's result
            f"{predictor.key} {predictor.version}: whole; golden answers within {worst:.1e} on "
            f"{predictor.engine.name}"
        )
    return 0


def _curate(options: argparse.Namespace) -> int:
    from mlcore.data.curation import curate_isic9, write_manifest  # noqa: PLC0415 - one use

    rows = curate_isic9(data_root(options.data))
    path = write_manifest(rows, "isic9")
    print(f"{len(rows)} files left out of training: {os.path.relpath(path)}")  # noqa: T201
    return 0
