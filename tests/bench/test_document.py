"""The page of figures: a failed measurement takes no earlier figure away, and is told."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from bench import document

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_library_that_is_missing_takes_no_figure_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = [{"ms": 13}, ModuleNotFoundError("No module named 'openvino'")]

    def measure(*, quick: bool) -> dict[str, int]:
        assert quick
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    def render(found: dict[str, int]) -> str:
        return f"## Engines\n\n{found['ms']} ms"

    fake = SimpleNamespace(measure=measure, render=render)
    monkeypatch.setattr(document, "section", lambda _name: fake)
    assert document.measure_into(tmp_path, "engines", quick=True)
    assert not document.measure_into(tmp_path, "engines", quick=True)
    kept = json.loads((tmp_path / "engines.json").read_text(encoding="utf-8"))
    assert kept["found"] == {"ms": 13}
    shown = document._part(tmp_path, "engines", kept)
    assert "13 ms" in shown
    assert "failed: ModuleNotFoundError: No module named 'openvino'" in shown


def test_what_was_never_measured_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*, quick: bool) -> dict[str, int]:
        raise OSError(quick)

    monkeypatch.setattr(document, "section", lambda _name: SimpleNamespace(measure=measure))
    assert not document.measure_into(tmp_path, "visit", quick=False)
    kept = json.loads((tmp_path / "visit.json").read_text(encoding="utf-8"))
    assert "Not measured: OSError: False" in document._part(tmp_path, "visit", kept)
