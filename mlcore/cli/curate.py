"""``python -m mlcore curate``: write the curation manifest of isic9 again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mlcore.cli.options import DATA
from mlcore.data.sets import data_root

if TYPE_CHECKING:
    import argparse

    from mlcore.cli.options import Commands


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser("curate", help="write the curation manifest of isic9 again")
    command.add_argument("--data", type=Path, help=DATA)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    from mlcore.data.curation import curate_isic9, write_manifest  # noqa: PLC0415 - one use

    rows = curate_isic9(data_root(options.data))
    path = write_manifest(rows, "isic9")
    print(f"{len(rows)} files left out of training: {os.path.relpath(path)}")  # noqa: T201
    return 0
