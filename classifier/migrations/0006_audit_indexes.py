"""Indexes for reading the audit trail, made while it is written to."""

from django.db import migrations, models

from classifier.schema_changes import AddIndexPatiently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("classifier", "0005_records")]

    operations = [
        AddIndexPatiently(
            model_name="auditevent",
            index=models.Index(fields=["clinic", "actor", "-at", "-id"], name="audit_of_person"),
        ),
        AddIndexPatiently(
            model_name="auditevent",
            index=models.Index(fields=["clinic", "action", "-at", "-id"], name="audit_of_action"),
        ),
        AddIndexPatiently(
            model_name="auditevent",
            index=models.Index(condition=models.Q(("patient_key__isnull", False)), fields=["patient_key", "-at", "-id"], name="audit_of_patient"),
        ),
    ]
