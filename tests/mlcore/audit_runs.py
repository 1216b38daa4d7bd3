"""What an audit finds in the clean set with one thing changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcore.audit.audit import Question, audit

if TYPE_CHECKING:
    from pathlib import Path

    from mlcore.audit.audit import Audit
    from mlcore.audit.findings import Finding
    from mlcore.labels import LabelSet


# image-000 to 011 are train/nevus, then train/melanoma, test/nevus, test/melanoma.
TRAINED = "train/nevus/image-000.png"
OTHER_CLASS = "train/melanoma/copy.png"
TESTED = "test/nevus/image-024.png"


def found(image_set: Path, labels: LabelSet | None = None) -> dict[str, list[Finding]]:
    """Return the findings by kind."""
    by_kind: dict[str, list[Finding]] = {}
    for finding in audit(Question(image_set, labels)).findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    return by_kind


def action_of(done: Audit, name: str) -> tuple[str, str]:
    row = next(row for row in done.rows if row.file == name)
    return row.action, row.reason
