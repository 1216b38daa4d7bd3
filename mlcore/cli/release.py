"""``python -m mlcore release``: make a release of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlcore.bundle import RELEASES, new_folder
from mlcore.cli.options import LOOKS, SPLITS, looks, of_a_run, pictures, run_folder
from mlcore.train.recipes import recipe_named

if TYPE_CHECKING:
    import argparse

    from mlcore.cli.options import Commands


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser("release", help="make a release of a finished run")
    of_a_run(command)
    command.add_argument("--version", required=True, help="like 1.2.3; never one that exists")
    command.add_argument("--test-looks", type=looks, required=True, help=LOOKS)
    command.add_argument("--releases", type=Path, default=RELEASES)
    command.add_argument(
        "--stopped", action="store_true", help="take a run that was stopped before its last epoch"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    recipe = recipe_named(options.recipe)
    new_folder(options.releases, recipe.label_set, options.version)
    from mlcore.release import make_release  # noqa: PLC0415 - imports Keras
    from mlcore.train.loop import load_trained  # noqa: PLC0415 - imports Keras

    trained = load_trained(
        recipe,
        folder=run_folder(options, recipe),
        seed=options.seed,
        even_if_stopped=options.stopped,
    )
    parts = pictures(options, recipe, options.seed, ("train", *SPLITS))
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
