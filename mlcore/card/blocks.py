"""What a card is made of, whatever it is written as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text."""

    text: str
    kind: Literal["paragraph"] = "paragraph"


@dataclass(frozen=True)
class Bullets:
    """A list of plain sentences."""

    items: tuple[str, ...]
    kind: Literal["bullets"] = "bullets"


@dataclass(frozen=True)
class Grid:
    """A table; the first column names the row.

    Attributes:
        caption: what is in it.
        head: of the columns.
        rows: as long as the head, as shown.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    kind: Literal["grid"] = "grid"


Block = Paragraph | Bullets | Grid


@dataclass(frozen=True)
class Section:
    """A part of a card.

    Attributes:
        key: stable name: ``summary``, ``figures``, ...
        title: its heading.
        blocks: in order.
    """

    key: str
    title: str
    blocks: tuple[Block, ...]


def as_markdown(sections: list[Section]) -> list[str]:
    """Return the lines of sections as Markdown."""
    lines: list[str] = []
    for section in sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += [*_lines(block), ""]
    return lines


def table_lines(head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> list[str]:
    """Return the lines of a Markdown table."""
    written = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return [written[0], "|" + "---|" * len(head), *written[1:]]


def _lines(block: Block) -> list[str]:
    if isinstance(block, Paragraph):
        return [block.text]
    if isinstance(block, Bullets):
        return [f"- {item}" for item in block.items]
    return [f"**{block.caption}**", "", *table_lines(block.head, block.rows)]
