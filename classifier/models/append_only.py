"""Triggers for tables that are only appended to.

They hold for everybody who speaks SQL, not only for this application. Two doors are left: whoever
owns the database may drop a trigger (the chain of the audit trail shows what was done then), and
rows about a patient may go when, and only when, that patient is erased.
"""

from __future__ import annotations

import pgtrigger

# Set for one transaction by ``classifier.services.erasure``, to the identifier of the patient.
ERASING = "skinapp.erasing"

_REFUSE = "RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;"


def append_only(name: str, *, patient: str = "") -> list[pgtrigger.Trigger]:
    """Return the triggers that refuse UPDATE, DELETE and TRUNCATE.

    Args:
        name: the triggers' name, unique in the project.
        patient: SQL that gives the patient of ``OLD``. Their erasure, which has left its
            tombstone in the same transaction, may delete the row; without it nobody may.
    """
    body = _REFUSE
    if patient:
        body = (
            f"IF TG_OP = 'DELETE' AND ({patient}) = "  # noqa: S608 - our own words, no input
            f"NULLIF(current_setting('{ERASING}', true), '')::uuid AND EXISTS "
            f"(SELECT 1 FROM classifier_erasure WHERE patient_key = ({patient})) "
            f"THEN RETURN OLD; END IF; {_REFUSE}"
        )
    return [
        pgtrigger.Trigger(
            name=name,
            when=pgtrigger.Before,
            operation=pgtrigger.Update | pgtrigger.Delete,
            func=body,
        ),
        pgtrigger.Trigger(
            name=f"{name}_whole",
            level=pgtrigger.Statement,
            when=pgtrigger.Before,
            operation=pgtrigger.Truncate,
            func=_REFUSE,
        ),
    ]
