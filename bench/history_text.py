"""The plans of :mod:`bench.history` as compact text: one file for each part of the application."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Values of rows, and of sessions: the shape of a question is what matters.
_LITERAL = re.compile(r"'(?:[^']|'')*'(?:::\w+(?:\[\])?)?")
_NUMBERS = re.compile(r"\(cost=[^)]*\) |Index Searches: \d+|width=\d+|\d+(\.\d+)?")
_COST = re.compile(r"\(cost=[^)]*\) ")
_LEFT_OUT = ("Planning:", "Index Searches:", "Heap Blocks:", "Worker", "Buffers: ", "JIT")
_LONGEST_LINE = 150


def write_plans(folder: Path, pages: Sequence[dict[str, Any]]) -> None:
    """Write the plans of each page; one that an earlier page of the file has too is only named.

    Args:
        folder: made when missing; its files are written anew.
        pages: as :func:`bench.history_measure.main` gives them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for page in pages:
        if "error" not in page:
            parts[page["part"]].append(page)
    for part, members in parts.items():
        text = "\n".join(_lines(members))
        (folder / f"{part}.txt").write_text(text + "\n", encoding="utf-8")


def _lines(pages: Sequence[dict[str, Any]]) -> list[str]:
    lines: list[str] = []
    seen: dict[tuple[str, str], str] = {}
    for page in pages:
        lines += ["", f"== {page['name']}: {page['queries']} queries"]
        for number, plan in enumerate(page["plans"], 1):
            question, shape = (
                _question(plan["sql"]),
                _NUMBERS.sub("", _LITERAL.sub("?", plan["plan"])),
            )
            place = f"{page['name']}, query {number}"
            known = seen.setdefault((question, shape), place)
            head = f"-- query {number}, {plan['ms']:.1f} ms with planning: "
            if known == place:
                lines += [head + question[:_LONGEST_LINE], *_compact(plan["plan"])]
            else:
                lines.append(f"{head}as {known}")
    return lines[1:]


def _question(sql: str) -> str:
    """Return a statement without its values and without its list of columns."""
    told = " ".join(_LITERAL.sub("?", sql).split())
    return re.sub(r"^SELECT (DISTINCT )?.*? FROM ", r"SELECT \1… FROM ", told)


def _compact(plan: str) -> list[str]:
    """Return the nodes and conditions of a plan, two spaces a level, without guesses and values."""
    lines: list[str] = []
    for line in plan.splitlines():
        told = line.strip()
        if told.startswith(_LEFT_OUT) and not told.startswith("Buffers: shared"):
            continue
        if told.startswith(("Planning Time", "Execution Time", "Buffers")) and lines[1:]:
            # The first node's buffers are those of the whole statement.
            if told.startswith("Buffers") and not any("Buffers" in kept for kept in lines):
                lines.append("   " + told)
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        words = _LITERAL.sub("?", _COST.sub("", told)).replace("actual ", "")
        lines.append(("  " * depth + words)[:_LONGEST_LINE])
    return lines
