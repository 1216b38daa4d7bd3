"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mlcore.data.sets import data_root
from mlcore.labels import label_set
from mlcore.train.recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcore.train.loop import Pictures
    from mlcore.train.recipes import Recipe

    # The library has no public name for what add_subparsers() returns.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - see above

BATCH = 16
SPLITS = ("validation", "calibration", "test")
LOOKS = "how often the test split has been looked at, this time included"
DATA = "root of the image sets (default: MLCORE_DATA, else ../shared/data)"


def looks(text: str) -> int:
    """Return a count of looks at the test split, for ``type=``: 1 or more."""
    count = int(text)
    if count < 1:
        msg = "this time counts too, so it is at least 1"
        raise argparse.ArgumentTypeError(msg)
    return count


def of_a_run(command: argparse.ArgumentParser) -> None:
    """Add the options that name a recipe's run and the images it reads."""
    command.add_argument("--recipe", required=True, help=", ".join(sorted(RECIPES)))
    command.add_argument("--data", type=Path, help=DATA)
    command.add_argument("--runs", type=Path, default=Path("var/train"), help="folder of the runs")
    command.add_argument("--seed", type=int, default=1)


def pictures(
    options: argparse.Namespace, recipe: Recipe, seed: int, names: Sequence[str]
) -> dict[str, Pictures]:
    """Return the named splits of a recipe's images, dealt with the seed.

    Args:
        options: with the data root.
        recipe: says which images.
        seed: of the deal.
        names: of the splits; ``train+validation`` is both as one.
    """
    from mlcore.data.splits import load_split  # noqa: PLC0415 - only training reads the sets
    from mlcore.train.loop import Pictures  # noqa: PLC0415 - imports Keras

    root = data_root(options.data)
    parts = load_split(recipe.label_set, root, seed=seed, with_ham=recipe.with_ham)
    keys = label_set(recipe.label_set).keys
    return {
        name: Pictures([r for part in name.split("+") for r in parts[part]], keys) for name in names
    }


def beside(options: argparse.Namespace, recipe: Recipe) -> Pictures | None:
    """Return the pictures without a label that a recipe learns from too, if it does."""
    if not recipe.outside_share:
        return None
    from mlcore.data.outside import exposure_records  # noqa: PLC0415 - only training reads the sets
    from mlcore.train.pictures import Pictures  # noqa: PLC0415

    return Pictures(exposure_records(data_root(options.data)), label_set(recipe.label_set).keys)


def final(command: argparse.ArgumentParser) -> None:
    """Add the option that tells the run to be released from those that choose a recipe."""
    command.add_argument(
        "--final",
        action="store_true",
        help="learn from the validation split too; the last epoch counts",
    )


def run_folder(options: argparse.Namespace, recipe: Recipe) -> Path:
    """Return the folder of a recipe's run."""
    end = "-final" if getattr(options, "final", False) else ""
    return Path(options.runs / f"{recipe.name}-{options.seed}{end}")


def folds_folder(options: argparse.Namespace, recipe: Recipe) -> Path:
    """Return the folder of a recipe's cross-validation."""
    return Path(options.runs / f"{recipe.name}-{options.seed}-folds")
