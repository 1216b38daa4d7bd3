"""The parts of the chaos run and of the memory curve: what would be lost would be counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.chaos.doubles import sent_message
from bench.chaos.faults import KINDS, schedule
from bench.chaos.verdict import Row, answer_times, count, percentile
from bench.memory import gain_per_thousand

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
    assert answer_times(log) == {"GET": [6596.0], "POST": [40.0]}
    assert percentile(range(1, 101), 0.95) == 96
    assert percentile([], 0.95) == 0


def test_a_leak_shows_in_the_slope_and_the_warm_up_does_not() -> None:
    counts = range(250, 5001, 250)
    assert gain_per_thousand([(n, 300.0) for n in counts]) == pytest.approx(0, abs=1e-9)
    leaking = [(n, 300 + n * 0.01) for n in counts]
    assert gain_per_thousand(leaking) == pytest.approx(10)
    assert gain_per_thousand([(250, 100.0), *leaking[1:]]) == pytest.approx(10)
    assert gain_per_thousand([]) == 0
