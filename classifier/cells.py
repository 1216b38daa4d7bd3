"""Cells of tables (CSV) that people open in a spreadsheet, where nothing that was typed may run.

A cell that would be taken for a formula gets an apostrophe before it, and one that was sent with it
and comes back loses it again.
"""

from __future__ import annotations

import re

_SIGNS = (
    r"=+\-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    r"\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)
# A spreadsheet that parts columns by semicolons knows no quotes inside of a column: there a
# semicolon, a tab or a line's end within a cell begins a cell of its own.
_BREAK = r"[;\t\r\n]\s*+"
# Apostrophes that stand there already are one more, so that the way back is exact.
_FRONT = re.compile(rf"\A(?='*[{_SIGNS}\t\r\n])")
_INSIDE = re.compile(rf"({_BREAK})(?='*[{_SIGNS}])")
_FRONT_AGAIN = re.compile(rf"\A'(?='*[{_SIGNS}\t\r\n])")
_INSIDE_AGAIN = re.compile(rf"({_BREAK})'(?='*[{_SIGNS}])")


def harmless(cell: str) -> str:
    """Return a cell as text: a spreadsheet must not run what a patient's name says."""
    return _FRONT.sub("'", _INSIDE.sub(r"\1'", cell))


def as_written(cell: str) -> str:
    """Return a cell that :func:`harmless` made, as it was before; any other cell as it is."""
    return _INSIDE_AGAIN.sub(r"\1", _FRONT_AGAIN.sub("", cell))
