"""The parts of the chaos run and of the memory curve: what would be lost would be counted."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from bench.chaos import Clock
from bench.chaos.doubles import sent_message
from bench.chaos.faults import KINDS, schedule
from bench.chaos.uploads import Exchange
from bench.chaos.verdict import Row, answers_of, count, kept_waiting, outside, percentile
from bench.memory import trend_of
from bench.yardstick import measure

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

GOOD: dict[str, Any] = {
    "sha256": "a" * 64,
    "analysis": "1",
    "state": "succeeded",
    "failure": ("", ""),
    "attempt": 1,
    "answered": True,
    "predictions": 1,
    "events": 1,
}
ACCEPTED = {"a" * 64: "1"}


@pytest.mark.parametrize(
    ("facts", "fault"),
    [
        ({}, ""),
        ({"state": "rejected"}, ""),
        ({"state": "failed", "failure": ("worker_lost", "0123abcd"), "predictions": 0}, ""),
        ({"analysis": "2"}, "lost: an image without its analysis"),
        ({"analysis": None, "state": ""}, "lost: an image without its analysis"),
        ({"state": "queued", "predictions": 0}, "lost: still waiting at the end"),
        ({"state": "running", "predictions": 0}, "lost: still waiting at the end"),
        ({"predictions": 0}, "lost: done without a prediction"),
        ({"answered": False}, "lost: done without a prediction"),
        ({"predictions": 2}, "doubled: several predictions"),
        ({"state": "failed", "predictions": 0}, "failed without a reason"),
        (
            {"state": "failed", "failure": ("worker_lost", "0123abcd")},
            "failed although there is a prediction",
        ),
        ({"state": "cancelled"}, "illegal state"),
        ({"events": 0}, "not in the audit trail exactly once"),
        ({"events": 2}, "not in the audit trail exactly once"),
    ],
)
def test_each_kind_of_loss_is_counted_as_one(facts: dict[str, Any], fault: str) -> None:
    verdict = count(ACCEPTED, [Row(**(GOOD | facts))])
    assert dict(verdict.faults) == ({fault: 1} if fault else {})
    assert verdict.answered + sum(verdict.failures.values()) == (0 if fault else 1)


def test_what_is_gone_doubled_or_nobodys_is_counted() -> None:
    good = Row(**GOOD)
    assert dict(count(ACCEPTED, []).faults) == {"lost: the image is gone": 1}
    assert dict(count(ACCEPTED, [good, good]).faults) == {"doubled: several rows of one upload": 1}
    assert dict(count({}, [good]).faults) == {"stored, but never confirmed to anybody": 1}


def test_the_order_of_the_damage_belongs_to_the_seed() -> None:
    order = schedule(KINDS, times=3, seed=5)
    assert order == schedule(KINDS, times=3, seed=5)
    assert order != schedule(KINDS, times=3, seed=6)
    assert sorted(order) == sorted(KINDS * 3)


def test_a_sent_message_is_recognised_byte_for_byte() -> None:
    line = rb'+1763736000.123 [0 127.0.0.1:5000] "LPUSH" "analysis" "{\"body\": \"\\n\xc3\"}"'
    assert sent_message(line) == (b"analysis", b'{"body": "\\n\xc3"}')
    assert sent_message(line.replace(b"LPUSH", b"RPUSH")) is None
    assert sent_message(line.replace(b'"analysis"', b'"_kombu.binding"')) is None
    assert sent_message(b'+1.0 [0 127.0.0.1:5000] "PING"') is None
    assert sent_message(b"+OK") is None


def test_webs_own_times_are_read_from_its_log(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text(
        "[21/Nov/2026:15:13:07 +0000] GET /analyses/1/ 200 11277 6596ms\n"
        "[21/Nov/2026:15:13:08 +0000] POST /patients/1/images/new/ 500 162 40ms\n"
        "a traceback\n",
        encoding="utf-8",
    )
    page, upload = answers_of(log)
    assert (page.method, page.ms, upload.method, upload.ms) == ("GET", 6596.0, "POST", 40.0)
    assert upload.ended - page.ended == 1
    # The page was under way for six seconds before its line was written.
    began = page.ended
    assert outside([page, upload], [(began - 4, began - 3)]) == [upload]
    assert outside([page, upload], [(began - 9, began - 8)]) == [page, upload]
    assert outside([page, upload], [(began + 1.5, began + 3)]) == [page]
    assert percentile(range(1, 101), 0.95) == 96
    assert percentile([], 0.95) == 0


def test_the_bound_grows_with_a_busy_machine_but_not_for_ever() -> None:
    bounds = [Clock(1, 1, slowness).limit_ms for slowness in (1.0, 2.5, 8.0, 50.0)]
    assert bounds == [3000, 4500, 10000, 10000]
    end = threading.Event()
    end.set()
    assert measure(end) > 0.9


def test_whoever_met_an_outage_must_know_soon_after_it() -> None:
    outages = [(100.0, 110.0), (130.0, 140.0)]

    def waited(began: float, ended: float) -> list[float]:
        told = Exchange(began, ended, answered=False)
        return kept_waiting([told], outages, limit=15)

    assert waited(105, 125) == waited(90, 109) == waited(112, 129) == []
    assert waited(105, 126) == [16]
    # It met the second as well, and counts from there.
    assert waited(105, 150) == []
    assert waited(141, 500) == []


def test_a_leak_shows_in_the_slope_and_the_warm_up_does_not() -> None:
    counts = range(100, 5001, 100)
    level = trend_of([(n, 300.0) for n in counts])
    assert (level.gain, level.low, level.high) == pytest.approx((0, 0, 0), abs=1e-6)
    leaking = [(n, 300 + n * 0.01) for n in counts]
    assert trend_of(leaking).gain == pytest.approx(10)
    assert trend_of([(100, 100.0), (500, 120.0), *leaking[9:]]).gain == pytest.approx(10)
    with pytest.raises(ValueError, match="too few"):
        trend_of(leaking[:4])


def test_the_interval_of_a_slope_is_wide_enough_for_a_memory_that_wanders() -> None:
    # Level on the whole, but each reading is near the one before: 95 of 100 intervals should hold
    # the truth; one for independent readings holds it in three quarters of them.
    dice = random.Random(7)  # noqa: S311 - noise, not a secret
    held = 0
    for _run in range(300):
        size, curve = 0.0, []
        for done in range(100, 5001, 100):
            size = 0.5 * size + dice.gauss(0, 1)
            curve.append((done, 300 + size))
        trend = trend_of(curve)
        held += trend.low <= 0 <= trend.high
    assert held >= 255
