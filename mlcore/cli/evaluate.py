"""``python -m mlcore evaluate``: measure releases and finished runs on one split, side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcore.bundle import RELEASES, latest
from mlcore.card import side_by_side
from mlcore.cli.options import BATCH, DATA, LOOKS, SPLITS, looks, pictures, run_folder
from mlcore.data.tables import DataError
from mlcore.labels import LABEL_SETS
from mlcore.train.recipes import recipe_named
from mlcore.train.run import RunError

if TYPE_CHECKING:
    import argparse

    from mlcore.cli.options import Commands
    from mlcore.train.pictures import Pictures
    from mlcore.train.recipes import Recipe


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser(
        "evaluate", help="measure releases and finished runs on one split, side by side"
    )
    command.add_argument(
        "what", nargs="+", help="a label set for its newest release, or a recipe for its run"
    )
    command.add_argument("--split", default="validation", choices=SPLITS)
    command.add_argument(
        "--all-pictures",
        action="store_true",
        help="count pictures that only joined the training from another set too",
    )
    command.add_argument("--test-looks", type=looks, help=f"with --split test: {LOOKS}")
    command.add_argument("--json", action="store_true", help="every figure, as one JSON object")
    command.add_argument("--data", type=Path, help=DATA)
    command.add_argument("--runs", type=Path, default=Path("var/train"))
    command.add_argument("--releases", type=Path, default=RELEASES)
    command.add_argument("--seed", type=int, default=1, help="of the runs")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    from mlcore.evaluate import evaluate  # noqa: PLC0415 - keeps the other commands light

    if options.split == "test" and options.test_looks is None:
        msg = f"--split test needs --test-looks N: {LOOKS}."
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
    if options.split not in facts["data"]:
        msg = (
            f"The release {key} {predictor.release.version} learnt from the {options.split} part "
            "too; measure it on --split calibration."
        )
        raise RunError(msg)
    part = _measured(options, recipe, facts["seed"])
    chances = []
    for start in range(0, len(part), BATCH):
        batch = [Image.fromarray(a) for a in part.arrays[start : start + BATCH]]
        chances += [list(r.probabilities.values()) for r in predictor.predict(batch)]
    return key, part.labels, np.array(chances), [record.group for record in part.records]


def _run_answers(options: argparse.Namespace, name: str) -> tuple[str, Any, Any, list[str]]:
    from mlcore.evaluate import softmax  # noqa: PLC0415 - keeps the other commands light
    from mlcore.train.loop import load_trained, predict_logits  # noqa: PLC0415

    recipe = recipe_named(name)
    trained = load_trained(recipe, folder=run_folder(options, recipe), seed=options.seed)
    part = _measured(options, recipe, options.seed)
    chances = softmax(predict_logits(trained.model, part.squares(recipe.side)))
    return recipe.label_set, part.labels, chances, [record.group for record in part.records]


def _measured(options: argparse.Namespace, recipe: Recipe, seed: int) -> Pictures:
    """Return the pictures to measure on: the same ones for every recipe of a label set."""
    part = pictures(options, recipe, seed, (options.split,))[options.split]
    if options.all_pictures:
        return part
    return part.subset(i for i, r in enumerate(part.records) if r.source == recipe.label_set)
