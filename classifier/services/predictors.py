"""The networks that this worker process has loaded."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from django.conf import settings

from classifier.services.model_versions import verified_release
from mlcore.predictor import Predictor

if TYPE_CHECKING:
    from uuid import UUID

    from classifier.models import ModelVersion

# The loaded version of each label set: a switch to another lets go of the one before.
_predictors: dict[str, tuple[UUID, Predictor]] = {}
_predictors_lock = threading.Lock()
# Those that run beside it, once there was more than a few rows to run.
_more: dict[str, list[Predictor]] = {}
_THERE = os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
_CORES = settings.ANALYSIS_CORES or _THERE or 1
# How many predictors of one version run beside each other.
LANES = min(2, _CORES)
_THREADS = max(1, _CORES // LANES)


def predictor_for(version: ModelVersion) -> Predictor:
    """Return the loaded predictor of a version; loaded once a process, in the process that runs it.

    Raises:
        ReleaseError: its files are missing or were changed.
    """
    return lanes_for(version, 1)[0]


def lanes_for(version: ModelVersion, count: int) -> list[Predictor]:
    """Return predictors that run beside each other, each with its share of the cores.

    Two that take a picture each are faster than one that shares a picture among two cores, and
    while one decodes the other computes.

    Raises:
        ReleaseError: the version's files are missing or were changed.
    """
    with _predictors_lock:
        pk, first = _predictors.get(version.label_set, (None, None))
        if first is None or pk != version.pk:
            first = Predictor(
                verified_release(version), engine=settings.MLCORE_ENGINE, threads=_THREADS
            )
            _predictors[version.label_set] = (version.pk, first)
            _more.pop(version.label_set, None)
        more = _more.setdefault(version.label_set, [])
        while len(more) < count - 1:
            more.append(Predictor(first.release, engine=settings.MLCORE_ENGINE, threads=_THREADS))
        return [first, *more[: count - 1]]
