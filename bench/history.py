"""What a clinic's lists cost as its history grows: 1 000, 100 000 and 1 000 000 predictions.

A PostgreSQL of its own is filled by :mod:`bench.history_seed`, one database for each size, and
every page is asked for as people of one clinic, of five and of the smallest, and as a superuser
(:mod:`bench.history_pages`), the sizes in turns. ``BENCH_HISTORY`` names a folder, outside this
one, that is kept: a second run then seeds nothing. A million predictions take 9 GB.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from bench.history_text import write_plans

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from skinapp.runtime.servers import Servers

SIZES, QUICK_SIZES = (1_000, 100_000, 1_000_000), (1_000, 20_000)
# What a prediction takes with everything about it, and what must stay free beside it.
_BYTES, _SPARE = 9_000, 2 * 1024**3
PLANS = Path(__file__).resolve().parents[1] / "docs" / "performance" / "plans"
# The pages that the issue bounds in time; the others are bounded in queries.
TIMED = ("worklist", "history", "patients")
_TITLES = {
    "worklist": "Worklist",
    "history": "History",
    "patients": "Patients and search",
    "record": "Patient, lesion, result",
    "trail": "Audit trail",
    "admin": "Admin lists",
    "csv": "CSV of 10 000 rows",
}


def measure(*, quick: bool) -> dict[str, Any]:
    """Seed where needed and measure every page at every size.

    Args:
        quick: at 1 000 and 20 000, and without keeping the plans.

    Returns:
        ``sizes``: for each, its pages with medians and 95th percentiles; ``left_out``: why a size
        was not measured.
    """
    found: dict[str, Any] = {"sizes": {}, "left_out": {}}
    seeded: dict[int, float | None] = {}
    urls: dict[int, str] = {}
    with _folder() as folder, _servers(folder) as servers:
        for size in QUICK_SIZES if quick else SIZES:
            database = f"skinapp_history_{size}"
            free = shutil.disk_usage(folder).free
            if not _has(servers, database) and free < size * _BYTES + _SPARE:
                found["left_out"][str(size)] = f"{free / 1e9:.0f} GB are free, too few for it"
                continue
            urls[size] = f"{servers.database_url.rsplit('/', 1)[0]}/{database}"
            seeded[size] = _seeded(servers, urls[size], database, size)
        measured = _pages(urls, servers.redis_url, repeat=5 if quick else 20)
        for size, pages in measured.items():
            found["sizes"][str(size)] = {
                "seed_seconds": seeded[size],
                "megabytes": _megabytes(urls[size]),
                "pages": {page["name"]: _figures(page) for page in pages},
            }
        if not quick and max(SIZES) in measured:
            write_plans(PLANS, measured[max(SIZES)])
    return found


@contextmanager
def _folder() -> Iterator[Path]:
    kept = os.environ.get("BENCH_HISTORY", "")
    if kept:
        folder = Path(kept)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="skinapp-history-") as name:
        # PostgreSQL runs as nobody when this runs as root, and must reach its own folder.
        Path(name).chmod(0o711)
        yield Path(name)


@contextmanager
def _servers(folder: Path) -> Iterator[Servers]:
    from skinapp.runtime.servers import start_servers  # noqa: PLC0415 - rendering needs none

    # Never somebody's own server: these are filled and dropped.
    mine = {name: os.environ.pop(name, "") for name in ("DATABASE_URL", "REDIS_URL")}
    servers = start_servers(folder, durable=False)
    try:
        yield servers
    finally:
        servers.stop()
        os.environ.update({name: value for name, value in mine.items() if value})


def _environment(url: str, redis_url: str) -> dict[str, str]:
    return os.environ | {
        "DATABASE_URL": url,
        "REDIS_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": "skinapp.settings.test",
    }


def _run(command: list[str], environment: Mapping[str, str], told: str = "") -> str:
    """Run a command of this Python and return what it printed.

    Raises:
        RuntimeError: it failed; with its last words.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        check=False,
        capture_output=True,
        text=True,
        env=dict(environment),
        input=told,
    )
    if done.returncode:
        msg = f"{command[-2:]} failed: {done.stderr.strip()[-400:]}"
        raise RuntimeError(msg)
    return done.stdout


def _execute(url: str, sql: str) -> list[tuple[Any, ...]]:
    import psycopg2  # noqa: PLC0415 - rendering needs none

    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def _has(servers: Servers, database: str) -> bool:
    sql = f"SELECT 1 FROM pg_database WHERE datname = '{database}'"  # noqa: S608 - our own name
    return bool(_execute(servers.database_url, sql))


def _seeded(servers: Servers, url: str, database: str, size: int) -> float | None:
    """Make and fill the database unless an earlier run did; return the seconds it took."""
    environment = _environment(url, servers.redis_url)
    fresh = not _has(servers, database)
    if fresh:
        _execute(servers.database_url, f'CREATE DATABASE "{database}"')
    try:
        # An older folder's database is brought to today's tables.
        _run(["manage.py", "migrate", "--verbosity=0"], environment)
        if not fresh and _execute(url, "SELECT 1 FROM classifier_clinic LIMIT 1"):
            return None
        began = time.perf_counter()
        _run(["-m", "bench.history_seed", str(size)], environment)
        return round(time.perf_counter() - began, 1)
    except BaseException:
        if fresh:
            _execute(servers.database_url, f'DROP DATABASE "{database}" WITH (FORCE)')
        raise


class _Asker:
    """A process that measures the pages of one size when told to."""

    def __init__(self, url: str, redis_url: str, repeat: int) -> None:
        """Start it and hear which pages it has."""
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "bench.history_measure"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(url, redis_url),
        )
        self.names: list[str] = self._said(json.dumps({"repeat": repeat}))
        self.pages: list[dict[str, Any]] = []

    def ask(self, name: str) -> None:
        """Measure a page."""
        self.pages.append(self._said(name))

    def _said(self, line: str) -> Any:
        print(line, file=cast("IO[str]", self._process.stdin), flush=True)
        if answer := cast("IO[str]", self._process.stdout).readline():
            return json.loads(answer)
        msg = "A process that measures pages ended; it says above why."
        raise RuntimeError(msg)

    def end(self) -> None:
        """Let it end."""
        self._process.communicate()


def _pages(urls: Mapping[int, str], redis_url: str, *, repeat: int) -> dict[int, list[Any]]:
    """Measure every page at every size, the sizes in turns: all meet the machine as it is then."""
    askers = {size: _Asker(url, redis_url, repeat) for size, url in urls.items()}
    try:
        # The largest has every page; a small clinic fills no second page of some.
        for name in dict.fromkeys(name for one in askers.values() for name in one.names):
            for one in askers.values():
                if name in one.names:
                    one.ask(name)
    finally:
        for one in askers.values():
            one.end()
    return {size: one.pages for size, one in askers.items()}


def _megabytes(url: str) -> int:
    ((size,),) = _execute(url, "SELECT pg_database_size(current_database())")
    return int(size / 1e6)


def _figures(page: dict[str, Any]) -> dict[str, Any]:
    if "error" in page:
        return {"error": page["error"]}
    return {
        "part": page["part"],
        "queries": page["queries"],
        "rows": page["rows"],
        "ms": _both(page["ms"]),
        "busy": _both(page["busy"]),
        "scanned": sorted({table for plan in page["plans"] for table in plan["scanned"]}),
    }


def _both(values: list[float]) -> list[float]:
    """Return the median and the 95th percentile."""
    return [statistics.median(values), values[min(len(values) - 1, int(len(values) * 0.95))]]


# --- The document --------------------------------------------------------------------------------


def values(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the rows of the table of targets: worst growth, worst time, most queries."""
    sizes = sorted(found["sizes"], key=int)
    if len(sizes) < 2 or int(sizes[-1]) != max(SIZES):  # noqa: PLR2004 - the smallest and the largest
        return {}
    large = _good(found["sizes"][sizes[-1]])
    timed = [page for page in large.values() if page["part"] in TIMED]
    told = {
        "history_ms": max(page["busy"][0] for page in timed),
        "queries": max(page["queries"] for page in large.values() if page["part"] != "csv"),
    }
    same, _other = _ratios(found)
    return told | ({"history_growth": max(same.values())} if same else {})


def _ratios(found: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the growth of each timed page: of those that show as much at both sizes, and others.

    A list of three rows is sooner written than one of twenty-five, however short the history.
    """
    sizes = sorted(found["sizes"], key=int)
    small, large = (_good(found["sizes"][size]) for size in (sizes[0], sizes[-1]))
    same: dict[str, float] = {}
    other: dict[str, float] = {}
    for name, page in large.items():
        if page["part"] in TIMED and name in small:
            kind = same if page["rows"] == small[name]["rows"] else other
            kind[name] = page["busy"][0] / small[name]["busy"][0]
    return same, other


def _good(measured: Mapping[str, Any]) -> dict[str, Any]:
    return {name: page for name, page in measured["pages"].items() if "error" not in page}


def render(found: Mapping[str, Any]) -> str:
    """Return the section's Markdown."""
    sizes = sorted(found["sizes"], key=int)
    lines = [
        "## History",
        "",
        "Every page through the whole application (middleware, permission, queries, template),",
        "twelve clinics, one with nine of ten patients. “one” works in that clinic, “five” in five",
        "and with emergency access to a patient of a sixth, “small” in a clinic of ten patients,",
        "the admin lists are the superuser's. Milliseconds are processor time of web and",
        "PostgreSQL together, median (95th percentile): what the page takes on a machine that",
        "does nothing else. A growth in parentheses is that of a page that shows other numbers of",
        "rows at the two sizes. What PostgreSQL does for each query of each page is kept in",
        "[`performance/plans/`](performance/plans/).",
        "",
    ]
    for size in sizes:
        measured = found["sizes"][size]
        seeded = measured["seed_seconds"]
        lines.append(
            f"- {int(size):,} predictions: {measured['megabytes']:,} MB"
            + (f", seeded in {seeded:.0f} s" if seeded is not None else "")
        )
    lines += [f"- {int(size):,}: not measured, {why}" for size, why in found["left_out"].items()]
    for part, title in _TITLES.items():
        names = [name for name, page in _all(found).items() if page.get("part") == part]
        if names:
            lines += ["", f"### {title}", "", *_table(found, sizes, names)]
    if len(sizes) > 1:
        lines += ["", _growths(found)]
    broken = {name: page["error"] for name, page in _all(found).items() if "error" in page}
    lines += [f"\nNot measured: {name}: {error}" for name, error in broken.items()]
    scans = _scans(found, sizes[-1]) if sizes else []
    told = "; ".join(scans) if scans else "none"
    lines += ["", f"Growing tables read from end to end at the largest size: {told}."]
    return "\n".join(lines)


def _all(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: page
        for measured in found["sizes"].values()
        for name, page in measured["pages"].items()
    }


def _table(found: Mapping[str, Any], sizes: list[str], names: list[str]) -> list[str]:
    lines = [
        "| page | " + " | ".join(f"{int(size):,}" for size in sizes) + " | growth | queries |",
        "|---|" + "---|" * (len(sizes) + 2),
    ]
    for name in names:
        pages = [found["sizes"][size]["pages"].get(name, {}) for size in sizes]
        known = [page for page in pages if "busy" in page]
        cells = [
            f"{page['busy'][0]:.0f} ({page['busy'][1]:.0f})" if "busy" in page else "–"
            for page in pages
        ]
        growth = _growth(known[0], known[-1]) if len(known) > 1 else "–"
        queries = "–".join(dict.fromkeys(str(page["queries"]) for page in known))
        lines.append(f"| {name} | {' | '.join(cells)} | {growth} | {queries} |")
    return lines


def _growths(found: Mapping[str, Any]) -> str:
    same, other = _ratios(found)
    told = [
        f"{len(ratios)} of the pages that are bounded in time show {words} at both sizes"
        + (f", and take {max(ratios.values()):.2f}× at most" if ratios else "")
        for ratios, words in ((same, "as much"), (other, "not as much"))
    ]
    return f"{'; '.join(told)}. The first kind is the one in the table above."


def _growth(small: Mapping[str, Any], large: Mapping[str, Any]) -> str:
    """Return how many times as long the larger takes; in parentheses where it shows more."""
    ratio = f"{large['busy'][0] / small['busy'][0]:.2f}×"
    return ratio if small["rows"] == large["rows"] else f"({ratio})"


def _scans(found: Mapping[str, Any], size: str) -> list[str]:
    return [
        f"{name} ({', '.join(page['scanned'])})"
        for name, page in _good(found["sizes"][size]).items()
        if page["scanned"]
    ]
