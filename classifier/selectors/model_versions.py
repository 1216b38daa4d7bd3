"""What the page of a model version shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.choices import ActorKind
from classifier.models import AuditEvent, ModelVersion
from classifier.models import LabelSet as LabelSetKey
from classifier.wording import network_name
from mlcore.card import card_sections
from mlcore.labels import LabelSet, label_set
from mlcore.plots import draw_plots

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mlcore.card import Section
    from mlcore.plots import Plot

# Read before anything else, beside each other where there is room.
_FIRST = ("summary", "use", "not_for", "weak", "warnings")
# The audit trail keeps all switches; a page shows the latest.
MOST_SWITCHES = 20


@dataclass(frozen=True)
class Switch:
    """One change of the network that answers.

    Attributes:
        at: when.
        label_set: of which label set, as shown.
        version: what answers since.
        before: what answered until then, or "".
        who: the person, or the system.
        reason: their words, or "".
    """

    at: datetime
    label_set: str
    version: str
    before: str
    who: str
    reason: str


@dataclass(frozen=True)
class Networks:
    """The networks of one label set.

    Attributes:
        labels: the label set.
        active: the version that answers, if one does.
        others: the rest, the latest registered first.
        back: where a roll-back leads to, if anywhere.
    """

    labels: LabelSet
    active: ModelVersion | None
    others: list[ModelVersion]
    back: ModelVersion | None


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


def networks() -> list[Networks]:
    """Return every label set with its versions; one query."""
    versions = list(
        ModelVersion.objects.defer("manifest", "metrics").order_by("-registered_at", "pk")
    )
    found = []
    for key in LabelSetKey.values:
        own = [version for version in versions if version.label_set == key]
        past = [one for one in own if one.activated_at is not None and not one.active]
        found.append(
            Networks(
                labels=label_set(key),
                active=next((one for one in own if one.active), None),
                others=[one for one in own if not one.active],
                back=max(past, key=lambda one: one.activated_at or one.registered_at, default=None),
            )
        )
    return found


def switches(key: str = "") -> list[Switch]:
    """Return the latest switches, newest first: of all label sets, or of one."""
    events = AuditEvent.objects.filter(
        action="model_version.activated", clinic__isnull=True
    ).select_related("actor")
    if key:
        events = events.filter(details__label_set=key)
    return [
        Switch(
            at=event.at,
            label_set=network_name(event.details["label_set"]),
            version=event.details["version"],
            before=event.details["before"] or "",
            who=str(event.actor or ActorKind(event.actor_kind).label),
            reason=event.reason,
        )
        for event in events.order_by("-at", "-id")[:MOST_SWITCHES]
    ]
