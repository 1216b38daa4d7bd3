"""Plots of a release: SVG drawings with their figures as tables.

The bytes are the same every time, so a release's manifest can hash them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcore.plots.calibration import reliability_plot, risk_plot
from mlcore.plots.confusion import confusion_plot
from mlcore.plots.plot import Plot, Table
from mlcore.plots.roc import roc_plot
from mlcore.plots.slices import slices_plot
from mlcore.plots.training import training_plot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlcore.labels import LabelSet

__all__ = ["Plot", "Table", "draw_plots", "render_plots"]

# Splits that are drawn, and what they are called.
_PARTS = (("test", "test images"), ("cross_validation", "cross-validation"))


def draw_plots(
    metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]], *, labels: LabelSet
) -> list[Plot]:
    """Return every plot that the figures of a release allow.

    Args:
        metrics: figures by split, ``figures`` of a release's ``metrics.json``; what older releases
            do not have is left out. ``cross_validation`` and ``slices`` are drawn where given.
        history: a row an epoch.
        labels: the label set.
    """
    plots: list[Plot | None] = []
    for part, where in _PARTS:
        if part in metrics:
            plots += _of_part(metrics[part], labels, part.replace("_", "-"), where)
    if rows := metrics.get("calibration", {}).get("risk_coverage"):
        plots.append(
            risk_plot(
                rows,
                None,
                name="calibration-risk",
                where="calibration images",
                counting="labels count alike",
            )
        )
    if metrics.get("slices"):
        plots.append(slices_plot(metrics["slices"]))
    plots.append(training_plot(history))
    return [plot for plot in plots if plot is not None]


def render_plots(
    metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]], *, labels: LabelSet
) -> dict[str, str]:
    """Return the plots of a release as files: name -> SVG. Arguments as :func:`draw_plots`."""
    return {plot.file_name: plot.file for plot in draw_plots(metrics, history, labels=labels)}


def _of_part(
    facts: Mapping[str, Any], labels: LabelSet, part: str, where: str
) -> list[Plot | None]:
    plots: list[Plot | None] = []
    if "confusion" in facts:
        names = [label.name for label in labels.labels]
        plots.append(
            confusion_plot(facts["confusion"], names, name=f"{part}-confusion", where=where)
        )
    if "roc" in facts:
        plots.append(roc_plot(facts, labels, name=f"{part}-roc", where=where))
    if facts.get("reliability", {}).get("bins"):
        error = facts["figures"].get("calibration_error")
        plots.append(
            reliability_plot(facts["reliability"], error, name=f"{part}-reliability", where=where)
        )
    if facts.get("risk_curve"):
        plots.append(
            risk_plot(
                facts["risk_curve"],
                facts.get("operating_point"),
                name=f"{part}-risk",
                where=where,
                counting="images count alike",
            )
        )
    return plots
