"""A small SVG writer: escaped text, short numbers, the same bytes every time.

Nothing here uses a style attribute, a script, a font or a colour of its own: shapes are drawn in
``currentColor``, and a class (``plot-main``, ``plot-second``, ``plot-soft``, ``plot-grid``) says
which colour that is. The application's stylesheet knows the classes, so an inlined plot follows
the page's theme under a strict content security policy; :func:`standalone` adds the one style
element a file needs to stand alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

WIDTH = 340
_FONT = "system-ui, sans-serif"
_STYLE = (
    "svg{color:#14262a;background:#fff}"
    ".plot-main{color:#0f6973}.plot-second{color:#9a4a00}"
    ".plot-soft{color:#4a5f64}.plot-grid{color:#d6e0e1}"
    "@media(prefers-color-scheme:dark){svg{color:#e4eeee;background:#152124}"
    ".plot-main{color:#6fc5c7}.plot-second{color:#f4ac62}"
    ".plot-soft{color:#a3b7ba}.plot-grid{color:#2a3b3f}}"
)


def number(value: float) -> str:
    """Return a coordinate with at most two decimals."""
    short = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if short == "-0" else short


def tag(name: str, *inside: str, **attributes: str | float) -> str:
    """Return an element.

    Args:
        name: of the element.
        inside: elements, or text that is escaped already.
        attributes: ``class_`` is ``class``; other underscores are hyphens. None of them is styled.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="'
        f'{escape(value) if isinstance(value, str) else number(value)}"'
        for key, value in attributes.items()
    )
    body = "".join(inside)
    return f"<{name}{written}>{body}</{name}>" if body else f"<{name}{written}/>"


def text(x: float, y: float, words: str, **attributes: str | float) -> str:
    """Return words at a place; ``anchor`` is start, middle or end."""
    anchor = attributes.pop("anchor", "start")
    extra = {} if anchor == "start" else {"text_anchor": anchor}
    return tag("text", escape(words), x=x, y=y, fill="currentColor", **extra, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: str | float) -> str:
    """Return a straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke="currentColor", **attributes)


def path(points: list[tuple[float, float]], **attributes: str | float) -> str:
    """Return an open line through points."""
    steps = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return tag("path", d=f"M{steps}", fill="none", stroke="currentColor", **attributes)


def area(points: list[tuple[float, float]], **attributes: str | float) -> str:
    """Return a filled outline through points."""
    steps = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return tag("path", d=f"M{steps}Z", fill="currentColor", **attributes)


def dot(x: float, y: float, radius: float, **attributes: str | float) -> str:
    """Return a filled circle."""
    return tag("circle", cx=x, cy=y, r=radius, fill="currentColor", **attributes)


def drawing(name: str, height: float, title: str, description: str, *inside: str) -> str:
    """Return a whole drawing, :data:`WIDTH` units wide, that a screen reader names.

    Args:
        name: makes the ids of the drawing its own on a page with several.
        height: in units.
        title: what it is.
        description: what it shows, in words.
        inside: its elements.
    """
    return tag(
        "svg",
        tag("title", escape(title), id=f"{name}-title"),
        tag("desc", escape(description), id=f"{name}-desc"),
        *inside,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {number(height)}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        font_family=_FONT,
        font_size=10.5,
    )


def standalone(svg: str) -> str:
    """Return a drawing as a file of its own, light or dark as its reader prefers."""
    head, rest = svg.split(">", 1)
    return f"{head}>{tag('style', _STYLE)}{rest}\n"


@dataclass(frozen=True)
class Frame:
    """The field of a chart, and where values lie in it.

    Attributes:
        left: of the field.
        top: of the field.
        width: of the field.
        height: of the field.
        across: values at the left and at the right edge.
        upward: values at the bottom and at the top edge.
    """

    left: float
    top: float
    width: float
    height: float
    across: tuple[float, float] = (0.0, 1.0)
    upward: tuple[float, float] = (0.0, 1.0)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a value."""
        (x0, x1), (y0, y1) = self.across, self.upward
        return (
            self.left + (x - x0) / (x1 - x0) * self.width,
            self.top + self.height - (y - y0) / (y1 - y0) * self.height,
        )

    def line(self, points: list[tuple[float, float]], **attributes: str | float) -> str:
        """Return a line through values."""
        return path([self.at(x, y) for x, y in points], **attributes)

    def axes(
        self,
        x_ticks: list[tuple[float, str]],
        y_ticks: list[tuple[float, str]],
        *,
        x_name: str = "",
        y_name: str = "",
    ) -> str:
        """Return grid, frame, ticks and the names of the axes.

        Args:
            x_ticks: values and what is written at them.
            y_ticks: likewise.
            x_name: under the field.
            y_name: above its left edge, so that nobody has to turn the head.
        """
        bottom, right = self.top + self.height, self.left + self.width
        parts = []
        for value, words in x_ticks:
            x, _ = self.at(value, self.upward[0])
            parts.append(line(x, self.top, x, bottom, class_="plot-grid"))
            parts.append(text(x, bottom + 13, words, anchor="middle", class_="plot-soft"))
        for value, words in y_ticks:
            _, y = self.at(self.across[0], value)
            parts.append(line(self.left, y, right, y, class_="plot-grid"))
            parts.append(text(self.left - 5, y + 3.5, words, anchor="end", class_="plot-soft"))
        if x_name:
            middle = self.left + self.width / 2
            parts.append(text(middle, bottom + 28, x_name, anchor="middle"))
        if y_name:
            parts.append(text(self.left, self.top - 7, y_name))
        return "".join(parts)


def quarters() -> list[tuple[float, str]]:
    """Return ticks of a share: 0, 25, 50, 75 and 100 %."""
    return [(step / 4, f"{step * 25} %") for step in range(5)]


def percent(value: float | None) -> str:
    """Return a share for people: 12 %; a dash for what is not defined."""
    return "–" if value is None else f"{value * 100:.0f} %"


def percents(pair: list[float] | None) -> str:
    """Return an interval of a share for people: 12 to 34 %; a dash for none."""
    return "–" if pair is None else f"{pair[0] * 100:.0f} to {pair[1] * 100:.0f} %"
