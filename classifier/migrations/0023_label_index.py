"""The list of a label holds what else is filtered: an old version's rows are found in it alone."""

from django.db import migrations, models

from classifier.schema_changes import AddIndexPatiently, RemoveIndexPatiently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("classifier", "0022_account_language")]

    operations = [
        AddIndexPatiently(
            model_name="analysis",
            index=models.Index(
                fields=["clinic", "top_label", "-created_at", "-id"],
                include=(
                    "decision",
                    "modality",
                    "state",
                    "review_state",
                    "model_version",
                    "last_reviewer",
                    "patient",
                ),
                name="analysis_of_label",
            ),
        ),
        RemoveIndexPatiently(model_name="analysis", name="analysis_by_label"),
    ]
