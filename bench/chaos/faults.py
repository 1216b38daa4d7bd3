"""The damage that is done while images are uploaded, in an order that a seed decides."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import redis

from skinapp.runtime.children import stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.chaos.site import Site
    from bench.chaos.uploads import Uploads

_FILLING = 1 << 20
_PATIENCE_SECONDS = 8.0
_FULL_ANSWERS = 4
_FULL_SECONDS = 60.0
_IN_HAND_SECONDS = 30.0

KINDS = (
    "kill a worker in a batch",
    "stop a worker gently",
    "restart the broker",
    "empty the broker",
    "restart PostgreSQL",
    "kill web",
    "kill beat",
    "fill the disk",
)


def schedule(kinds: tuple[str, ...], *, times: int, seed: int) -> list[str]:
    """Return every kind ``times`` times, in the order that belongs to the seed."""
    order = list(kinds) * times
    random.Random(seed).shuffle(order)  # noqa: S311 - an order, not a secret
    return order


@dataclass
class Faults:
    """Does the damage and mends it again.

    Attributes:
        site: what is damaged.
        uploads: who is at work meanwhile.
        random: decides how, after the seed.
        done: how often each kind was done.
        notes: what else is worth telling, counted.
        wrong: what went wrong in itself, like a worker that does not stop when told to.
        outages: from when to when web or the database was down by our hand, in seconds of the
            epoch.
    """

    site: Site
    uploads: Uploads
    random: random.Random
    done: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)

    def do(self, kind: str) -> None:
        """Do one kind of damage while somebody uploads, and mend it, as an operator would."""
        deadline = time.monotonic() + _IN_HAND_SECONDS
        while not self.uploads.in_hand and time.monotonic() < deadline:
            time.sleep(0.01)
        if not self.uploads.in_hand:
            self.wrong.append(f"{kind}: nobody was uploading")
        deeds: dict[str, Callable[[], None]] = {
            "kill a worker in a batch": self._kill_worker,
            "stop a worker gently": self._stop_worker,
            "restart the broker": self._restart_broker,
            "empty the broker": self._empty_broker,
            "restart PostgreSQL": self._restart_postgres,
            "kill web": self._kill_web,
            "kill beat": lambda: self._kill_and_launch("beat"),
            "fill the disk": self._fill_disk,
        }
        deeds[kind]()
        self.done[kind] += 1

    def _kill_worker(self) -> None:
        """Kill all workers while one holds rows: a lock keeps their results out until then."""
        connection = self.site.connect()
        try:
            connection.autocommit = False
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE classifier_prediction IN SHARE MODE")
                deadline = time.monotonic() + _PATIENCE_SECONDS
                running = 0
                while not running and time.monotonic() < deadline:
                    cursor.execute(
                        "SELECT count(*) FROM classifier_analysis WHERE state = 'running'"
                        " AND lease_until > clock_timestamp()"
                    )
                    (running,) = cursor.fetchone()
                    time.sleep(0.05)
                for name in self.site.worker_names:
                    self.site.kill(name)
                self.notes["rows held by workers when they were killed"] += running
        finally:
            connection.close()
        for name in self.site.worker_names:
            self.site.launch(name)

    def _stop_worker(self) -> None:
        name = self.random.choice(self.site.worker_names)
        self.site.await_worker(name)
        status = self.site.stop_gently(name)
        if status != 0:
            self.wrong.append(f"{name} ended with {status} when told to stop")
        self.site.launch(name)

    def _restart_broker(self) -> None:
        kill = self.random.random() < 0.5  # noqa: PLR2004 - heads or tails
        process = self.site.processes["valkey"]
        stop(process, sign=signal.SIGKILL if kill else signal.SIGTERM, seconds=10)
        time.sleep(self.random.uniform(0.5, 2.0))
        self.site.restart_broker()

    def _empty_broker(self) -> None:
        with redis.Redis.from_url(self.site.redis_url, socket_timeout=5) as client:
            with suppress(redis.RedisError):
                waiting = sum(int(client.llen(name)) for name in ("analysis", "maintenance"))
                self.notes["messages thrown away"] += waiting
            client.flushall()

    def _restart_postgres(self) -> None:
        kill = self.random.random() < 0.5  # noqa: PLR2004 - heads or tails
        process = self.site.processes["postgres"]
        with self._outage():
            # SIGINT: a fast shutdown, as by an operator; SIGKILL of all: a power cut.
            stop(process, sign=signal.SIGKILL if kill else signal.SIGINT, seconds=20)
            time.sleep(self.random.uniform(0.2, 1.0))
            self.site.restart_postgres()

    def _kill_web(self) -> None:
        with self._outage():
            self._kill_and_launch("web")
            self.site.await_web()

    def _kill_and_launch(self, name: str) -> None:
        self.site.kill(name)
        time.sleep(self.random.uniform(0.0, 0.5))
        self.site.launch(name)

    @contextmanager
    def _outage(self) -> Iterator[None]:
        began = time.time()
        yield
        self.outages.append((began, time.time()))

    def _fill_disk(self) -> None:
        before = _refused_by_disk(self.site)
        filler = self.site.media / "filler"
        if self.site.mounted:
            _fill(filler)
        else:
            self.site.full.touch()
        try:
            deadline = time.monotonic() + _FULL_SECONDS
            while _refused_by_disk(self.site) < before + _FULL_ANSWERS:
                if time.monotonic() > deadline or not self.uploads.at_work:
                    break
                if not self.uploads.in_hand:
                    # A large disk takes longer to fill than what was left to send.
                    self.uploads.allow_more(_FULL_ANSWERS)
                time.sleep(0.2)
        finally:
            filler.unlink(missing_ok=True)
            self.site.full.unlink(missing_ok=True)
        self.notes["uploads refused by a full disk"] += _refused_by_disk(self.site) - before


def _refused_by_disk(site: Site) -> int:
    """Return how often web met the full disk, by its own words."""
    words = site.log("web").read_text(encoding="utf-8", errors="replace")
    return words.count("OSError: [Errno 28]")


def _fill(path: os.PathLike[str]) -> None:
    """Write until nothing fits any more, in ever smaller pieces; the bulk is taken at once."""
    size = _FILLING
    with open(path, "wb", buffering=0) as stream:  # noqa: PTH123 - unbuffered, to meet ENOSPC here
        room = os.fstatvfs(stream.fileno())
        # What others write meanwhile must fit beside it, or nothing is taken at once.
        bulk = room.f_bavail * room.f_frsize - 16 * size
        if bulk > 0:
            # Written out it would take longer than the uploads that shall meet the full disk.
            os.posix_fallocate(stream.fileno(), 0, bulk)
            stream.seek(bulk)
        while size:
            try:
                written = stream.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                written = 0
            if written < size:
                size //= 16
