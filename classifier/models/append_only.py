"""Triggers for tables that are only appended to.

They hold for everybody who speaks SQL, not only for this application. Two doors are left: whoever
owns the database may drop a trigger (the chain of the audit trail shows what was done then), and
rows about a patient may go when, and only when, that patient is erased.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pgtrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def closed_once(
    name: str, *, patient: str, while_open: str, kept: Sequence[str]
) -> list[pgtrigger.Trigger]:
    """Return the triggers of rows that are changed until they are closed, and never after.

    Like :func:`append_only` they let nothing but the patient's erasure delete a row.

    Args:
        name: the triggers' name, unique in the project.
        patient: SQL that gives the patient of ``OLD``.
        while_open: SQL that holds for an ``OLD`` that is not closed yet.
        kept: columns that stay as they are even then.
    """
    same = " AND ".join(f"NEW.{column} IS NOT DISTINCT FROM OLD.{column}" for column in kept)
    change, whole = append_only(name, patient=patient)
    opened = f"IF TG_OP = 'UPDATE' AND {while_open} AND {same} THEN RETURN NEW; END IF; "
    change.func = opened + str(change.func)
    return [change, whole]
