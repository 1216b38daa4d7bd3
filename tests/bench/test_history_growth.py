"""What the benchmark of the history calls growth."""

from __future__ import annotations

from typing import Any

from bench.history import render, values


def page(busy: float, rows: int, part: str = "history") -> dict[str, Any]:
    """Return what was measured of a page."""
    return {
        "part": part,
        "queries": 9,
        "rows": rows,
        "ms": [busy, busy],
        "busy": [busy, busy],
        "scanned": [],
    }


def found(small: dict[str, Any], large: dict[str, Any]) -> dict[str, Any]:
    """Return results of two sizes."""
    sizes = {
        size: {"seed_seconds": None, "megabytes": 1, "pages": pages}
        for size, pages in (("1000", small), ("1000000", large))
    }
    return {"sizes": sizes, "left_out": {}}


def test_only_pages_that_show_as_much_are_compared() -> None:
    told = found(
        {"full": page(20, 26), "rare": page(10, 4), "admin": page(5, 9, "admin")},
        {"full": page(30, 26), "rare": page(90, 26), "admin": page(50, 9, "admin")},
    )
    assert values(told) == {"history_growth": 1.5, "history_ms": 90, "queries": 9}
    words = render(told)
    assert "1 of the pages that are bounded in time show as much at both sizes" in words
    assert "take 1.50× at most; 1 of the pages" in words
    assert "take 9.00× at most. The first" in words
    assert "| rare | 10 (10) | 90 (90) | (9.00×) | 9 |" in words
    assert "| full | 20 (20) | 30 (30) | 1.50× | 9 |" in words


def test_where_nothing_can_be_compared_no_growth_is_told() -> None:
    told = found({"rare": page(10, 4)}, {"rare": page(90, 26)})
    assert "history_growth" not in values(told)
    assert "0 of the pages that are bounded in time show as much at both sizes;" in render(told)


def test_a_page_that_could_not_be_measured_is_told_and_left_out() -> None:
    told = found({"full": page(20, 26)}, {"full": page(20, 26), "away": {"error": "gone"}})
    assert values(told)["history_growth"] == 1
    assert "Not measured: away: gone" in render(told)
