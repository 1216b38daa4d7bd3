"""What a plot is: a drawing, and the same figures as a table."""

from __future__ import annotations

from dataclasses import dataclass

from mlcore.plots.svg import standalone


@dataclass(frozen=True)
class Table:
    """The figures of a plot, for who does not see it and for who wants the numbers.

    Attributes:
        head: of the columns; the first column names the row.
        rows: as long as the head, as shown.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        name: part of its file's name and of its ids.
        title: what it is.
        description: what it shows, in words.
        svg: the drawing, to be put into a page.
        table: the same figures.
        height: of the drawing, for one as wide as all are (:data:`mlcore.plots.svg.WIDTH`).
    """

    name: str
    title: str
    description: str
    svg: str
    table: Table
    height: float

    @property
    def file_name(self) -> str:
        """Return the name of its file in a release."""
        return f"plot-{self.name}.svg"

    @property
    def file(self) -> str:
        """Return the drawing as a file of its own."""
        return standalone(self.svg)
