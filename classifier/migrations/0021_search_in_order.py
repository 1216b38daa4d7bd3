"""A clinic's list by name holds what is searched: a common name is found in the index alone."""

from django.db import migrations, models

from classifier.schema_changes import AddIndexPatiently, RemoveIndexPatiently

# Written before there was a bound; the trigger cuts it. Few rows or none.
_CUT = "UPDATE classifier_patient SET name = name WHERE char_length(search_text) > 450"


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("classifier", "0020_bounded_search_text")]

    operations = [
        migrations.RunSQL(_CUT, migrations.RunSQL.noop),
        AddIndexPatiently(
            model_name="patient",
            index=models.Index(
                fields=["clinic", "name", "id"],
                include=("search_text", "archived"),
                name="patient_clinic_search",
            ),
        ),
        RemoveIndexPatiently(model_name="patient", name="patient_clinic_name"),
    ]
