"""An import may end before its time, when its archive has to go."""

from django.db import migrations, models

from classifier.schema_changes import AtOnce

_STATES = ["checking", "checked", "running", "finished"]


class Migration(migrations.Migration):

    dependencies = [("classifier", "0023_label_index")]

    operations = [
        AtOnce([
            migrations.AddField(
                model_name="importrun",
                name="ended_for",
                field=models.CharField(blank=True, choices=[("erasure", "A patient of this archive was erased, and the archive with them. Send what is left in a new archive without that patient: the refused lines say what it is."), ("lost", "The archive is missing or damaged. Send it again, or what is left in a new archive: the refused lines say what it is.")], db_default="", default="", max_length=10, verbose_name="why it ended"),
            ),
            migrations.AlterField(
                model_name="importrun",
                name="state",
                field=models.CharField(choices=[("checking", "Being looked through"), ("checked", "Looked through"), ("running", "Being taken in"), ("finished", "Finished"), ("ended", "Ended before its time")], default="checking", max_length=12, verbose_name="state"),
            ),
            migrations.RemoveConstraint(model_name="importrun", name="import_state_valid"),
            # The way back: to the version before, such an import is one that is over.
            migrations.RunSQL(
                migrations.RunSQL.noop,
                "UPDATE classifier_importrun SET state = 'finished' WHERE state = 'ended'",
            ),
            migrations.AddConstraint(
                model_name="importrun",
                constraint=models.CheckConstraint(condition=models.Q(("state__in", [*_STATES, "ended"])), name="import_state_valid"),
            ),
        ], tables=["classifier_importrun"]),
    ]
