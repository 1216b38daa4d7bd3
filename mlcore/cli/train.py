"""``python -m mlcore train``: train a recipe, or go on with a stopped run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcore.cli.options import beside, final, of_a_run, pictures, run_folder
from mlcore.train.recipes import recipe_named

if TYPE_CHECKING:
    import argparse

    from mlcore.cli.options import Commands


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser("train", help="train a recipe, or go on with a stopped run")
    of_a_run(command)
    final(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    from mlcore.train.loop import train  # noqa: PLC0415 - imports Keras

    recipe = recipe_named(options.recipe)
    if options.final:
        (training,) = pictures(options, recipe, options.seed, ("train+validation",)).values()
        validation = training.subset([])
    else:
        parts = pictures(options, recipe, options.seed, ("train", "validation"))
        training, validation = parts["train"], parts["validation"]
    unlabelled = beside(options, recipe)
    trained = train(
        recipe,
        training if unlabelled is None else training + unlabelled,
        validation,
        folder=run_folder(options, recipe),
        seed=options.seed,
        outputs=options.runs / "frozen",
    )
    best = trained.history[trained.best_epoch]
    measured = (
        f"balanced accuracy {best['balanced_accuracy']:.3f} on validation"
        if "balanced_accuracy" in best
        else "nothing held out"
    )
    print(  # noqa: T201 - the command's result
        f"{recipe.name}: best epoch {trained.best_epoch + 1}, {measured}, "
        f"{trained.pictures_per_second:.1f} pictures/s"
    )
    return 0
