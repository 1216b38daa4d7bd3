"""Search patients without regard to case and accents."""

import django.contrib.postgres.indexes
from django.contrib.postgres.operations import UnaccentExtension
from django.db import migrations

import classifier.models.patients

# ``unaccent`` alone is only STABLE, because its dictionary could be changed: an index needs the
# promise that it is not. Names are qualified so that a restored dump needs no search path.
CREATE_FOLDED = """
CREATE FUNCTION skinapp_folded(text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT upper(public.unaccent('public.unaccent'::regdictionary, normalize($1, NFKC))) $$
"""
DROP_FOLDED = "DROP FUNCTION skinapp_folded(text)"


class Migration(migrations.Migration):
    dependencies = [("classifier", "0001_initial")]

    operations = [
        UnaccentExtension(),
        migrations.RunSQL(CREATE_FOLDED, DROP_FOLDED),
        migrations.RemoveIndex(model_name="patient", name="patient_name_trigram"),
        migrations.RemoveIndex(model_name="patient", name="patient_number_trigram"),
        migrations.AddIndex(
            model_name="patient",
            index=django.contrib.postgres.indexes.GinIndex(
                django.contrib.postgres.indexes.OpClass(
                    classifier.models.patients.Folded("name"), name="gin_trgm_ops"
                ),
                name="patient_name_folded",
            ),
        ),
        migrations.AddIndex(
            model_name="patient",
            index=django.contrib.postgres.indexes.GinIndex(
                django.contrib.postgres.indexes.OpClass(
                    classifier.models.patients.Folded("record_number"), name="gin_trgm_ops"
                ),
                name="patient_number_folded",
            ),
        ),
    ]
