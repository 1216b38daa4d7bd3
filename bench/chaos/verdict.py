"""Counting what became of every accepted upload."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from bench.chaos.site import Site

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
_ANSWERED = re.compile(r"\] (GET|POST|HEAD) \S+ (\d{3}) \S+ (\d+)ms$")


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


def answer_times(log: Path) -> dict[str, list[float]]:
    """Return how many milliseconds web itself took for each answer, by the kind of request."""
    times: dict[str, list[float]] = {"GET": [], "POST": []}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        found = _ANSWERED.search(line)
        if found is not None:
            times[found[1]].append(float(found[3]))
    return times


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value below which ``share`` of the values lie; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
