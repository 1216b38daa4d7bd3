"""Figures of parts of a set: by sex, age, body site and source of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.data.sets import archive_id, ham_facts
from mlcore.figures.bootstrap import Statistic, estimate
from mlcore.figures.measures import mean_of_occurring, recalls, weighted_auc
from mlcore.figures.report import (
    TOO_FEW,
    accuracy,
    confusion_statistic,
    labels_of,
    malignant,
    shares,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mlcore.data.sets import Record
    from mlcore.labels import LabelSet

    Floats = NDArray[np.float64]
    Indices = NDArray[np.int64]

KINDS = ("sex", "age_band", "site", "source")
UNKNOWN = "unknown"
_NOT_MEASURED = {"value": None, "interval": None}
# Age in years below which a band ends; the last one has no end.
_BANDS = (
    (30, "under 30"),
    (45, "30 to 44"),
    (60, "45 to 59"),
    (75, "60 to 74"),
    (float("inf"), "75 and over"),
)


def slice_facts(records: Sequence[Record], root: Path) -> list[dict[str, str]]:
    """Return sex, age band, body site and source of every record.

    What nobody wrote down is ``unknown``. HAM10000's metadata tells of its images, and of those of
    the nine-class set that are HAM10000's too.

    Args:
        records: the images.
        root: the data root.
    """
    known = ham_facts(root)
    rows = []
    for record in records:
        fact = known.get(archive_id(record.path)) if record.source != "clinical5" else None
        rows.append(
            {
                "sex": (fact.sex if fact else "") or UNKNOWN,
                "age_band": age_band(fact.age if fact else ""),
                "site": (fact.site if fact else "") or UNKNOWN,
                "source": record.archive or record.source,
            }
        )
    return rows


def age_band(age: str) -> str:
    """Return the band of an age in years as metadata write it: "45.0", or "" where unknown."""
    try:
        years = float(age)
    except ValueError:
        return UNKNOWN
    return next((name for end, name in _BANDS if years < end), UNKNOWN)


def slices(  # noqa: PLR0913 - the arguments of evaluate, the facts and the thresholds
    key: str | LabelSet,
    truth: Indices,
    chances: Floats,
    groups: Sequence[str],
    facts: Sequence[Mapping[str, str]],
    *,
    triage: float | Floats,
    measured_on: str,
) -> dict[str, Any]:
    """Return figures by sex, age band, body site and source, ready for JSON.

    Args:
        key: the label set, or its key.
        truth: (n,) indices of the labels.
        chances: (n, labels) calibrated probabilities.
        groups: one group an image.
        facts: what :func:`slice_facts` returns; a kind that is known of no image is left out.
        triage: suspicion is raised from this summed probability of malignant labels on; one for
            all images, or one an image (n,).
        measured_on: the images, in words: ``validation folds``.

    Returns:
        ``measured_on``, ``images`` and ``kinds``: by kind the slices, each with its ``name``, its
        numbers of images, groups and malignant images, and figures with 95 % intervals by group.
        A figure over fewer than 30 images is None, with ``too_few_to_say`` for the whole slice.
        ``balanced_accuracy`` is over the labels with 30 images in the slice, ``labels`` of them;
        it needs two. Sensitivity and AUC need 30 malignant images, specificity and AUC 30 others.
    """
    labels = labels_of(key)
    named, limits = list(groups), np.broadcast_to(np.asarray(triage, float), len(truth))
    kinds = {
        kind: [
            _slice(labels, truth[i], chances[i], [named[k] for k in i], limits[i]) | {"name": name}
            for name, i in _members(kind, facts)
        ]
        for kind in KINDS
        if {fact.get(kind, UNKNOWN) for fact in facts} - {UNKNOWN}
    }
    return {"measured_on": measured_on, "images": len(truth), "kinds": kinds}


def _members(kind: str, facts: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, Indices]]:
    values = np.array([fact[kind] for fact in facts])
    bands = [name for _, name in _BANDS]

    def place(name: str) -> tuple[bool, int, str]:
        return name == UNKNOWN, bands.index(name) if name in bands else 0, name

    for name in sorted(set(values.tolist()), key=place):
        yield name, np.flatnonzero(values == name)


def _slice(
    labels: LabelSet, truth: Indices, chances: Floats, groups: Sequence[str], triage: Floats
) -> dict[str, Any]:
    bad = malignant(labels)
    is_bad, danger = bad[truth], chances[:, bad].sum(axis=1)
    there = np.bincount(truth, minlength=len(labels.labels)) >= TOO_FEW
    enough, many_bad, many_good = (
        count >= TOO_FEW for count in (len(truth), int(is_bad.sum()), int((~is_bad).sum()))
    )

    def balanced(confusion: Floats) -> Floats:
        kept = np.where(there[:, None], confusion, 0)
        return mean_of_occurring(recalls(kept), kept)

    statistics: list[Statistic] = []
    if enough:
        parts = {"accuracy": accuracy}
        among = {"accuracy": np.ones(len(truth), dtype=bool)}
        if there.sum() > 1:
            parts["balanced_accuracy"] = balanced
        statistics.append(
            confusion_statistic(truth, chances.argmax(axis=1), len(labels.labels), parts, among)
        )
    raised = danger >= triage
    if many_bad:
        statistics.append(shares({"malignant_sensitivity": (raised, is_bad)}))
    if many_good:
        statistics.append(shares({"malignant_specificity": (~raised, ~is_bad)}))
    if many_bad and many_good:
        statistics.append(
            Statistic(
                ("malignant_auc",), lambda weights: weighted_auc(is_bad, danger, weights)[:, None]
            )
        )
    names = (
        "accuracy",
        "balanced_accuracy",
        "malignant_sensitivity",
        "malignant_specificity",
        "malignant_auc",
    )
    found = estimate(statistics, groups) if statistics else {}
    return {
        "images": len(truth),
        "groups": len(set(groups)),
        "malignant": int(is_bad.sum()),
        "labels": int(there.sum()),
        "too_few_to_say": not enough,
        "figures": {name: found.get(name, dict(_NOT_MEASURED)) for name in names},
    }
