"""``python -m mlcore release``: make a release of a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcore.bundle import RELEASES, load_release, new_folder
from mlcore.cli.crossvalidate import FIGURES as CROSS_FIGURES
from mlcore.cli.crossvalidate import dealt_folds
from mlcore.cli.options import (
    LOOKS,
    SPLITS,
    final,
    folds_folder,
    looks,
    of_a_run,
    pictures,
    run_folder,
)
from mlcore.data.outside import load_outside
from mlcore.data.sets import data_root
from mlcore.train.recipes import recipe_named
from mlcore.train.run import RunError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from mlcore.cli.options import Commands
    from mlcore.data.outside import OutsidePictures
    from mlcore.train.folds import HeldOut
    from mlcore.train.loop import Trained
    from mlcore.train.pictures import Pictures
    from mlcore.train.recipes import Recipe


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser("release", help="make a release of a finished run")
    of_a_run(command)
    final(command)
    command.add_argument("--version", required=True, help="like 1.2.3; never one that exists")
    command.add_argument("--test-looks", type=looks, required=True, help=LOOKS)
    command.add_argument("--releases", type=Path, default=RELEASES)
    command.add_argument(
        "--stopped", action="store_true", help="take a run that was stopped before its last epoch"
    )
    command.add_argument(
        "--network-of",
        metavar="VERSION",
        default="",
        help="take the network of an earlier release of the recipe, and choose anew what is "
        "chosen after the training",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    recipe = recipe_named(options.recipe)
    new_folder(options.releases, recipe.label_set, options.version)
    from mlcore.release import make_release  # noqa: PLC0415 - imports Keras

    # What is missing is told before any picture is read, and before a look at the test split.
    held_out, cross_validation = _cross_validated(options, recipe)
    learnt = ("train+validation",) if options.final else ("train", "validation")
    finished = None if options.network_of else _finished_run(options, recipe)
    parts = pictures(options, recipe, options.seed, (*learnt, *SPLITS[1:]))
    parts["train"] = parts.pop(learnt[0])
    trained = finished or _earlier_network(options, recipe, parts)
    made = make_release(
        recipe,
        trained,
        parts,
        releases=options.releases,
        version=options.version,
        seed=options.seed,
        test_looks=options.test_looks,
        held_out=held_out,
        cross_validation=cross_validation,
        outside=_outside(options, recipe),
    )
    print(f"released {made.key} {made.version}: {made.folder}")  # noqa: T201 - the result
    return 0


def _finished_run(options: argparse.Namespace, recipe: Recipe) -> Trained:
    """Return the recipe's run."""
    from mlcore.train.loop import load_trained  # noqa: PLC0415 - imports Keras

    return load_trained(
        recipe,
        folder=run_folder(options, recipe),
        seed=options.seed,
        even_if_stopped=options.stopped,
    )


def _earlier_network(
    options: argparse.Namespace, recipe: Recipe, parts: Mapping[str, Pictures]
) -> Trained:
    """Return the network of the release that is named instead of a run."""
    from mlcore.earlier import network_of  # noqa: PLC0415 - imports Keras

    earlier = load_release(options.releases / recipe.label_set / options.network_of)
    return network_of(earlier, recipe, parts, seed=options.seed)


def _outside(options: argparse.Namespace, recipe: Recipe) -> dict[str, OutsidePictures] | None:
    """Return the pictures for the gate; a root without them gives a release without a gate."""
    root = data_root(options.data)
    return load_outside(root, recipe.label_set) if (root / "outside").is_dir() else None


def _cross_validated(
    options: argparse.Namespace, recipe: Recipe
) -> tuple[HeldOut | None, dict[str, Any]]:
    """Return predictions and figures of the recipe's cross-validation, if there was one.

    Raises:
        RunError: there was none, and the run has learnt from everything but the calibration part;
            or its folds are kept, and its figures not worked out.
    """
    from mlcore.train.folds import is_cross_validated, read_folds  # noqa: PLC0415 - imports Keras

    folder = folds_folder(options, recipe)
    path = folder / CROSS_FIGURES
    if not path.is_file():
        if not options.final and not is_cross_validated(folder):
            return None, {}
        msg = (
            f"{path} is missing: what a release adds to its logits comes from the folds. First run "
            f"python -m mlcore crossvalidate --recipe {recipe.name} (folds that are kept in the "
            "repository are not trained again)."
        )
        raise RunError(msg)
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        count = int(figures["cross_validation"]["folds"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path} cannot be read ({error}); write it again with mlcore crossvalidate."
        raise RunError(msg) from error
    folds = dealt_folds(options, recipe, count)
    return read_folds(recipe, folds, folder, seed=options.seed), figures
