"""The table that a run ends with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.chaos.verdict import percentile

if TYPE_CHECKING:
    from bench.chaos.verdict import Verdict


@dataclass
class Outcome:
    """Everything that a run measured.

    Attributes:
        plan_images: how many images there were.
        seed: the run's.
        disk: what was filled.
        verdict: what became of the uploads.
        done: damage by kind.
        notes: what the damage met.
        doubled: messages that were delivered twice.
        outcomes: answers by status.
        swept: orphan files removed at the end, left by killed web processes.
        posts: milliseconds web took for each upload outside the outages.
        pages: milliseconds web took for each page outside the outages.
        seen: milliseconds from sending a request to its answer, outages included.
        outages: for how many seconds web or the database was down by our hand, each time.
        limit_ms: the bound of p95.
        slowness: how much longer work took than it needed of a processor's time.
        limit_after: the bound of requests that met an outage, in seconds after its end.
        uploading: seconds until the last upload was accepted.
        settled: seconds until the last analysis was final.
        faults: what must not be; empty where all went well.
    """

    plan_images: int
    seed: int
    disk: str
    verdict: Verdict
    done: Counter[str]
    notes: Counter[str]
    doubled: int
    outcomes: Counter[str]
    swept: int
    posts: list[float]
    pages: list[float]
    seen: list[float]
    outages: list[float]
    limit_ms: float
    slowness: float
    limit_after: float
    uploading: float
    settled: float
    faults: Counter[str] = field(default_factory=Counter)


def table(outcome: Outcome) -> str:
    """Return the outcome as Markdown."""
    verdict = outcome.verdict
    lost = sum(number for name, number in outcome.faults.items() if name.startswith("lost"))
    doubled = sum(number for name, number in outcome.faults.items() if name.startswith("doubled"))
    attempts = ", ".join(f"{n} after {a}" for a, n in sorted(verdict.attempts.items()))
    rows = [
        ("uploads accepted", f"{verdict.accepted} of {outcome.plan_images}"),
        ("with exactly one prediction", f"{verdict.answered}"),
        (
            "with one visible failure and its reason",
            f"{sum(verdict.failures.values())} {_named(verdict.failures)}".strip(),
        ),
        ("lost", f"{lost}"),
        ("doubled", f"{doubled}"),
        ("attempts needed", attempts),
        ("orphan files swept at the end", f"{outcome.swept}"),
        ("answers by status", _named(outcome.outcomes)),
        ("messages delivered twice", f"{outcome.doubled}"),
        *((f"damage: {kind}", f"{number} times") for kind, number in sorted(outcome.done.items())),
        *((note, f"{number}") for note, number in sorted(outcome.notes.items())),
        ("the disk that was filled", outcome.disk),
        ("web's own time for an upload: median, p95, max", _times(outcome.posts)),
        ("web's own time for a page: median, p95, max", _times(outcome.pages)),
        ("as the client saw it, outages included", _times(outcome.seen)),
        ("work took longer than it needed of a processor", f"{outcome.slowness:.1f} times"),
        ("bound of p95 outside the outages", f"{outcome.limit_ms:.0f} ms"),
        ("web or the database down by our hand", _lengths(outcome.outages)),
        ("bound of an answer or a refusal after that", f"{outcome.limit_after:.0f} s"),
        (
            "last upload accepted, last analysis final",
            f"{outcome.uploading:.0f} s, {outcome.settled:.0f} s",
        ),
        ("faults", _named(outcome.faults) or "none"),
    ]
    head = [f"## Damage done, losses counted (seed {outcome.seed})", "", "| what | |", "|---|---|"]
    return "\n".join(head + [f"| {what} | {value} |" for what, value in rows])


def _named(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in sorted(counts.items()))


def _times(values: list[float]) -> str:
    shares = (percentile(values, 0.5), percentile(values, 0.95), max(values, default=0.0))
    return ", ".join(f"{value:.0f} ms" for value in shares)


def _lengths(outages: list[float]) -> str:
    return f"{len(outages)} times, {sum(outages):.0f} s in all"
