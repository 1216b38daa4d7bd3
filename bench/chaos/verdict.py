"""Counting what became of every accepted upload."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from bench.chaos.site import Site
    from bench.chaos.uploads import Exchange

# One row for each image, whatever hangs on it.
_ROWS = """
SELECT i.original_sha256, a.id::text, coalesce(a.state, ''), coalesce(a.failure_code, ''),
       coalesce(a.failure_reference, ''), coalesce(a.attempt, 0), a.prediction_id IS NOT NULL,
       (SELECT count(*) FROM classifier_prediction p WHERE p.image_id = i.id),
       (SELECT count(*) FROM classifier_auditevent e
        WHERE e.action = 'image.added' AND e.subject_id = i.id::text)
FROM classifier_image i LEFT JOIN classifier_analysis a ON a.image_id = i.id
"""
_WAITING = "SELECT count(*) FROM classifier_analysis WHERE state IN ('queued', 'running')"
_ANSWERED = re.compile(r"\[([^]]+)\] (GET|POST|HEAD) \S+ (\d{3}) \S+ (\d+)ms$")


@dataclass(frozen=True)
class Row:
    """One analysis of one image, as it stands in the database.

    Attributes:
        sha256: of the upload.
        analysis: its identifier; None for an image without any.
        state: where it stands.
        failure: the reason's code and reference, where it failed.
        attempt: how often it was begun.
        answered: whether it points at a prediction.
        predictions: how many there are of the image.
        events: how many audit events say that the image was added.
    """

    sha256: str
    analysis: str | None
    state: str
    failure: tuple[str, str]
    attempt: int
    answered: bool
    predictions: int
    events: int


@dataclass(frozen=True)
class Answer:
    """One answer of web.

    Attributes:
        method: of the request.
        ended: when it was given, in whole seconds of the epoch.
        ms: how long web took.
    """

    method: str
    ended: float
    ms: float


@dataclass
class Verdict:
    """What became of the uploads.

    Attributes:
        accepted: how many were answered with success.
        answered: how many have exactly one prediction.
        failures: how many failed visibly, by reason.
        attempts: how many needed how many attempts.
        faults: everything that must not be, by its name; empty where nothing was lost.
    """

    accepted: int = 0
    answered: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


def count(accepted: Mapping[str, str], rows: Sequence[Row]) -> Verdict:
    """Compare what was promised with what is there.

    Args:
        accepted: analysis by SHA-256 of every upload that was answered with success.
        rows: everything in the database.
    """
    verdict = Verdict(accepted=len(accepted))
    by_image: dict[str, list[Row]] = {}
    for row in rows:
        by_image.setdefault(row.sha256, []).append(row)
    for sha256, analysis in accepted.items():
        found = by_image.pop(sha256, [])
        fault = _fault(found, analysis)
        if fault:
            verdict.faults[fault] += 1
            continue
        (row,) = found
        verdict.attempts[row.attempt] += 1
        if row.state == "failed":
            verdict.failures[row.failure[0]] += 1
        else:
            verdict.answered += 1
    if by_image:
        verdict.faults["stored, but never confirmed to anybody"] += len(by_image)
    return verdict


def _fault(found: Sequence[Row], analysis: str) -> str:
    """Return what is wrong with one accepted upload; nothing where all is well."""
    if not found:
        return "lost: the image is gone"
    if len(found) > 1:
        return "doubled: several rows of one upload"
    (row,) = found
    checks = (
        ("lost: an image without its analysis", row.analysis != analysis),
        ("lost: still waiting at the end", row.state in {"queued", "running"}),
        ("doubled: several predictions", row.predictions > 1),
        (
            "lost: done without a prediction",
            row.state in {"succeeded", "rejected"} and not (row.answered and row.predictions == 1),
        ),
        ("failed without a reason", row.state == "failed" and not all(row.failure)),
        ("failed although there is a prediction", row.state == "failed" and row.predictions > 0),
        ("illegal state", row.state not in {"succeeded", "rejected", "failed"}),
        ("not in the audit trail exactly once", row.events != 1),
    )
    return next((name for name, wrong in checks if wrong), "")


def waiting(site: Site) -> int:
    """Return how many analyses have no final state yet."""
    ((number,),) = site.ask(_WAITING)
    return int(number)


def rows_of(site: Site) -> list[Row]:
    """Read every image and analysis."""
    return [
        Row(sha, key, state, (code, reference), attempt, answered, predictions, events)
        for sha, key, state, code, reference, attempt, answered, predictions, events in site.ask(
            _ROWS
        )
    ]


def integrity_of(site: Site) -> tuple[int, dict[str, int]]:
    """Sweep orphan files, check everything, and return how many were swept and what is wrong."""
    sweep = ("check_integrity", "--json", "--sweep", "--grace-hours=0")
    swept: dict[str, Any] = json.loads(site.manage(*sweep, legal=(0, 1)))
    counts = Counter(swept["counts"])
    if swept["swept"]:
        again: dict[str, Any] = json.loads(site.manage("check_integrity", "--json", legal=(0, 1)))
        counts |= Counter(again["counts"])
    return int(swept["swept"]), dict(counts)


def answers_of(log: Path) -> list[Answer]:
    """Return what web says of its answers."""
    found = (
        _ANSWERED.search(line)
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
    )
    return [
        Answer(
            line[2], datetime.strptime(line[1], "%d/%b/%Y:%H:%M:%S %z").timestamp(), float(line[4])
        )
        for line in found
        if line is not None
    ]


def outside(answers: Iterable[Answer], outages: Sequence[tuple[float, float]]) -> list[Answer]:
    """Return the answers that were neither begun, nor under way, nor given in an outage.

    Args:
        answers: of web.
        outages: from when to when, in seconds of the epoch. The log knows whole seconds, so an
            outage counts from the second before until the second after.
    """
    return [
        answer
        for answer in answers
        if not any(
            began - 1 <= answer.ended and answer.ended - answer.ms / 1000 <= ended + 1
            for began, ended in outages
        )
    ]


def kept_waiting(
    exchanges: Iterable[Exchange], outages: Sequence[tuple[float, float]], *, limit: float
) -> list[float]:
    """Return by how much requests that met an outage outlived it, those over the limit.

    Args:
        exchanges: requests as who sent them saw them.
        outages: from when to when.
        limit: so many seconds after an outage each must have an answer, or know that it gets none.
            One that met several counts from the end of the last.
    """
    late = []
    for exchange in exchanges:
        met = [
            ended for began, ended in outages if exchange.began <= ended and exchange.ended >= began
        ]
        if met and exchange.ended - max(met) > limit:
            late.append(exchange.ended - max(met))
    return late


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value below which ``share`` of the values lie; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
