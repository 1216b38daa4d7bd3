"""Where networks place images; needs pgvector."""

import classifier.models.vectors
import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

from classifier.schema_changes import AtOnce, VectorExtension


class Migration(migrations.Migration):

    dependencies = [
        ('classifier', '0018_outcomes'),
    ]

    operations = [
        VectorExtension(),
        migrations.CreateModel(
            name='Embedding',
            fields=[
                ('prediction', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='embedding', serialize=False, to='classifier.prediction', verbose_name='prediction')),
                ('vector', classifier.models.vectors.HalfVectorField(dimensions=1280, verbose_name='features')),
                ('clinic', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.clinic')),
                ('model_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.modelversion', verbose_name='model version')),
                ('patient', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.patient', verbose_name='patient')),
            ],
            options={
                'verbose_name': 'place of an image',
                'verbose_name_plural': 'places of images',
            },
        ),
        # Foreign keys to these tables come at the end, whatever the order here is.
        AtOnce([
            migrations.AddIndex(
                model_name='embedding',
                index=classifier.models.vectors.HnswIndex(fields=['vector'], name='embedding_nearest', opclasses=('halfvec_cosine_ops',), m=8, ef_construction=32),
            ),
            migrations.AddIndex(
                model_name='embedding',
                index=models.Index(fields=['clinic', 'model_version'], name='embedding_of_clinic'),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='embedding',
                trigger=pgtrigger.compiler.Trigger(name='embedding_append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="IF TG_OP = 'DELETE' AND (OLD.patient_id) = NULLIF(current_setting('skinapp.erasing', true), '')::uuid AND EXISTS (SELECT 1 FROM classifier_erasure WHERE patient_key = (OLD.patient_id)) THEN RETURN OLD; END IF; RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='11eaffc0851f992b5f4bb7b5853a133ea65ce1b4', operation='UPDATE OR DELETE', pgid='pgtrigger_embedding_append_only_9ae6c', table='classifier_embedding', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='embedding',
                trigger=pgtrigger.compiler.Trigger(name='embedding_append_only_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='b588760afe658566bfd95befcd92391481542ff7', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_embedding_append_only_whole_04cb2', table='classifier_embedding', when='BEFORE')),
            ),
        ], tables=[
            "classifier_clinic", "classifier_modelversion", "classifier_patient",
            "classifier_prediction",
        ]),
    ]
