"""The first versions of rows, and the sealing of events, that were there before 0005.

Some at a time, each batch in its own transaction: nobody waits for a hundred thousand. A row that
was changed since 0005 has a version already, and gets no second first one. Run again after a
failure, it does what is left.
"""

from django.db import migrations

from classifier.schema_changes import in_batches

OLD_EVENTS = """
INSERT INTO classifier_auditpending (event_key)
  SELECT id FROM classifier_auditevent event
  WHERE (%(above)s IS NULL OR id > %(above)s) AND id <= %(upto)s
    AND NOT EXISTS (SELECT 1 FROM classifier_auditlink WHERE event_key = event.id)
  ON CONFLICT DO NOTHING
"""
VERSIONED = {
    "patient": (
        "id", "clinic_id", "record_number", "name", "date_of_birth", "sex", "skin_type", "notes",
        "archived", "created_by_id", "created_at", "updated_at",
    ),
    "lesion": (
        "id", "clinic_id", "patient_id", "label", "body_site", "first_seen", "created_by_id",
        "created_at",
    ),
    "image": (
        "id", "clinic_id", "patient_id", "lesion_id", "modality", "taken_at", "uploaded_by_id",
        "created_at", "original_sha256", "original_format", "byte_size", "width", "height",
        "network_source_sha256",
    ),
    "review": (
        "id", "clinic_id", "analysis_id", "prediction_id", "number", "reviewer_id", "verdict",
        "diagnosis", "diagnosis_text", "reason", "notes", "created_at",
    ),
}


def first_version(model, columns):
    """Return the statement that keeps rows as they are now as their first known version."""
    names = ", ".join(columns)
    return f"""
        INSERT INTO classifier_{model}event (pgh_created_at, pgh_label, pgh_obj_id, {names})
        SELECT now(), 'found', id, {names} FROM classifier_{model} found
        WHERE (%(above)s IS NULL OR id > %(above)s) AND id <= %(upto)s
          AND NOT EXISTS (SELECT 1 FROM classifier_{model}event WHERE pgh_obj_id = found.id)
    """


def keep_first(apps, schema_editor):
    """Deal with every row."""
    in_batches(schema_editor, OLD_EVENTS, table="classifier_auditevent")
    for model, columns in VERSIONED.items():
        in_batches(schema_editor, first_version(model, columns), table=f"classifier_{model}")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("classifier", "0007_integrity")]

    operations = [migrations.RunPython(keep_first, migrations.RunPython.noop)]
