"""``python -m mlcore crossvalidate``: train a recipe once a fold and measure what was held out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from mlcore.cli.options import beside, folds_folder, of_a_run
from mlcore.data.sets import data_root
from mlcore.labels import label_set
from mlcore.train.recipes import recipe_named

if TYPE_CHECKING:
    from mlcore.cli.options import Commands
    from mlcore.data.sets import Record
    from mlcore.train.recipes import Recipe

FIGURES = "cross-validation.json"
_FOLDS = 5


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser(
        "crossvalidate", help="train a recipe once a fold, grouped, and measure what was held out"
    )
    of_a_run(command)
    command.add_argument("--folds", type=_folds, default=_FOLDS)
    command.add_argument(
        "--keep",
        action="store_true",
        help="train nothing: put what finished folds said of their pictures into the repository",
    )
    command.add_argument("--json", action="store_true", help="every figure, as one JSON object")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    from mlcore.card import side_by_side  # noqa: PLC0415 - keeps the other commands light
    from mlcore.train.cross_figures import cross_figures  # noqa: PLC0415
    from mlcore.train.folds import keep_folds, run_folds  # noqa: PLC0415 - imports Keras
    from mlcore.train.pictures import Pictures  # noqa: PLC0415

    recipe = recipe_named(options.recipe)
    if options.keep:
        folder = folds_folder(options, recipe)
        kept = keep_folds(recipe, folder, options.folds, seed=options.seed)
        print(f"{kept} of {options.folds} folds are kept")  # noqa: T201 - the command's result
        return 0
    folds = dealt_folds(options, recipe, options.folds)
    folder = folds_folder(options, recipe)
    held_out = run_folds(
        recipe,
        Pictures([r for fold in folds for r in fold], label_set(recipe.label_set).keys),
        folds,
        folder=folder,
        outputs=Path(options.runs / "frozen"),
        seed=options.seed,
        beside=beside(options, recipe),
    )
    root = data_root(options.data)
    figures = cross_figures(recipe.label_set, held_out, root, even=recipe.even_labels)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(figures, indent=1))  # noqa: T201 - the command's result
        return 0
    print("\n".join(side_by_side({recipe.name: figures["cross_validation"]})))  # noqa: T201
    for name, figure in figures.get("ham7_cross_validation", {}).get("figures", {}).items():
        print(f"HAM10000 {name}: {figure['value']} {figure['interval']}")  # noqa: T201
    return 0


def dealt_folds(options: argparse.Namespace, recipe: Recipe, count: int) -> list[list[Record]]:
    """Return the pictures that a recipe learns from, dealt into folds with the seed."""
    from mlcore.data.splits import deal_folds, load_records, without_ham  # noqa: PLC0415

    root = data_root(options.data)
    records = load_records(recipe.label_set, root, with_ham=recipe.with_ham)
    folds = deal_folds(records, count=count, seed=options.seed)
    return folds if recipe.with_ham else [without_ham(fold) for fold in folds]


def _folds(text: str) -> int:
    count = int(text)
    if count < 2:  # noqa: PLR2004 - one fold would leave nothing to learn from
        msg = "cross-validation needs at least 2 folds"
        raise argparse.ArgumentTypeError(msg)
    return count
