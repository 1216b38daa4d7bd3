"""Whether what is stored still is what was stored: files, rows, states, releases.

Everything is checked in slices by the first three digits of an image's identifier, which begin the
names of its folders: a slice is short, and so a check of a large installation can be left and taken
up again, and an upload that comes meanwhile waits for one slice only.
Findings hold identifiers and stored names, neither of which says anything about a patient.
"""

from __future__ import annotations

import hashlib
import logging
import re
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pgtrigger
from django.apps import apps
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection, models
from django.db.models import F, Q
from django.utils import timezone

from classifier.choices import State
from classifier.models import Analysis, Image, ModelVersion, Prediction
from classifier.services.integrity_archives import check_archives
from classifier.services.model_versions import verified_release
from classifier.services.moves import LEGAL_MOVES
from mlcore.bundle import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from django.db.models import QuerySet

logger = logging.getLogger(__name__)

# Each of a quarter of a thousand images in an installation of a million.
SLICES = 4096
_SLICE_BITS = 12
_FOLDER = "images"
_NAME = re.compile(r"([0-9a-f-]{36})\.(?:display|thumbnail|network)\.(?:jpg|png)")
_DIGITS = re.compile(r"[0-9a-f]{2}")
# Images lie two folders below theirs, which are named after the first digits of the identifier.
_DEPTH = 2
_CHUNK = 1 << 20
_VARIANTS = ("display", "thumbnail", "network_source")
# A lease this much overdue means that nothing sweeps: beat is away, or the sweep fails.
_OVERDUE = timedelta(minutes=10)

# One row for every move that does not follow from the one before, and for every analysis that is
# not where its last move went.
_BROKEN_CHAINS = """
WITH steps AS (
    SELECT t.analysis_id, t.id, t.from_state, t.to_state, a.state,
           coalesce(lag(t.to_state) OVER w, '') AS before,
           lead(t.id) OVER w IS NULL AS last
    FROM classifier_transition t JOIN classifier_analysis a ON a.id = t.analysis_id
    WHERE a.image_id BETWEEN %(first)s AND %(last)s
    WINDOW w AS (PARTITION BY t.analysis_id ORDER BY t.id)
)
SELECT DISTINCT analysis_id FROM steps
WHERE from_state <> before
   OR NOT (from_state || '>' || to_state = ANY(%(legal)s))
   OR (last AND to_state <> state)
UNION
SELECT a.id FROM classifier_analysis a
WHERE a.image_id BETWEEN %(first)s AND %(last)s
  AND NOT EXISTS (SELECT 1 FROM classifier_transition t WHERE t.analysis_id = a.id)
"""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        code: what kind of fault; docs/runbook.md lists them.
        subject: an identifier or a stored name.
        detail: more for the operator; never a fact about a patient.
    """

    code: str
    subject: str
    detail: str = ""


@dataclass
class Report:
    """What a check found.

    Attributes:
        looked_at: how many images, files, analyses, releases and archives were looked at.
        findings: in the order found.
        swept: orphan files that were removed.
        adopted: copies from before hashes were kept, whose hash was written down now.
    """

    looked_at: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    swept: int = 0
    adopted: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each code."""
        return dict(sorted(Counter(finding.code for finding in self.findings).items()))

    def add(self, code: str, subject: object, detail: str = "") -> None:
        """Take one finding up."""
        self.findings.append(Finding(code, str(subject), detail))

    def merge(self, other: Report) -> None:
        """Take another report's figures and findings up."""
        self.looked_at += other.looked_at
        self.findings += other.findings
        self.swept += other.swept
        self.adopted += other.adopted


def check_everything(*, sweep: bool = False, grace: timedelta | None = None) -> Report:
    """Check all at once: for the command and for small installations.

    Args:
        sweep: remove orphan files that are older than ``grace``, and end imports whose archive is
            lost.
        grace: younger files may belong to an upload that is just being stored;
            ``INTEGRITY_GRACE_HOURS`` by default.
    """
    report = check_installation(sweep=sweep, grace=grace)
    report.merge(check_slices(0, SLICES - 1, sweep=sweep, grace=grace))
    return report


def check_installation(*, sweep: bool = False, grace: timedelta | None = None) -> Report:
    """Check what belongs to no image: releases, the database's own rules, imports' archives.

    Args:
        sweep: see :func:`check_everything`.
        grace: likewise.
    """
    report = Report()
    _check_releases(report)
    _check_rules(report)
    check_archives(report, sweep=sweep, before=_young_since(grace))
    return report


def check_slices(
    first: int, last: int, *, sweep: bool = False, grace: timedelta | None = None
) -> Report:
    """Check the images whose identifiers begin with the digits ``first`` to ``last``, 0 to 0xfff.

    Args:
        first: the lowest first three digits.
        last: the highest first three digits.
        sweep: see :func:`check_everything`.
        grace: likewise.
    """
    report = Report()
    rest = 128 - _SLICE_BITS
    low = uuid.UUID(int=first << rest)
    high = uuid.UUID(int=((last + 1) << rest) - 1)
    _check_copies(report, low, high)
    _check_states(report, low, high)
    _check_folders(report, first, last, sweep=sweep, before=_young_since(grace))
    return report


def _young_since(grace: timedelta | None) -> datetime:
    """Return since when a file is too young to be judged."""
    waited = grace if grace is not None else timedelta(hours=settings.INTEGRITY_GRACE_HOURS)
    return timezone.now() - waited


# --- Rows and their files ----------------------------------------------------------------------


def _check_copies(report: Report, low: uuid.UUID, high: uuid.UUID) -> None:
    rows = Image.objects.filter(pk__range=(low, high)).order_by("pk")
    for image in rows.iterator(chunk_size=500):
        report.looked_at["images"] += 1
        for variant in _VARIANTS:
            _check_copy(report, image, variant)
    unasked = Image.objects.filter(pk__range=(low, high), analyses__isnull=True)
    for pk in unasked.values_list("pk", flat=True):
        report.add("image_without_analysis", pk)


def _check_copy(report: Report, image: Image, variant: str) -> None:
    stored = getattr(image, variant)
    name = stored.name or ""
    expected: str = getattr(image, f"{variant}_sha256")
    report.looked_at["files"] += 1
    digest = hashlib.sha256()
    try:
        with stored.storage.open(name, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except FileNotFoundError:
        # Its patient may have been erased since the row was read.
        if Image.objects.filter(pk=image.pk).exists():
            report.add("file_missing", name, f"image {image.pk}")
        return
    except OSError as error:
        report.add("file_unreadable", name, type(error).__name__)
        return
    found = digest.hexdigest()
    if not expected:
        # Stored before this hash was kept: what is there now counts from now on.
        empty = {f"{variant}_sha256": ""}
        report.adopted += Image.objects.filter(pk=image.pk, **empty).update(
            **{f"{variant}_sha256": found}
        )
    elif found != expected:
        report.add("file_changed", name, f"image {image.pk}")


# --- Files without a row -----------------------------------------------------------------------


def _check_folders(report: Report, first: int, last: int, *, sweep: bool, before: datetime) -> None:
    """Find files that no row names: what a process left that was killed between file and commit."""
    for folder in _folders(report, first, last):
        below, files = _listed(folder)
        names = [f"{folder}/{name}" for name in files]
        if _depth(folder) == _DEPTH:
            _unknown(report, folder, below)
        owners = {key for name in names if (key := _owner(name)) is not None}
        known: set[str] = set()
        for row in Image.objects.filter(pk__in=owners).values_list(*_VARIANTS):
            known.update(row)
        for name in names:
            if name not in known:
                _judge_orphan(report, name, sweep=sweep, before=before)


def _judge_orphan(report: Report, name: str, *, sweep: bool, before: datetime) -> None:
    try:
        if default_storage.get_modified_time(name) >= before:
            return
        # Its row may have been committed since the rows were read.
        owner = _owner(name)
        if owner is not None and Image.objects.filter(pk=owner).exists():
            named = Image.objects.filter(pk=owner).values_list(*_VARIANTS).get()
            if name in named:
                return
        if not sweep or owner is None:
            report.add("file_unknown" if owner is None else "file_orphan", name)
            return
        default_storage.delete(name)
    except FileNotFoundError:
        return
    except OSError as error:
        report.add("file_unreadable", name, type(error).__name__)
        return
    report.swept += 1
    logger.warning("an orphan file was removed: %s", name)


def _folders(report: Report, first: int, last: int) -> Iterator[str]:
    """Return the folders of these slices, and report those that are nobody's."""
    tops = _listed(_FOLDER)[0]
    if first == 0:
        yield _FOLDER
        _unknown(report, _FOLDER, [top for top in tops if not _DIGITS.fullmatch(top)])
    for top in sorted(tops):
        if not _DIGITS.fullmatch(top) or not first >> 4 <= int(top, 16) <= last >> 4:
            continue
        folder = f"{_FOLDER}/{top}"
        begin = int(top, 16) << 4
        # What lies beside its folders, or in folders that are none of ours, is the first slice's.
        if begin >= first:
            yield folder
        for below in sorted(_listed(folder)[0]):
            place = begin + (int(below[0], 16) if _DIGITS.fullmatch(below) else 0)
            if first <= place <= last:
                yield f"{folder}/{below}"


def _depth(folder: str) -> int:
    return folder.count("/")


def _unknown(report: Report, folder: str, below: Iterable[str]) -> None:
    """Report folders where there are none of ours; whatever lies in them is unknown as well."""
    for name in sorted(below):
        report.add("file_unknown", f"{folder}/{name}/")


def _listed(folder: str) -> tuple[list[str], list[str]]:
    try:
        return default_storage.listdir(folder)
    except FileNotFoundError:
        return [], []


def _owner(name: str) -> uuid.UUID | None:
    """Return the image that a stored name belongs to, None for a name that is not ours."""
    found = _NAME.fullmatch(name.rpartition("/")[2])
    try:
        return uuid.UUID(found[1]) if found else None
    except ValueError:
        return None


# --- States ------------------------------------------------------------------------------------


def _check_states(report: Report, low: uuid.UUID, high: uuid.UUID) -> None:
    within = Q(image_id__gte=low, image_id__lte=high)
    analyses = Analysis.objects.filter(within)
    report.looked_at["analyses"] += analyses.count()
    for rule in Analysis._meta.constraints:
        if isinstance(rule, models.CheckConstraint):
            _report(report, "state_illegal", analyses.exclude(rule.condition), rule.name)
    with connection.cursor() as cursor:
        legal = [f">{State.QUEUED.value}"] + [
            f"{origin.value}>{target.value}"
            for origin, targets in LEGAL_MOVES.items()
            for target in targets
        ]
        cursor.execute(_BROKEN_CHAINS, {"first": low, "last": high, "legal": legal})
        for (pk,) in cursor.fetchall():
            report.add("state_illegal", pk, "its transitions do not lead to its state")
    overdue = analyses.lease_lost(timezone.now() - _OVERDUE)
    _report(report, "state_stuck", overdue, "its lease ran out and nothing has swept it")
    _report(
        report,
        "result_foreign",
        analyses.filter(prediction__isnull=False).exclude(prediction__image_id=F("image_id")),
        "its result is of another image",
    )
    results = Prediction.objects.filter(within)
    _report(
        report,
        "result_foreign",
        results.exclude(input_sha256=F("image__network_source_sha256")),
        "it was made from another input",
    )
    _report(
        report,
        "result_foreign",
        results.exclude(artefact_sha256=F("model_version__artefact_sha256")),
        "it was made by another release",
    )


def _report(report: Report, code: str, rows: QuerySet[Any], detail: str) -> None:
    keys: Iterable[uuid.UUID] = rows.order_by("pk").values_list("pk", flat=True)
    for pk in keys:
        report.add(code, pk, detail)


# --- The installation --------------------------------------------------------------------------


def _check_releases(report: Report) -> None:
    """Check the files of every release that answers or has answered."""
    answered = Q(active=True) | Q(pk__in=Prediction.objects.values("model_version").distinct())
    for version in ModelVersion.objects.filter(answered).defer("manifest", "metrics"):
        report.looked_at["releases"] += 1
        try:
            verified_release(version)
        except ReleaseError:
            report.add("release_changed", version, "its files are missing or were changed")
        except OSError as error:
            report.add("release_changed", version, type(error).__name__)


def _check_rules(report: Report) -> None:
    """Check that the database still enforces what must never be false."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE convalidated"
            " UNION SELECT c.relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
            " WHERE i.indisvalid"
        )
        enforced = {name for (name,) in cursor.fetchall()}
        cursor.execute("SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger")
        triggers = {(table, name) for table, name, enabled in cursor.fetchall() if enabled != "D"}
    for model in apps.get_app_config("classifier").get_models():
        for rule in model._meta.constraints:
            if rule.name not in enforced:
                report.add("rule_missing", rule.name, "the database does not enforce it")
    for kept, trigger in pgtrigger.registered():
        if (kept._meta.db_table, trigger.get_pgid(kept)) not in triggers:
            report.add("rule_missing", trigger.name, "the trigger is gone or switched off")
