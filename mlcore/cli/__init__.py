"""``python -m mlcore COMMAND``: no Django, no server."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from mlcore.bundle import ReleaseError
from mlcore.cli import audit, crossvalidate, curate, evaluate, predict, release, train, verify
from mlcore.data.tables import DataError
from mlcore.engines.base import EngineError
from mlcore.golden import GoldenError
from mlcore.labels import UnknownLabelSetError
from mlcore.networks.checkpoint import CheckpointError
from mlcore.train.recipes import UnknownRecipeError
from mlcore.train.run import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

# In the order of the help text.
_COMMANDS = (predict, train, crossvalidate, release, evaluate, verify, audit, curate)
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
    except OSError as error:
        # A folder that may not be read, a full disk: Python names the file and the fault.
        print(f"mlcore: {_said(error)}", file=sys.stderr)  # noqa: T201 - the command's own message
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


def _said(error: OSError) -> str:
    if not error.filename:
        return str(error)
    return f"{error.filename}: {error.strerror}. Look at the file, its folder's rights, the disk."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mlcore", description="Images and networks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in _COMMANDS:
        module.add(commands)
    return parser
