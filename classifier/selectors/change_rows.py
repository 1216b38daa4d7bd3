"""Which versions and rows a patient's record has had, one line for each, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection

if TYPE_CHECKING:
    from datetime import datetime

    from classifier.models import Patient

# Where versions and rows are, and by what: (table, key, the key's type).
_TABLES = {
    "patient": ("classifier_patientevent", "pgh_id", "int"),
    "lesion": ("classifier_lesionevent", "pgh_id", "int"),
    "image": ("classifier_imageevent", "pgh_id", "int"),
    "review": ("classifier_reviewevent", "pgh_id", "int"),
    "reading": ("classifier_reading", "id", "uuid"),
    "outcome": ("classifier_outcome", "id", "uuid"),
    "request": ("classifier_readingrequest", "id", "uuid"),
    "withdrawal": ("classifier_readingrequest", "id", "uuid"),
}


def _fact(column: str) -> str:
    """Return the SQL for the row, as JSON, whose key stands in a column of what is listed."""
    rows = " ".join(
        f"WHEN '{kind}' THEN (SELECT to_jsonb(e) FROM {table} e WHERE {key} = {column}::{sort})"  # noqa: S608 - ours
        for kind, (table, key, sort) in _TABLES.items()
    )
    return f"CASE kind {rows} END"


# Which versions and rows there are, and which one each follows, is one scan of one patient's own
# keys; what they say is read for those of the page.
_LISTED = f"""
SELECT kind, {_fact("key")}, {_fact("before")}, at
FROM (
  SELECT kind, key, at, row_number() OVER (ORDER BY at DESC, kind, place DESC, thread) AS line,
    lag(key) OVER (PARTITION BY kind, thread ORDER BY place) AS before
  FROM (
    SELECT 'patient' AS kind, pgh_id::text AS key, pgh_obj_id AS thread, pgh_id AS place,
      pgh_created_at AS at
      FROM classifier_patientevent WHERE pgh_obj_id = %(patient)s
    UNION ALL
    SELECT 'lesion', pgh_id::text, pgh_obj_id, pgh_id, pgh_created_at
      FROM classifier_lesionevent WHERE patient_id = %(patient)s
    UNION ALL
    SELECT 'image', pgh_id::text, pgh_obj_id, pgh_id, pgh_created_at
      FROM classifier_imageevent WHERE patient_id = %(patient)s
    UNION ALL
    SELECT 'review', pgh_id::text, pgh_obj_id, pgh_id, pgh_created_at
      FROM classifier_reviewevent
      WHERE analysis_id IN (SELECT id FROM classifier_analysis WHERE patient_id = %(patient)s)
    UNION ALL
    SELECT 'reading', id::text, id, 0, created_at
      FROM classifier_reading
      WHERE analysis_id IN (SELECT id FROM classifier_analysis WHERE patient_id = %(patient)s)
    UNION ALL
    SELECT 'outcome', id::text, lesion_id, number, recorded_at
      FROM classifier_outcome WHERE patient_id = %(patient)s
    UNION ALL
    SELECT 'request', id::text, id, 0, created_at
      FROM classifier_readingrequest WHERE patient_id = %(patient)s
    UNION ALL
    SELECT 'withdrawal', id::text, id, 0, withdrawn_at
      FROM classifier_readingrequest
      WHERE patient_id = %(patient)s AND withdrawn_at IS NOT NULL
  ) AS versions
  ORDER BY line
  LIMIT %(size)s OFFSET %(skipped)s
) AS listed
ORDER BY line
"""  # noqa: S608 - our own tables' names


def listed_rows(
    patient: Patient, *, size: int, skipped: int
) -> list[tuple[str, str, str | None, datetime]]:
    """Return some lines of the list: kind, row, the row that it follows, and when it was written.

    Args:
        patient: whose record it is.
        size: at most so many lines.
        skipped: after so many newer ones.

    Returns:
        Rows are told as JSON.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LISTED, {"patient": patient.pk, "size": size, "skipped": skipped})
        found: list[tuple[str, str, str | None, datetime]] = cursor.fetchall()
    return found
