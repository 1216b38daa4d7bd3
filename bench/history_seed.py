"""Filling an empty database with the history of a group of departments, for measuring.

``python -m bench.history_seed 1000000`` fills the migrated database of ``DATABASE_URL`` with a
million predictions in some minutes. It lives in ``bench/``, which no image of the application
holds, and it refuses a database that has a clinic.

PostgreSQL makes the rows itself out of the numbers 1, 2, 3 …: ``INSERT … SELECT`` sends nothing
over the wire, and is faster than ``COPY`` of what Python would have to make first. Everything is
drawn by hashing, so that the same number of predictions gives the same rows; only their moments
move with the day.

Not made: pictures (the pages name their addresses only) and the seals of the audit trail's chain.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import psycopg2

from bench import history_rows
from mlcore.labels import LABEL_SETS, TRIAGE_ORDER, UNJUDGED_RANK

if TYPE_CHECKING:
    from collections.abc import Iterator

# Clinics by number: one has nine of ten patients, four have a fiftieth each, seven very few, and
# the last one ten patients, however many the others have.
CLINICS = 12
BIG, SMALL = 0, CLINICS - 1
# Who looks: an administrator of the big clinic, of the smallest, and of these five.
PEOPLE = {"one": (BIG,), "small": (SMALL,), "five": (BIG, 1, 2, 3, SMALL)}
SUPERUSER = "root@bench.example"
_PATIENTS_PER_PREDICTION = 4
# Of a hundred predictions' worth of images so many get none: they failed or were called off.
_WITHOUT_ANSWER = 3
_YEARS = 8
_VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "1.3.0")
_MAPS = 64
# How often each label is the first one, of a hundred.
_SHARES = {
    "isic9": {
        "nevus": 55,
        "basal_cell_carcinoma": 10,
        "seborrheic_keratosis": 8,
        "pigmented_benign_keratosis": 7,
        "melanoma": 6,
        "actinic_keratosis": 6,
        "squamous_cell_carcinoma": 4,
        "dermatofibroma": 2,
        "vascular_lesion": 2,
    },
    "clinical5": {
        "acne": 45,
        "ring_worm": 20,
        "peeling_skin": 15,
        "vitiligo": 12,
        "melanoma": 8,
    },
}


class NotEmptyError(RuntimeError):
    """The database has a clinic: it may be somebody's."""


def email_of(who: str) -> str:
    """Return the address of one of :data:`PEOPLE`."""
    return f"{who}@bench.example"


def seed(url: str, predictions: int) -> dict[str, float]:
    """Fill the database.

    Args:
        url: of a migrated PostgreSQL database, as its superuser: triggers are passed over.
        predictions: how many, 100 or more.

    Returns:
        Seconds by step.

    Raises:
        NotEmptyError: there is a clinic in it.
        ValueError: too few.
    """
    if predictions < 100:  # noqa: PLR2004 - named in the sentence
        raise ValueError("Seed 100 predictions or more: fewer make no history.")
    spent: dict[str, float] = {}
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM classifier_clinic)")
        if cursor.fetchone()[0]:
            raise NotEmptyError("The database is not empty: seed one of its own.")
        for name, statement in _steps(cursor, predictions):
            began = time.perf_counter()
            cursor.execute(statement)
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - began
    connection.close()
    return spent


def _steps(cursor: Any, predictions: int) -> Iterator[tuple[str, str]]:
    """Yield (name, statement) of everything that is to be done, in order."""
    yield (
        "settings",
        (
            "SET session_replication_role = replica; SET synchronous_commit = off;"
            "SET work_mem = '128MB'; SET maintenance_work_mem = '512MB'"
        ),
    )
    # Built once at the end they cost a fifth of what keeping them up costs.
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes i WHERE tablename LIKE 'classifier_%' AND NOT "
        "EXISTS (SELECT 1 FROM pg_constraint WHERE conname = i.indexname) ORDER BY indexname"
    )
    indexes = cursor.fetchall()
    for name, _definition in indexes:
        yield "indexes dropped", f'DROP INDEX "{name}"'
    yield from history_rows.statements(
        predictions=predictions,
        patients=max(20, predictions // _PATIENTS_PER_PREDICTION),
        analyses=predictions + max(12, predictions * _WITHOUT_ANSWER // 100),
        clinics=CLINICS,
        people=PEOPLE | {"root": ()},
        labels=_labels(),
        versions=_VERSIONS,
        maps=_maps(),
        years=_YEARS,
        unjudged_rank=UNJUDGED_RANK,
    )
    for table in ("patient", "lesion", "image", "review"):
        names = _shared_columns(cursor, table)
        yield (
            f"versions of {table}s",
            (
                f"INSERT INTO classifier_{table}event (pgh_created_at, pgh_label, pgh_obj_id, "  # noqa: S608 - our own words
                f"pgh_context, {names}) SELECT created_at, 'insert', id, "
                f'\'{{"page": "image_upload"}}\', {names} FROM classifier_{table} '
                "ORDER BY created_at"
            ),
        )
    for _name, definition in indexes:
        yield "indexes", definition
    yield "statistics", "RESET session_replication_role"
    yield "statistics", "VACUUM (ANALYZE, SKIP_LOCKED)"


def _shared_columns(cursor: Any, table: str) -> str:
    """Return the columns that a table of versions has in common with its own table."""
    cursor.execute(
        "SELECT string_agg(column_name, ', ' ORDER BY column_name) FROM information_schema.columns "
        "WHERE table_name = %s AND column_name IN (SELECT column_name "
        "FROM information_schema.columns WHERE table_name = %s)",
        [f"classifier_{table}event", f"classifier_{table}"],
    )
    return str(cursor.fetchone()[0])


def _labels() -> list[dict[str, Any]]:
    """Return each label with its part of 0..99 of its label set."""
    rows: list[dict[str, Any]] = []
    for key, labels in LABEL_SETS.items():
        first = 0
        for name, share in _SHARES[key].items():
            label = labels.label(name)
            rows.append(
                {
                    "label_set": key,
                    "label": name,
                    "first": first,
                    "last": first + share - 1,
                    "triage_group": label.triage_group,
                    "rank": TRIAGE_ORDER.index(label.triage_group),
                    "probabilities": _probabilities(name, labels.keys),
                }
            )
            first += share
    return rows


def _probabilities(top: str, keys: tuple[str, ...]) -> dict[str, float]:
    others = [key for key in keys if key != top]
    return {top: 0.8} | {key: round(0.2 / len(others), 6) for key in others}


def _maps() -> list[dict[str, Any]]:
    """Return the maps of which each prediction gets one set, as large as a release's."""
    size = 7
    return [
        {
            key: {
                "height": size,
                "width": size,
                "values": [(place * 37 + number * 11 + len(key)) % 256 for place in range(size**2)],
            }
            for key in LABEL_SETS["isic9"].keys
        }
        for number in range(_MAPS)
    ]


def main() -> int:
    """Seed the database of ``DATABASE_URL``; 2 where that is refused."""
    parser = argparse.ArgumentParser(prog="python -m bench.history_seed", description=__doc__)
    parser.add_argument("predictions", type=int)
    chosen = parser.parse_args()
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        parser.error("set DATABASE_URL to an empty, migrated database")
    try:
        spent = seed(url, chosen.predictions)
    except (NotEmptyError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    for name, seconds in spent.items():
        print(f"{seconds:8.1f} s  {name}")
    print(f"{sum(spent.values()):8.1f} s  together")
    return 0


if __name__ == "__main__":
    sys.exit(main())
