"""The gate against pictures that a network must not answer: what it looks at and when it shuts.

Three checks on what one forward pass gives:

- ``not_skin``: the picture does not show skin at all; it is rejected;
- ``other_kind``: skin, but not taken as the label set's pictures are (a clinical photograph for a
  dermoscopic network and the other way round); the network cannot say;
- ``labels``: skin of the right kind that looks like none of the labels; the network cannot say.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.bundle import ReleaseError
from mlcore.detectors import DETECTORS, Examples, Features, fit, learns_from_outside, score

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mlcore.detectors import Arrays

GATE = "gate.npz"
NOT_SKIN, OTHER_KIND, LABELS = "not_skin", "other_kind", "labels"
CHECKS = (NOT_SKIN, OTHER_KIND, LABELS)
# Greatest share of the calibration pictures that a check may hold back.
SHARES = {NOT_SKIN: 0.01, OTHER_KIND: 0.01, LABELS: 0.10}
# The third check takes the first of these at which it finds nearly all, its greatest otherwise.
_LADDER = (0.01, 0.02, 0.05, SHARES[LABELS])
_NEARLY_ALL = 0.98
_FOLDS = 4
# Where a gap lies between own pictures and outsiders, this part of it is left to own pictures: the
# calibration part has few of them, so the next one may lie further out than they do. The first
# check leaves all of it, as it turns a patient's picture away.
_OF_THE_GAP = {NOT_SKIN: 1.0, OTHER_KIND: 1 / 3, LABELS: 1 / 3}
# Drawn skin stands in for tones that the photographs lack, so it must not vanish among thousands.
_DRAWN_SHARE = 0.08


@dataclass(frozen=True)
class Outsiders:
    """What a gate learns from besides the label set's own pictures.

    Attributes:
        not_skin: pictures that show no skin.
        other_skin: skin photographs whose diagnosis is no label.
        other_kind: pictures of the other modality.
        drawn_own: drawn lesions of the network's own modality, on skin of every tone.
        drawn_skin: drawn skin of the other modality, and without a lesion.
    """

    not_skin: Features
    other_skin: Features
    other_kind: Features
    drawn_own: Features
    drawn_skin: Features


@dataclass(frozen=True)
class Check:
    """One question and the score from which on the answer is yes.

    Attributes:
        name: one of :data:`CHECKS`.
        detector: one of :data:`mlcore.detectors.DETECTORS`.
        threshold: greatest score that passes.
        arrays: of the detector.
    """

    name: str
    detector: str
    threshold: float
    arrays: Arrays = field(repr=False)

    def margins(self, features: Features) -> NDArray[np.float64]:
        """Return (n,) scores above the threshold: positive where the check holds a picture back."""
        return score(self.detector, self.arrays, features) - self.threshold


@dataclass(frozen=True)
class Gate:
    """The checks of a release, in the order in which they count."""

    checks: tuple[Check, ...]

    def margins(self, features: Features) -> dict[str, NDArray[np.float64]]:
        """Return what every check says; see :meth:`Check.margins`."""
        return {check.name: check.margins(features) for check in self.checks}

    def verdicts(self, features: Features) -> list[str]:
        """Return for every picture the first check that holds it back, or ""."""
        margins = self.margins(features)
        return [first_to_hold(margins, row) for row in range(len(features))]

    def facts(self) -> list[dict[str, Any]]:
        """Return the checks without their arrays, for the manifest."""
        return [
            {"name": check.name, "detector": check.detector, "threshold": check.threshold}
            for check in self.checks
        ]

    def save(self, path: Path) -> None:
        """Write the arrays as ``.npz``; the rest is :meth:`facts`."""
        arrays = {
            f"{check.name}.{name}": values
            for check in self.checks
            for name, values in check.arrays.items()
        }
        with path.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type] # any name is allowed


def first_to_hold(margins: Mapping[str, NDArray[np.float64]], row: int) -> str:
    """Return the first check that holds back the picture of this row, or "".

    Args:
        margins: from :meth:`Gate.margins`.
        row: of the picture.
    """
    return next((name for name, values in margins.items() if values[row] > 0), "")


def load_gate(path: Path, facts: Sequence[Mapping[str, Any]]) -> Gate:
    """Read a gate that :meth:`Gate.save` wrote.

    Args:
        path: the file.
        facts: from :meth:`Gate.facts`.

    Raises:
        ReleaseError: the file is damaged or does not fit the facts.
    """
    try:
        # NumPy leaves a file that it has opened itself open when it is no archive.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        checks = tuple(
            Check(
                str(fact["name"]),
                str(fact["detector"]),
                float(fact["threshold"]),
                {
                    name.removeprefix(f"{fact['name']}."): values
                    for name, values in arrays.items()
                    if name.startswith(f"{fact['name']}.")
                },
            )
            for fact in facts
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        msg = f"{path} is no gate of this release ({error}); copy the whole release folder again."
        raise ReleaseError(msg) from error
    unknown = {check.detector for check in checks} - set(DETECTORS)
    if unknown or not {check.name for check in checks} <= set(CHECKS):
        msg = f"{path} is for another program version: its checks are {list(facts)}."
        raise ReleaseError(msg)
    return Gate(checks)


def examples_for(own: Features, labels: NDArray[Any], outsiders: Outsiders) -> dict[str, Examples]:
    """Return what each check learns from, by its name.

    Args:
        own: what the network says of training pictures.
        labels: (n,) index of the label of each of them.
        outsiders: what it says of everything else.
    """
    inside = Features.join([own, *_drawn(len(own), [outsiders.drawn_own])])
    index = np.concatenate([labels, np.full(len(inside) - len(own), -1)])
    skin = [own, outsiders.other_skin, outsiders.other_kind]
    drawn = _drawn(sum(map(len, skin)), [outsiders.drawn_own, outsiders.drawn_skin])
    # For the first check own labels are groups, and all other skin is one more.
    all_skin = Features.join([*skin, *drawn])
    groups = np.concatenate([labels, np.full(len(all_skin) - len(own), -1)])
    return {
        NOT_SKIN: Examples(all_skin, groups, outsiders.not_skin),
        OTHER_KIND: Examples(inside, index, outsiders.other_kind),
        LABELS: Examples(inside, index, outsiders.other_skin),
    }


def fit_gate(
    own: Features, labels: NDArray[Any], calibration: Features, outsiders: Outsiders
) -> Gate:
    """Return the gate of a network.

    Args:
        own: what the network says of training pictures.
        labels: (n,) index of the label of each of them.
        calibration: what it says of the calibration split, which the thresholds are set on.
        outsiders: what it says of the development half of everything else.
    """
    examples = examples_for(own, labels, outsiders)
    return Gate(
        (
            _checked(NOT_SKIN, "head", examples[NOT_SKIN], calibration),
            _checked(OTHER_KIND, "head", examples[OTHER_KIND], calibration),
            _best(examples[LABELS], calibration),
        )
    )


def development_scores(name: str, examples: Examples) -> NDArray[np.float64]:
    """Return the scores of the pictures from outside, none by a detector that was fitted on it."""
    if not learns_from_outside(name):
        return score(name, fit(name, examples), examples.outside)
    scores = np.zeros(len(examples.outside))
    # Neighbours in the list may be of one diagnosis, so they stay in one fold.
    for fold in np.array_split(np.arange(len(examples.outside)), _FOLDS):
        rest = np.setdiff1d(np.arange(len(examples.outside)), fold)
        seen = Examples(examples.inside, examples.labels, examples.outside.rows(rest))
        scores[fold] = score(name, fit(name, seen), examples.outside.rows(fold))
    return scores


def _drawn(amount: int, parts: list[Features]) -> list[Features]:
    """Repeat drawn pictures until they are a fair share beside ``amount`` photographs."""
    count = sum(map(len, parts))
    return parts * max(1, round(_DRAWN_SHARE * amount / max(count, 1)))


def _checked(
    name: str,
    detector: str,
    examples: Examples,
    calibration: Features,
    *,
    share: float | None = None,
) -> Check:
    arrays = fit(detector, examples)
    own = score(detector, arrays, calibration)
    lowest = float(np.quantile(own, 1 - (share or SHARES[name]), method="higher"))
    nearly_all = float(
        np.quantile(development_scores(detector, examples), 1 - _NEARLY_ALL, method="lower")
    )
    threshold = lowest + max(0.0, nearly_all - lowest) * _OF_THE_GAP[name]
    return Check(name, detector, round(threshold, 4), arrays)


def _best(examples: Examples, calibration: Features) -> Check:
    """Return the third check with the detector that finds most of the development half."""
    found: dict[str, dict[float, float]] = {}
    for detector in DETECTORS:
        own = score(detector, fit(detector, examples), calibration)
        outside = development_scores(detector, examples)
        found[detector] = {
            share: float((outside > np.quantile(own, 1 - share, method="higher")).mean())
            for share in _LADDER
        }
    best = max(DETECTORS, key=lambda detector: sum(found[detector].values()))
    enough = (share for share in _LADDER if found[best][share] >= _NEARLY_ALL)
    return _checked(LABELS, best, examples, calibration, share=next(enough, SHARES[LABELS]))
