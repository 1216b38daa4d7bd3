"""The benchmarks' registry: it names them, keeps results, goes on after a failure, and says so."""

from __future__ import annotations

import json
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest

import bench.__main__ as registry
from bench import document
from bench.charts import Bar, bar_chart, line_chart
from bench.intake import take_in
from bench.machine import in_words, machine_facts
from bench.targets import TARGETS, table
from tests.intake.samples import sound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def _offer(monkeypatch: pytest.MonkeyPatch, **benchmarks: object) -> None:
    for name, run in benchmarks.items():
        module = types.ModuleType(f"bench.{name}")
        module.__dict__["run"] = run
        monkeypatch.setitem(sys.modules, f"bench.{name}", module)
    monkeypatch.setattr(registry, "ON_DEMAND", tuple(benchmarks))


def _offer_sections(monkeypatch: pytest.MonkeyPatch, *modules: types.ModuleType) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, f"bench.{module.__name__}", module)
    monkeypatch.setattr(document, "SECTIONS", tuple(module.__name__ for module in modules))


def _busy(*, quick: bool) -> str:
    msg = f"port 8000 is taken (quick: {quick})"
    raise OSError(msg)


def _fine(*, quick: bool) -> str:
    return f"## fine, quick: {quick}"


def _section(name: str, measure: Any) -> types.ModuleType:
    def render(found: Mapping[str, Any]) -> str:
        return f"## A section\n\n{found['ms']} ms, ![bars](performance/{name}.svg)"

    module = types.ModuleType(name)
    module.__dict__.update(
        measure=measure,
        render=render,
        values=lambda found: {"answer": found["ms"]},
        plots=lambda found: {f"{name}.svg": bar_chart(name, "Time", [Bar("it", found["ms"])])},
    )
    return module


def test_the_document_is_made_of_kept_results_and_tells_what_could_not_be_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _offer_sections(
        monkeypatch,
        _section("busy", _busy),
        _section("fine", lambda *, quick: {"ms": 640 if quick else 250.4}),
    )
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    assert registry.main(["--quick"]) == 1
    page = (tmp_path / "var/bench/performance.md").read_text()
    assert "Not measured: OSError: port 8000 is taken (quick: True)" in page
    assert "| ≤ 600 ms | ≤ 300 ms | **640 ms** | MISSED |" in page
    assert f"{machine_facts()['cores']} cores" in page
    assert "load " in page
    # The quick run has left the document of the full one alone.
    assert not (tmp_path / "docs").exists()
    assert registry.main(["fine", "--into", str(tmp_path)]) == 0
    page = (tmp_path / "performance.md").read_text()
    assert "| **250 ms** | aim reached |" in page
    assert "Not measured yet: `python -m bench busy`." in page
    assert "<svg" in (tmp_path / "performance/fine.svg").read_text()
    # From the results alone the same page is made again.
    kept = tmp_path / "performance/fine.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"found": {"ms": 310}}))
    assert registry.main(["--render", "--into", str(tmp_path)]) == 0
    assert "| **310 ms** | reached |" in (tmp_path / "performance.md").read_text()


def test_every_target_belongs_to_a_section_and_more_is_better_where_it_is() -> None:
    assert {target.section for target in TARGETS.values()} <= set(document.SECTIONS)
    shown = table({"engine_predict": 13.2, "worker_engine": 0.9, "flask": 4.99, "saturated": 1.0})
    assert "**13.20 ×** | aim reached" in shown
    assert "**0.90 ×** | reached" in shown
    assert "**4.99 ×** | MISSED" in shown
    assert "**1.00 ×** | aim reached" in shown
    assert "not measured" in shown


def test_a_chart_says_its_values_in_words_too() -> None:
    drawn = line_chart(
        "rows", "Time", {"a < b": [(1e3, 2), (1e6, 2.5)]}, x_name="", y_name="", logarithmic=True
    )
    assert "a &lt; b: 1000 gives 2.00, 1e+06 gives 2.50" in drawn
    with pytest.raises(ValueError, match="one to 3 lines"):
        line_chart("none", "Nothing", {}, x_name="", y_name="")


def test_a_benchmark_that_cannot_run_is_reported_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _offer(monkeypatch, busy=_busy, fine=_fine)
    assert registry.main(["busy", "fine", "--quick"]) == 1
    printed = capsys.readouterr().out
    assert "Not measured: OSError: port 8000 is taken" in printed
    assert "## fine, quick: True" in printed


def test_only_what_is_named_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _offer(monkeypatch, busy=_busy, fine=_fine)
    assert registry.main(["fine"]) == 0
    printed = capsys.readouterr().out
    assert "busy" not in printed
    assert "## fine, quick: False" in printed


def test_an_unknown_name_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        registry.main(["nonsense"])
    assert ended.value.code == 2
    assert "unknown: nonsense" in capsys.readouterr().err


def test_the_machine_is_described() -> None:
    told = in_words(machine_facts())
    assert "cores" in told
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in told
    assert "pillow" in told


def test_what_is_measured_is_the_whole_way() -> None:
    decoding, copying = take_in(sound("JPEG"))
    assert 0 < decoding < 30
    assert 0 < copying < 30
