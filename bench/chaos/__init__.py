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
    answers_of,
    count,
    integrity_of,
    kept_waiting,
    outside,
    percentile,
    rows_of,
    waiting,
)
from bench.yardstick import Yardstick

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ChaosError", "Plan", "run", "run_plan"]

_MEGABYTES_AN_IMAGE = 0.6
# The longest outage is mended after a minute: who waits longer for one upload waits for ever.
_STALLED_SECONDS = 180.0
# Of 100 answers 95 come within this time, whatever is broken, unless web or the database is down:
# a broker that hangs keeps an upload for two seconds at most (``classifier.services.analyses``),
# and apart from that it waits for nothing but the database and the disk.
BROKER_MILLISECONDS = 2000.0
# Its own work takes a tenth of this on an idle machine. A machine that is busy with other things
# takes longer for any work: by so much as the yardstick measures meanwhile, up to eight times. That
# makes ten seconds at the very most, after which a person gives up.
WORK_MILLISECONDS = 1000.0
MOST_SLOWNESS = 8.0
# After web or the database is back, whoever waited gets an answer, an error or a broken connection
# within this time: what was begun before ends by the bounds on statements and locks
# (``skinapp/settings/base.py``), or with the process.
AFTER_OUTAGE_SECONDS = 15.0


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
    settle_seconds: float = 300.0


@dataclass(frozen=True)
class Clock:
    """How long it took.

    Attributes:
        uploading: seconds until the last upload was accepted.
        settled: seconds until the last analysis was final.
        slowness: how much longer work took than it needed of a processor's time.
    """

    uploading: float
    settled: float
    slowness: float

    @property
    def limit_ms(self) -> float:
        """The bound of p95 of web's own answers, outside the outages."""
        return BROKER_MILLISECONDS + WORK_MILLISECONDS * min(self.slowness, MOST_SLOWNESS)


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
        yardstick = Yardstick()
        yardstick.start()
        began = time.monotonic()
        uploads.start(people=plan.people)
        stack.callback(uploads.stop)
        # Damage divides the images into shares. The share after the next damage may be sent
        # already, the last one only when all damage is done: it always meets somebody at work.
        shares = len(order) + 1
        for number, kind in enumerate(order):
            uploads.allow(plan.images * (number + 1) // shares)
            _await_done(uploads, plan.images * (2 * number + 1) // (2 * shares))
            faults.do(kind)
            _say(f"{time.monotonic() - began:4.0f} s {len(uploads.accepted):5} accepted: {kind}")
        uploads.allow(plan.images + 1)
        _await_done(uploads, plan.images)
        while uploads.at_work:
            time.sleep(0.1)
        uploading = time.monotonic() - began
        slowness = yardstick.stop()
        _await_final(site, plan.settle_seconds)
    clock = Clock(uploading, time.monotonic() - began, slowness)
    return _judged(plan, site, uploads, faults, doubler, clock)


def _await_done(uploads: Uploads, number: int) -> None:
    """Wait for so many uploads.

    Raises:
        ChaosError: none has ended for so long that none will.
    """
    done, since = uploads.done, time.monotonic()
    while uploads.done < number and uploads.at_work:
        time.sleep(0.02)
        if uploads.done != done:
            done, since = uploads.done, time.monotonic()
        elif time.monotonic() - since > _STALLED_SECONDS:
            msg = f"No upload has ended for {_STALLED_SECONDS:.0f} s, after {done}. See web.log."
            raise ChaosError(msg)


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
    for name in site.worker_names:
        site.await_worker(name)
    for name in [*site.worker_names, "web"]:
        status = site.stop_gently(name)
        if status != 0:
            faults.wrong.append(f"{name} ended with {status} when told to stop at the end")
    verdict = count(uploads.accepted, rows_of(site))
    swept, found = integrity_of(site)
    answers = outside(answers_of(site.log("web")), faults.outages)
    times = {kind: [a.ms for a in answers if a.method == kind] for kind in ("GET", "POST")}
    late = kept_waiting(uploads.exchanges, faults.outages, limit=AFTER_OUTAGE_SECONDS)
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
        seen=[1000 * (each.ended - each.began) for each in uploads.exchanges if each.answered],
        outages=[ended - began for began, ended in faults.outages],
        limit_ms=clock.limit_ms,
        slowness=clock.slowness,
        limit_after=AFTER_OUTAGE_SECONDS,
        uploading=clock.uploading,
        settled=clock.settled,
    )
    outcome.faults += verdict.faults
    outcome.faults.update({f"integrity: {code}": number for code, number in found.items()})
    outcome.faults.update(faults.wrong)
    outcome.faults.update(f"refused: {sentence}" for sentence in uploads.refusals)
    if uploads.done != plan.images:
        outcome.faults["uploads that were never accepted"] += 1
    for kind, values in (("uploads", times["POST"]), ("pages", times["GET"])):
        if percentile(values, 0.95) > clock.limit_ms:
            outcome.faults[f"p95 of {kind} over {clock.limit_ms:.0f} ms"] += 1
    if late:
        outcome.faults[f"kept waiting for {max(late):.0f} s after an outage"] += len(late)
    return outcome


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
