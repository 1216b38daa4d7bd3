"""What the drift of inputs and scores is judged by, with every prediction from now on."""

from django.db import migrations, models

from classifier.schema_changes import AtOnce


class Migration(migrations.Migration):

    dependencies = [
        ('classifier', '0012_imports'),
    ]

    operations = [
        # A column that may be empty is added without touching a row.
        AtOnce([
            migrations.AddField(
                model_name='prediction',
                name='measures',
                field=models.JSONField(blank=True, null=True, verbose_name='measures'),
            ),
        ], tables=["classifier_prediction"]),
    ]
