"""What somebody typed never runs in the spreadsheet of whoever opens a table."""

from __future__ import annotations

import pytest

from classifier.cells import as_written, harmless


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Sommer, Ada", "Sommer, Ada"),
        ("Mole; left of the spine - small", "Mole; left of the spine - small"),
        ("O'Hara", "O'Hara"),
        ("'quoted'", "'quoted'"),
        ("=cmd()", "'=cmd()"),
        ("-4711", "'-4711"),
        ("\N{FULLWIDTH EQUALS SIGN}1", "'\N{FULLWIDTH EQUALS SIGN}1"),
        ("\t=1", "'\t'=1"),
        # A German spreadsheet parts columns here, whatever quotes stand around the cell.
        ("Mole;=1", "Mole;'=1"),
        ("Mole;  @SUM(A1)", "Mole;  '@SUM(A1)"),
        ("a\t+1\r\n-2", "a\t'+1\r\n'-2"),
        # An apostrophe that was typed is one more, so that it is there again afterwards.
        ("'=1", "''=1"),
        ("a;'=1", "a;''=1"),
    ],
)
def test_a_formula_is_text_and_comes_back_as_it_was(cell: str, expected: str) -> None:
    assert harmless(cell) == expected
    assert as_written(expected) == cell
