"""What the page of a model version shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlcore.card import card_sections
from mlcore.labels import LabelSet, label_set
from mlcore.plots import draw_plots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.models import ModelVersion
    from mlcore.card import Section
    from mlcore.plots import Plot

# Read before anything else, beside each other where there is room.
_FIRST = ("summary", "use", "not_for", "weak", "warnings")


@dataclass(frozen=True)
class FactsPage:
    """The card of a version and its plots.

    Attributes:
        version: the version.
        labels: its label set.
        first: sections that are read first.
        figures: what was measured.
        plots: the same as drawings, each with its table.
        rest: how it was made, from what, and which files it is.
    """

    version: ModelVersion
    labels: LabelSet
    first: list[Section]
    figures: Section
    plots: list[Plot]
    rest: list[Section]


def facts_page(version: ModelVersion, facts: Mapping[str, Any]) -> FactsPage:
    """Return the page of a version.

    Args:
        version: whose manifest says how it was made.
        facts: what ``metrics.json`` of its release holds: ``figures`` and ``history``.
    """
    labels = label_set(version.label_set)
    known = {"label_set": version.label_set, "version": version.version}
    figures = facts.get("figures", {})
    sections = {
        section.key: section for section in card_sections(version.manifest | known, figures)
    }
    return FactsPage(
        version=version,
        labels=labels,
        first=[sections.pop(key) for key in _FIRST],
        figures=sections.pop("figures"),
        plots=draw_plots(figures, facts.get("history", []), labels=labels),
        rest=list(sections.values()),
    )
