"""A worker with a full queue against its bare engine, and what a worker costs to start and keep."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.chaos.site import Site, new_folder
from bench.charts import Bar, bar_chart
from bench.memory import children, resident_mib
from bench.turns import running
from mlcore.bundle import latest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KEYS = ("isic9", "clinical5")
PACE = {"ANALYSIS_SWEEP_SECONDS": "1"}
_PATIENCE_SECONDS = 240.0
_WAITING = "SELECT count(*) FROM classifier_analysis WHERE state IN ('queued', 'running')"
# The first tenth of the answers is left out: a worker loads its networks with the first two.
ANSWERS = """
SELECT label_set, extract(epoch FROM finished_at)::float FROM classifier_analysis
WHERE state IN ('succeeded', 'rejected') ORDER BY finished_at
"""


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure a queue of both kinds of drawn images.

    Args:
        quick: 240 images instead of 960 a queue, one queue instead of three.

    Returns:
        ``batch``, ``queues`` (images, images/s of a real Celery worker, of the bare engine before
        and after at the same batch, and their ratio), ``stages`` (milliseconds an image by stage,
        in one process), and ``worker`` (``start_s``, ``first_answer_s``, ``child_mib``,
        ``parent_mib`` and the PSS of both together, ``together_mib``).
    """
    images = 240 if quick else 960
    folder = new_folder()
    site = Site(folder, workers=1, pace=dict(PACE))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(site.stop)
        site.start(patients=1, mount=False, members=())
        batch = int(site.manage("shell", "-v0", "-c", _ASK_BATCH).split()[-1])
        queues = [_queue(site, images, batch) for _ in range(1 if quick else 3)]
        start = _start(site)
        fill(site, images)
        told = json.loads(
            site.finish([sys.executable, "-m", "bench.worker_run"]).strip().splitlines()[-1]
        )
    per_image = {name: 1e3 * spent / told["images"] for name, spent in told["stages"].items()}
    return {
        "images": images,
        "batch": batch,
        "queues": queues,
        "stages": {name: round(value, 3) for name, value in per_image.items()},
        "in_process_ms": round(1e3 * told["seconds"] / told["images"], 3),
        "worker": start,
    }


_ASK_BATCH = "from django.conf import settings; print(settings.ANALYSIS_BATCH_SIZE)"


def fill(site: Site, images: int) -> None:
    """Queue rows; those of earlier queues are done."""
    site.finish([sys.executable, "-m", "bench.memory_rows", str(images), str(time.time_ns())])


def _queue(site: Site, images: int, batch: int) -> dict[str, Any]:
    """Let one real worker work off a queue, and its bare engine run before and after."""
    done = len(site.ask(ANSWERS))
    fill(site, images)
    before = _engine_ms(batch)
    site.launch("worker0")
    work_off(site)
    site.stop_gently("worker0")
    after = _engine_ms(batch)
    answers = site.ask(ANSWERS)[done:]
    # From the end of the first tenth: until then the networks were loaded.
    counted = answers[len(answers) // 10 :]
    seconds = counted[-1][1] - counted[0][1]
    engine_ms = [
        float(np.mean([times[key] for key, _ in counted[1:]])) for times in (before, after)
    ]
    rate = (len(counted) - 1) / seconds
    return {
        "images_per_s": round(rate, 1),
        "engine_per_s": [round(1e3 / ms, 1) for ms in engine_ms],
        "ratio": round(rate / (1e3 / float(np.mean(engine_ms))), 3),
    }


def _engine_ms(batch: int) -> dict[str, float]:
    """Return the bare engine's milliseconds an image at the worker's batch, by label set."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="skinapp-bench-") as folder:
        for key in _KEYS:
            with running(["LiteRT"], latest(key), Path(folder)) as (runners, missing):
                if missing:
                    raise RuntimeError(missing["LiteRT"])
                for _ in range(5):
                    runners[0].turn(batch, 2)
                found[key] = runners[0].image_ms(batch)
    return found


def work_off(site: Site, names: Sequence[str] = ("worker0",)) -> None:
    """Wake the workers of these names and wait until nothing is due.

    Raises:
        RuntimeError: it takes too long; the message ends with the first worker's words.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    # The row is the job: whoever filled the table sent no message, so one is sent here.
    site.manage("shell", "-v0", "-c", NUDGE * len(names))
    while site.ask(_WAITING)[0][0]:
        if time.monotonic() > deadline:
            words = site.log(names[0]).read_text(encoding="utf-8", errors="replace")
            msg = f"The worker does not come to an end:\n{words[-2000:]}"
            raise RuntimeError(msg)
        time.sleep(0.2)


NUDGE = "from classifier.services.analyses import wake_worker; wake_worker();"


def _start(site: Site) -> dict[str, float]:
    """Start a worker with one row of each kind due; time its words and its answers."""
    done = len(site.ask(ANSWERS))
    fill(site, 16)
    site.manage("shell", "-v0", "-c", NUDGE)
    began = time.time()
    site.launch("worker0")
    site.await_worker("worker0")
    ready = time.time() - began
    work_off(site)
    first = site.ask(ANSWERS)[done][1] - began
    parent = site.processes["worker0"].pid
    (child,) = children(parent)
    found = {
        "start_s": round(ready, 2),
        "first_answer_s": round(first, 2),
        "parent_mib": round(resident_mib(parent)),
        "child_mib": round(resident_mib(child)),
        "together_mib": round(_pss_mib(parent) + _pss_mib(child)),
    }
    site.stop_gently("worker0")
    return found


def _pss_mib(pid: int) -> float:
    """Return a process's memory in MiB, what it shares with others counted in parts."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1024


def values(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the values of the targets: the median queue; both processes of the worker."""
    return {
        "worker_engine": float(np.median([queue["ratio"] for queue in found["queues"]])),
        "worker_start": found["worker"]["first_answer_s"],
        "worker_memory": found["worker"]["together_mib"] * 1.048576,
    }


def render(found: Mapping[str, Any]) -> str:
    """Return the section."""
    worker, stages = found["worker"], found["stages"]
    lines = [
        "## Worker",
        "",
        (
            f"A queue of {found['images']} images, both label sets, claimed {found['batch']} at a "
            "time by one real Celery worker, against the bare engine of a process of its own at "
            "the same batch, before and after it:"
        ),
        "",
        "| worker, images/s | engine before, after, images/s | ratio |",
        "|---|---|---|",
        *(
            f"| {queue['images_per_s']:.0f} | {queue['engine_per_s'][0]:.0f}, "
            f"{queue['engine_per_s'][1]:.0f} | {queue['ratio']:.2f} |"
            for queue in found["queues"]
        ),
        "",
        (
            "Where the time goes, milliseconds an image, over all threads (in one process, "
            f"{found['in_process_ms']:.1f} ms an image by the clock):"
        ),
        "",
        "![Milliseconds an image by stage](performance/worker.svg)",
        "",
        "| stage | ms an image |",
        "|---|---|",
        *(f"| {name} | {value:.2f} |" for name, value in stages.items()),
        "",
        (
            f"A worker takes up work {worker['start_s']:.1f} s after its start and has its first "
            f"answer after {worker['first_answer_s']:.1f} s. After both networks have run it is "
            f"resident with {worker['parent_mib']} MiB (parent) and {worker['child_mib']} MiB "
            f"(child), which share pages: {worker['together_mib']} MiB together (PSS)."
        ),
    ]
    return "\n".join(lines)


def plots(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the drawing."""
    bars = [Bar(name, value, ours=name == "engine") for name, value in found["stages"].items()]
    return {"worker.svg": bar_chart("worker", "Milliseconds an image by stage", bars, unit=" ms")}
