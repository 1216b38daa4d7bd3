"""``python -m mlcore curate``: write the committed curation manifest of a set again."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from mlcore.cli.audit import progress
from mlcore.cli.options import DATA
from mlcore.data.sets import data_root
from mlcore.labels import LABEL_SETS, label_set

if TYPE_CHECKING:
    import argparse

    from mlcore.cli.options import Commands


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser("curate", help="write the curation manifest of a set again")
    command.add_argument(
        "label_set", nargs="?", default="isic9", choices=sorted(LABEL_SETS), metavar="LABEL_SET"
    )
    command.add_argument("--data", type=Path, help=DATA)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    from mlcore.audit.audit import Question, audit  # noqa: PLC0415 - keeps other commands light
    from mlcore.audit.manifest import ACTIONS, write_manifest  # noqa: PLC0415
    from mlcore.data import curation  # noqa: PLC0415

    key = options.label_set
    folder = data_root(options.data) / key
    done = audit(Question(folder, label_set(key)), tell=progress(sys.stderr))
    path = curation.manifest_path(key)
    write_manifest(done.rows, path)
    curation.forget()
    counted = Counter(row.action for row in done.rows)
    numbers = ", ".join(f"{action} {counted[action]}" for action in ACTIONS)
    print(f"{len(done.rows)} files of {key}: {numbers}: {os.path.relpath(path)}")  # noqa: T201
    return 0
