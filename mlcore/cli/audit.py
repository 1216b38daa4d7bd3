"""``python -m mlcore audit``: find what is wrong with a folder of labelled pictures."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mlcore.audit.pairs import NEAR_BITS
from mlcore.data.tables import DataError
from mlcore.labels import LABEL_SETS, label_set

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from mlcore.audit.audit import Audit
    from mlcore.cli.options import Commands

_BAR = 30
_MOST_BITS = 256
_DESCRIPTION = """\
Find unreadable files, copies, contradictory labels, lesions in two splits, lopsided classes and
outliers in <split>/<class>/, <class>/ or one folder of pictures. Nothing in the folder is changed.
Exit status: 0 nothing found, 1 something found, 2 the audit could not be made."""


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser(
        "audit",
        help="find what is wrong with a folder of labelled pictures",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("folder", type=Path, metavar="DIR")
    command.add_argument("--report", type=Path, metavar="FILE", help="one page, .md or .html")
    command.add_argument(
        "--manifest", type=Path, metavar="FILE", help="the curation manifest, .csv or .json"
    )
    command.add_argument(
        "--contact-sheet", type=Path, metavar="FOLDER", help="write the pictures side by side"
    )
    command.add_argument("--json", action="store_true", help="everything, as one JSON object")
    command.add_argument(
        *("--metadata", "--groups"),
        dest="tables",
        type=Path,
        action="append",
        default=[],
        metavar="CSV",
        help="a table with lesion_id, group or diagnosis by file; may be given several times",
    )
    command.add_argument(
        "--beside",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="another set that will be used together with this one; say which pictures it shares",
    )
    command.add_argument(
        "--label-set", choices=sorted(LABEL_SETS), help="the classes must be labels of this set"
    )
    command.add_argument(
        "--wrong-label",
        action="append",
        default=[],
        metavar="WRONG=RIGHT",
        help="a picture under both labels is wrong under the first (default: by --label-set)",
    )
    command.add_argument(
        "--bits",
        type=_bits,
        default=NEAR_BITS,
        help="of 256 that copies may differ in (%(default)s)",
    )
    either = command.add_mutually_exclusive_group()
    either.add_argument(
        "--check", type=Path, metavar="MANIFEST", help="only prove that a manifest matches"
    )
    either.add_argument(
        "--curated", type=Path, metavar="MANIFEST", help="audit what a manifest leaves"
    )
    command.set_defaults(run=run)


def _bits(text: str) -> int:
    bits = int(text)
    if not 0 <= bits <= _MOST_BITS:
        msg = f"from 0 to {_MOST_BITS}"
        raise argparse.ArgumentTypeError(msg)
    return bits


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    from mlcore.audit.audit import Question, audit  # noqa: PLC0415 - keeps other commands light
    from mlcore.audit.report import as_data, summary  # noqa: PLC0415

    if options.check:
        return _check(options)
    question = Question(
        options.folder,
        labels=label_set(options.label_set) if options.label_set else None,
        tables=tuple(options.tables),
        wrong_copy=_rules(options.wrong_label),
        curated=options.curated,
        beside=tuple(options.beside),
        bits=options.bits,
    )
    done = audit(question, tell=progress(sys.stderr))
    told = _write(done, options)
    if options.json:
        print(json.dumps(as_data(done), indent=1))  # noqa: T201 - the result
    else:
        print("\n".join([*summary(done), *told]))  # noqa: T201 - the result
    return 1 if done.findings else 0


def _write(done: Audit, options: argparse.Namespace) -> list[str]:
    from mlcore.audit.manifest import write_manifest  # noqa: PLC0415 - as above
    from mlcore.audit.report import write_report  # noqa: PLC0415

    told, sheets = [], {}
    if options.contact_sheet:
        from mlcore.audit.sheets import write_sheets  # noqa: PLC0415

        sheets = write_sheets(done, options.contact_sheet)
        number = sum(len(paths) for paths in sheets.values())
        told.append(f"Contact sheets: {number} in {options.contact_sheet}")
    if options.manifest:
        write_manifest(done.rows, options.manifest)
        told.append(f"Manifest: {options.manifest}")
    if options.report:
        write_report(done, options.report, sheets)
        told.append(f"Report: {options.report}")
    return told


def _check(options: argparse.Namespace) -> int:
    from mlcore.audit.layout import read_layout  # noqa: PLC0415 - as above
    from mlcore.audit.manifest import ACTIONS, check_manifest, read_manifest  # noqa: PLC0415

    rows = read_manifest(options.check)
    check_manifest(rows, read_layout(options.folder))
    counted = ", ".join(f"{a} {sum(r.action == a for r in rows)}" for a in ACTIONS)
    print(f"{options.check} matches all {len(rows)} files: {counted}.")  # noqa: T201 - the result
    return 0


def _rules(given: list[str]) -> dict[frozenset[str], str] | None:
    rules = {}
    for rule in given:
        wrong, equals, right = rule.partition("=")
        if not (wrong and equals and right) or wrong == right:
            msg = f"--wrong-label {rule}: write it as WRONG=RIGHT, like nevus=melanoma."
            raise DataError(msg)
        rules[frozenset({wrong, right})] = wrong
    return rules or None


def progress(stream: TextIO) -> Callable[[str, int, int], None] | None:
    """Return what draws a progress bar; None where nobody watches."""
    if not stream.isatty():
        return None
    drawn: dict[str, tuple[int, bool]] = {}

    def tell(step: str, done: int, whole: int) -> None:
        filled = _BAR * done // whole
        # Redrawn only when it grows: a terminal is slower than reading a small picture.
        if drawn.get(step) != (filled, done == whole):
            drawn[step] = (filled, done == whole)
            bar = "#" * filled + "." * (_BAR - filled)
            stream.write(f"\r{step:10} [{bar}] {done} of {whole}" + "\n" * (done == whole))
            stream.flush()

    return tell
