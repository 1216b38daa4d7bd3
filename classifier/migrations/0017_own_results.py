"""An index for what somebody sent and nobody has reviewed: every page counts it."""

from django.db import migrations, models

from classifier.schema_changes import AddIndexPatiently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("classifier", "0016_own")]

    operations = [
        AddIndexPatiently(
            model_name="analysis",
            index=models.Index(
                condition=models.Q(
                    ("review_state", "pending"), ("state__in", ("succeeded", "rejected"))
                ),
                fields=["requested_by", "clinic", "finished_at"],
                name="analysis_own_results",
            ),
        ),
    ]
