"""Figures of merit, each with a bootstrap interval over groups: the way into ``mlcore.figures``."""

from __future__ import annotations

from mlcore.figures.bootstrap import intervals
from mlcore.figures.calibration import (
    calibration_error,
    calibration_error_debiased,
    calibration_error_equal_mass,
)
from mlcore.figures.measures import (
    area_under_curve,
    balanced_accuracy,
    brier_score,
    log_loss,
    macro_f1,
    macro_precision,
    softmax,
    wilson,
)
from mlcore.figures.report import evaluate, operating_point
from mlcore.figures.slices import slice_facts, slices

__all__ = [
    "area_under_curve",
    "balanced_accuracy",
    "brier_score",
    "calibration_error",
    "calibration_error_debiased",
    "calibration_error_equal_mass",
    "evaluate",
    "intervals",
    "log_loss",
    "macro_f1",
    "macro_precision",
    "operating_point",
    "slice_facts",
    "slices",
    "softmax",
    "wilson",
]
