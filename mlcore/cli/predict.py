"""``python -m mlcore predict``: judge images with a release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcore.bundle import ReleaseError, latest
from mlcore.cli.options import BATCH
from mlcore.imaging import DEFAULT_LIMITS, ImageError, load_network_source
from mlcore.labels import LABEL_SETS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from mlcore.cli.options import Commands
    from mlcore.predictor import Predictor


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser("predict", help="judge images with a release")
    command.add_argument("--model", required=True, choices=sorted(LABEL_SETS))
    command.add_argument("--release", type=Path, help="a release folder (default: the newest)")
    command.add_argument("--engine", help="litert or tensorflow (default: MLCORE_ENGINE)")
    command.add_argument("--json", action="store_true", help="one JSON object a line")
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    from mlcore.predictor import Predictor  # noqa: PLC0415 - keeps the other commands light

    predictor = Predictor.load(options.release or latest(options.model), engine=options.engine)
    if predictor.key != options.model:
        msg = f"{options.release} is a release of {predictor.key}, not of {options.model}."
        raise ReleaseError(msg)
    failed = False
    for start in range(0, len(options.images), BATCH):
        paths = options.images[start : start + BATCH]
        for row in _rows(predictor, paths):
            failed = failed or row["probabilities"] is None
            group = row.pop("triage_group")
            line = json.dumps(row) if options.json else _in_words(row, group)
            print(line, flush=True)  # noqa: T201 - the command's result
    return 1 if failed else 0


def _rows(predictor: Predictor, paths: Sequence[Path]) -> list[dict[str, Any]]:
    pictures: dict[int, Any] = {}
    faults: dict[int, str] = {}
    for number, path in enumerate(paths):
        try:
            with path.open("rb") as stream:
                # One byte more than is allowed is enough to be refused.
                data = stream.read(DEFAULT_LIMITS.max_bytes + 1)
            pictures[number] = load_network_source(data)
        except ImageError as error:
            faults[number] = error.sentence
        except OSError as error:
            faults[number] = f"The file cannot be read: {error.strerror or error}."
    results = dict(zip(pictures, predictor.predict(list(pictures.values())), strict=True))
    rows = []
    for number, path in enumerate(paths):
        row: dict[str, Any] = {
            "image": str(path),
            "model": predictor.key,
            "version": predictor.version,
        }
        if number in faults:
            row |= {"probabilities": None, "top": None, "confidence": None}
            row |= {"decision": "rejected", "reason": faults[number], "triage_group": None}
        else:
            result = results[number]
            row |= {"probabilities": result.probabilities, "top": result.top}
            row |= {"confidence": result.confidence, "decision": result.decision}
            row |= {"reason": result.reason, "triage_group": result.triage_group}
        rows.append(row)
    return rows


def _in_words(row: dict[str, Any], group: str | None) -> str:
    if row["decision"] != "answer":
        return f"{row['image']}: {row['decision']}: {row['reason']}"
    return f"{row['image']}: {row['top']} ({row['confidence']:.0%}); worst plausible group: {group}"
