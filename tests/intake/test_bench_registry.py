"""The benchmarks' registry: it names them, goes on after a failure, and says so."""

from __future__ import annotations

import sys
import types

import pytest

import bench.__main__ as registry
from bench.intake import take_in
from tests.intake.samples import sound


def _offer(monkeypatch: pytest.MonkeyPatch, **benchmarks: object) -> None:
    for name, run in benchmarks.items():
        module = types.ModuleType(f"bench.{name}")
        module.__dict__["run"] = run
        monkeypatch.setitem(sys.modules, f"bench.{name}", module)
    monkeypatch.setattr(registry, "BENCHMARKS", tuple(benchmarks))


def _busy(*, quick: bool) -> str:
    msg = f"port 8000 is taken (quick: {quick})"
    raise OSError(msg)


def _fine(*, quick: bool) -> str:
    return f"## fine, quick: {quick}"


def test_a_benchmark_that_cannot_run_is_reported_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _offer(monkeypatch, busy=_busy, fine=_fine)
    assert registry.main(["--quick"]) == 1
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


def test_what_takes_long_runs_only_when_it_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _offer(monkeypatch, busy=_busy, fine=_fine)
    monkeypatch.setattr(registry, "BENCHMARKS", ("fine",))
    monkeypatch.setattr(registry, "ON_DEMAND", ("busy",))
    assert registry.main([]) == 0
    assert "busy" not in capsys.readouterr().out
    assert registry.main(["busy"]) == 1


def test_an_unknown_name_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        registry.main(["nonsense"])
    assert ended.value.code == 2
    assert "unknown: nonsense" in capsys.readouterr().err


def test_the_machine_is_described() -> None:
    told = registry.describe_machine()
    assert "cores" in told
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in told
    assert "pillow" in told


def test_what_is_measured_is_the_whole_way() -> None:
    decoding, copying = take_in(sound("JPEG"))
    assert 0 < decoding < 30
    assert 0 < copying < 30
