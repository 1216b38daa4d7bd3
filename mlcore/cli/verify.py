"""``python -m mlcore verify``: prove that releases are whole and give their golden answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlcore.bundle import RELEASES, ReleaseError, list_releases
from mlcore.golden import check_golden

if TYPE_CHECKING:
    import argparse

    from mlcore.cli.options import Commands


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser(
        "verify", help="prove that releases are whole and still give their golden answers"
    )
    command.add_argument("folders", nargs="*", type=Path, help="release folders (default: all)")
    command.add_argument("--engine", help="litert or tensorflow (default: MLCORE_ENGINE)")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
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
