"""More workers at one queue, measured; ten clinics and a national service, simulated from that."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.chaos.site import Site, new_folder
from bench.queueing import uploads_of_a_day, waits
from bench.worker import ANSWERS, PACE, fill, work_off

if TYPE_CHECKING:
    from collections.abc import Mapping

_RESULTS = Path(__file__).resolve().parents[1] / "docs" / "performance"
_WORKERS = (1, 2, 4)


@dataclass(frozen=True)
class _Service:
    """What is asked of an installation; assumptions, not measurements.

    Attributes:
        words: what it is.
        uploads: pictures on a working day.
        clinicians: who are signed in at the busiest hour.
        megabytes: of one original as it is stored.
    """

    words: str
    uploads: int
    clinicians: int
    megabytes: float


# A teledermatology clinic sees some hundred patients a day with two pictures each. England's
# urgent referrals for suspected skin cancer are about 600 000 a year: with four pictures each, on
# 250 working days, about 10 000 pictures; as many again for everything else.
_SERVICES = (
    _Service("one department", 250, 15, 3.0),
    _Service("ten clinics", 2_500, 150, 3.0),
    _Service("a national service", 20_000, 3_000, 3.0),
)
_WORKING_DAYS = 250
# A clinician at work asks for a page so often.
_PAGE_SECONDS = 20.0


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure 1, 2 and 4 workers at one queue, and simulate days from the figures of one.

    Args:
        quick: 240 images a queue instead of 960.

    Returns:
        ``workers``: images a second by number of workers; ``days``: for each service its waits in
        seconds and the cores, gigabytes and rows that it takes; ``from``: what was measured
        elsewhere and used (``shares``: core milliseconds an upload by part; ``page_ms``;
        ``row_bytes``).

    Raises:
        FileNotFoundError: ``visit`` or ``history`` was not measured yet.
    """
    images = 240 if quick else 960
    rates = {str(count): _rate(count, images) for count in _WORKERS}
    taken = _measured_elsewhere()
    return {
        "images": images,
        "workers": rates,
        "from": taken,
        "days": {one.words: _day(one, rates["1"], taken) for one in _SERVICES},
    }


def _rate(workers: int, images: int) -> float:
    """Return the images a second of so many workers, once each has loaded its networks."""
    folder = new_folder()
    site = Site(folder, workers=workers, pace=dict(PACE))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(site.stop)
        site.start(patients=1, mount=False, members=())
        for name in site.worker_names:
            site.launch(name)
            site.await_worker(name)
        # A few to load the networks with.
        fill(site, 64 * workers)
        work_off(site, site.worker_names)
        done = len(site.ask(ANSWERS))
        fill(site, images)
        work_off(site, site.worker_names)
        answers = site.ask(ANSWERS)[done:]
    counted = answers[len(answers) // 10 :]
    seconds = float(counted[-1][1] - counted[0][1])
    return round((len(counted) - 1) / seconds, 1)


def _measured_elsewhere() -> dict[str, Any]:
    def found(name: str) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads((_RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        return dict(kept["found"])

    visit, history = found("visit"), found("history")
    largest = max(history["sizes"], key=int)
    return {
        "shares": visit["stream"]["shares"],
        "page_ms": visit["pages"]["idle"],
        "row_bytes": round(history["sizes"][largest]["megabytes"] * 1e6 / int(largest)),
    }


def _day(service: _Service, rate: float, taken: Mapping[str, Any]) -> dict[str, Any]:
    """Simulate a working day, also one on which no worker runs from eleven to twelve."""
    began = time.perf_counter()
    day = uploads_of_a_day(service.uploads, seed=1)
    quiet = waits(day, servers=1, seconds_each=1 / rate)
    broken = waits(day, servers=1, seconds_each=1 / rate, closed=(11 * 3600.0, 12 * 3600.0))
    busiest = day.busiest_hour / 3600
    shares = taken["shares"]
    pages = service.clinicians / _PAGE_SECONDS
    cores = {part: ms * busiest / 1e3 for part, ms in shares.items()}
    cores["pages"] = pages * taken["page_ms"] / 1e3
    a_year = service.uploads * _WORKING_DAYS
    return {
        "uploads": service.uploads,
        "busiest_per_s": round(busiest, 3),
        "wait_s": [round(value, 2) for value in quiet],
        "wait_after_outage_s": [round(value, 1) for value in broken],
        "cores": {part: round(value, 3) for part, value in cores.items()},
        "files_tb_a_year": round(a_year * (service.megabytes + _COPIES_MB) / 1e6, 2),
        "database_gb_a_year": round(a_year * taken["row_bytes"] / 1e9, 1),
        "predictions_a_year": a_year,
        "simulated_in_s": round(time.perf_counter() - began, 2),
    }


# The display copy, the network's and the thumbnail of one upload (docs/architecture.md).
_COPIES_MB = 0.6


def render(found: Mapping[str, Any]) -> str:
    """Return the section."""
    one = found["workers"]["1"]
    lines = [
        "## More workers, and larger services",
        "",
        (
            f"A queue of {found['images']} images on this one machine, whose cores one worker "
            "already fills:"
        ),
        "",
        "| workers | images/s | to one worker |",
        "|---|---|---|",
        *(f"| {n} | {rate:.0f} | {rate / one:.2f} × |" for n, rate in found["workers"].items()),
        "",
        (
            "On paper: a working day simulated upload by upload (Poisson arrivals over a day with "
            "its busiest hour late in the morning; one worker, first come first served, at the "
            f"measured {one:.0f} images/s), with the cores that the busiest hour takes. How many "
            "uploads, clinicians and megabytes there are is assumed (bench/scale.py says why)."
        ),
        "",
        (
            "| service | uploads a day | busiest, a second | wait for the network, p95 "
            "| the same where no worker runs for an hour | cores at the busiest hour "
            "| files a year | database a year |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for words, day in found["days"].items():
        cores = sum(day["cores"].values())
        lines.append(
            f"| {words} | {day['uploads']} | {day['busiest_per_s']:.2f} "
            f"| {_seconds(day['wait_s'][1])} | {_seconds(day['wait_after_outage_s'][1])} "
            f"| {cores:.1f} | {day['files_tb_a_year']:.1f} TB "
            f"| {day['database_gb_a_year']:.0f} GB |"
        )
    last = list(found["days"].values())[-1]
    greatest = max(last["cores"], key=last["cores"].get)
    millions = last["predictions_a_year"] / 1e6
    lines += [
        "",
        (
            "So the network is nowhere the bound: one worker on two cores keeps up with all of "
            f"them. Of the national service's cores most go to {greatest}; web and workers are "
            "added by number. What breaks first is what there is one of and what only grows: the "
            f"file store and its backup ({last['files_tb_a_year']:.0f} TB a year; `manage.py "
            "backup` writes one archive with every file, which fits a clinic but no nation, where "
            "an object store would keep its own copies). Second, PostgreSQL: after a year it holds "
            f"{millions:.0f} million predictions, where one million is measured here; its tables "
            "would be partitioned by clinic. Third, the audit trail, one chain sealed by one "
            "process."
        ),
    ]
    return "\n".join(lines)


def _seconds(value: float) -> str:
    if value >= 60:  # noqa: PLR2004 - a minute
        return f"{value / 60:.0f} min"
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.1f} s"
