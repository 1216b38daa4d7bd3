"""Archives of old images, sent and worked through."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

from classifier.choices import RowState
from classifier.exchange.import_work import go_on
from classifier.exchange.importing import counts_of, send_archive

if TYPE_CHECKING:
    from classifier.models import ImportRun
    from tests.conftest import Cast

HEAD = "patient_number,name,birth_date,lesion,lesion_site,taken,modality,file\n"


def packed(table: str | bytes, files: dict[str, bytes] | None = None, **extra: Any) -> io.BytesIO:
    """Return an archive with a table and pictures."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", table)
        for name, data in (files or {}).items():
            archive.writestr(name, data)
        for entry, data in extra.get("entries", []):
            archive.writestr(entry, data)
    buffer.seek(0)
    return buffer


def sent(cast: Cast, archive: io.BytesIO) -> ImportRun:
    """Send an archive to the cast's clinic."""
    return send_archive(clinic=cast.clinic, by=cast.administrator, archive=archive)


def through(run: ImportRun) -> dict[str, int]:
    """Work a stage through and return the counts that are not nought."""
    while not go_on(run, seconds=30):
        pass
    run.refresh_from_db()
    return {state: count for state, count in counts_of(run).items() if count}


def told(run: ImportRun) -> dict[int, str]:
    """Return why lines are refused."""
    return dict(run.rows.filter(state=RowState.REFUSED).values_list("line", "told"))
