"""Indexes for reading the audit trail, made while it is written to."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("classifier", "0005_records")]

    operations = [
        AddIndexConcurrently(
            model_name="auditevent",
            index=models.Index(fields=["clinic", "actor", "-at", "-id"], name="audit_of_person"),
        ),
        AddIndexConcurrently(
            model_name="auditevent",
            index=models.Index(fields=["clinic", "action", "-at", "-id"], name="audit_of_action"),
        ),
        AddIndexConcurrently(
            model_name="auditevent",
            index=models.Index(condition=models.Q(("patient_key__isnull", False)), fields=["patient_key", "-at", "-id"], name="audit_of_patient"),
        ),
    ]
