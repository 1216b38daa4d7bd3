"""Uploading while everything is killed in turn, and counting what is lost.

``python -m bench.chaos`` starts a throw-away installation on this machine, uploads images through
HTTP and meanwhile does, in an order that the seed decides: kills the workers in a batch, stops and
restarts the broker, empties it, restarts PostgreSQL (half the time by SIGKILL), kills web and beat,
fills the disk of the images, and delivers every message twice. It ends with status 1 where an
accepted upload has neither exactly one prediction nor one visible failure with a reason.
"""

from __future__ import annotations

import random
import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.chaos.doubles import Doubler
from bench.chaos.faults import KINDS, Faults, schedule
from bench.chaos.report import Outcome, table
from bench.chaos.site import Site, new_folder
from bench.chaos.uploads import Uploads, drawn_uploads, patients_of
from bench.chaos.verdict import (
    answer_times,
    count,
    integrity_of,
    percentile,
    rows_of,
    waiting,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ChaosError", "Plan", "run", "run_plan"]

_MEGABYTES_AN_IMAGE = 0.4
_TIMES_CALM = 5.0


class ChaosError(RuntimeError):
    """Something was lost, doubled or out of bounds; the message is the table."""


@dataclass(frozen=True)
class Plan:
    """One run.

    Attributes:
        images: how many to upload.
        times: how often each kind of damage is done.
        seed: decides pictures and order of the damage.
        people: how many upload at once.
        workers: how many worker processes there are.
        patients: how many patients the images belong to.
        releases: the folder of the networks; by default the shipped ones.
        mount: try to give the images a small disk of their own.
        limit_ms: 95 % of web's own answers must take no longer, or else no more than five times as
            long as before the first damage: this machine may be busy with other things.
        settle_seconds: how long to wait for the last answers.
    """

    images: int = 1000
    times: int = 6
    seed: int = 1
    people: int = 4
    workers: int = 2
    patients: int = 20
    releases: Path | None = None
    mount: bool = True
    limit_ms: float = 3000.0
    settle_seconds: float = 300.0


@dataclass(frozen=True)
class Clock:
    """How long it took.

    Attributes:
        uploading: seconds until the last upload was accepted.
        settled: seconds until the last analysis was final.
        limit_ms: the bound of p95 that this machine allows.
    """

    uploading: float
    settled: float
    limit_ms: float


def run(*, quick: bool) -> str:
    """Do it and return the table as Markdown; called by ``python -m bench chaos``.

    Args:
        quick: 100 images and every kind of damage once.

    Raises:
        ChaosError: something was lost.
    """
    outcome = run_plan(Plan(images=100, times=1) if quick else Plan())
    if outcome.faults:
        raise ChaosError(table(outcome))
    return table(outcome)


def run_plan(plan: Plan) -> Outcome:
    """Start an installation, do the damage, count, and remove the installation."""
    folder = new_folder()
    megabytes = 32 + int(plan.images * _MEGABYTES_AN_IMAGE)
    site = Site(folder, plan.workers, plan.releases, megabytes)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(site.stop)
        began = time.monotonic()
        site.start(patients=plan.patients, mount=plan.mount)
        _say(f"the installation is up after {time.monotonic() - began:.0f} s")
        return _damage(plan, site)


def _damage(plan: Plan, site: Site) -> Outcome:
    uploads = Uploads(site, drawn_uploads(plan.images, seed=plan.seed), patients_of(site))
    faults = Faults(site, uploads, random.Random(plan.seed))  # noqa: S311 - not a secret
    order = schedule(KINDS, times=plan.times, seed=plan.seed)
    with ExitStack() as stack:
        doubler = Doubler(site.redis_url)
        doubler.start()
        stack.callback(doubler.stop)
        began = time.monotonic()
        uploads.start(people=plan.people)
        stack.callback(uploads.stop)
        calm = 0.0
        for number, kind in enumerate(order):
            _await_accepted(uploads, plan.images * (number + 1) // (len(order) + 2))
            if not calm:
                times = answer_times(site.log("web"))
                calm = percentile([*times["GET"], *times["POST"]], 0.95)
            faults.do(kind)
            _say(f"{time.monotonic() - began:4.0f} s {len(uploads.accepted):5} accepted: {kind}")
        _await_accepted(uploads, plan.images)
        while uploads.at_work:
            time.sleep(0.1)
        uploading = time.monotonic() - began
        _await_final(site, plan.settle_seconds)
    clock = Clock(uploading, time.monotonic() - began, max(plan.limit_ms, _TIMES_CALM * calm))
    return _judged(plan, site, uploads, faults, doubler, clock)


def _await_accepted(uploads: Uploads, number: int) -> None:
    while len(uploads.accepted) + len(uploads.refusals) < number and uploads.at_work:
        time.sleep(0.02)


def _await_final(site: Site, seconds: float) -> None:
    """Wait until nothing waits any more, or until nothing has moved for long."""
    deadline = time.monotonic() + seconds
    while waiting(site) and time.monotonic() < deadline:
        time.sleep(0.3)


def _judged(
    plan: Plan,
    site: Site,
    uploads: Uploads,
    faults: Faults,
    doubler: Doubler,
    clock: Clock,
) -> Outcome:
    for name in [*site.worker_names, "web"]:
        status = site.stop_gently(name)
        if status != 0:
            faults.wrong.append(f"{name} ended with {status} when told to stop at the end")
    verdict = count(uploads.accepted, rows_of(site))
    swept, found = integrity_of(site)
    times = answer_times(site.log("web"))
    outcome = Outcome(
        plan_images=plan.images,
        seed=plan.seed,
        disk="a file system of its own" if site.mounted else "a storage that gets ENOSPC",
        verdict=verdict,
        done=faults.done,
        notes=faults.notes,
        doubled=doubler.doubled,
        outcomes=uploads.outcomes,
        swept=swept,
        posts=times["POST"],
        pages=times["GET"],
        seen=[1000 * value for value in uploads.seconds],
        limit_ms=clock.limit_ms,
        uploading=clock.uploading,
        settled=clock.settled,
    )
    outcome.faults += verdict.faults
    outcome.faults.update({f"integrity: {code}": number for code, number in found.items()})
    outcome.faults.update(faults.wrong)
    outcome.faults.update(f"refused: {sentence}" for sentence in uploads.refusals)
    if len(uploads.accepted) + len(uploads.refusals) != plan.images:
        outcome.faults["uploads that were never accepted"] += 1
    for kind, values in (("uploads", times["POST"]), ("pages", times["GET"])):
        if percentile(values, 0.95) > clock.limit_ms:
            outcome.faults[f"p95 of {kind} over {clock.limit_ms:.0f} ms"] += 1
    return outcome


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
