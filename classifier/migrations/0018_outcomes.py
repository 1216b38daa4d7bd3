"""What lesions turned out to be."""

import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
import uuid
from django.conf import settings
from django.db import migrations, models

from classifier.schema_changes import AtOnce


class Migration(migrations.Migration):

    dependencies = [
        ('classifier', '0017_own_results'),
    ]

    operations = [
        migrations.CreateModel(
            name='Outcome',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField(verbose_name='number')),
                ('kind', models.CharField(choices=[('histopathology', 'Histopathology'), ('follow_up', 'Follow-up')], max_length=20, verbose_name='kind')),
                ('diagnosis', models.CharField(max_length=40, verbose_name='diagnosis')),
                ('diagnosis_text', models.CharField(blank=True, max_length=200, verbose_name='diagnosis in words')),
                ('behaviour', models.CharField(choices=[('malignant', 'Malignant or pre-malignant'), ('benign', 'Benign'), ('uncertain', 'Uncertain')], max_length=10, verbose_name='behaviour')),
                ('found_on', models.DateField(verbose_name='found on')),
                ('reference', models.CharField(blank=True, max_length=64, verbose_name='reference number')),
                ('withdrawn', models.BooleanField(default=False, verbose_name='withdrawn')),
                ('reason', models.CharField(blank=True, max_length=500, verbose_name='reason of the change')),
                ('recorded_at', models.DateTimeField(auto_now_add=True, verbose_name='recorded at')),
                ('clinic', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.clinic')),
                ('lesion', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='outcomes', to='classifier.lesion', verbose_name='lesion')),
                ('patient', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.patient', verbose_name='patient')),
                ('recorded_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='recorded by')),
            ],
            options={
                'verbose_name': 'outcome',
                'verbose_name_plural': 'outcomes',
                'ordering': ('lesion', 'number'),
                'indexes': [models.Index(fields=['clinic', 'lesion', '-number'], name='outcome_of_clinic'), models.Index(fields=['-recorded_at', '-id'], name='outcome_newest')],
                'constraints': [models.UniqueConstraint(fields=('lesion', 'number'), name='outcome_number_unique'), models.CheckConstraint(condition=models.Q(('kind__in', ['histopathology', 'follow_up'])), name='outcome_kind_valid'), models.CheckConstraint(condition=models.Q(('behaviour__in', ['malignant', 'benign', 'uncertain'])), name='outcome_behaviour_valid'), models.CheckConstraint(condition=models.Q(models.Q(('diagnosis', ''), _negated=True), ('number__gt', 0)), name='outcome_says_something'), models.CheckConstraint(condition=models.Q(models.Q(('diagnosis', 'other'), _negated=True), models.Q(('diagnosis_text', ''), _negated=True), _connector='OR'), name='outcome_other_is_written_out'), models.CheckConstraint(condition=models.Q(models.Q(('number', 1), ('withdrawn', False)), models.Q(('reason', ''), _negated=True), _connector='OR'), name='outcome_change_has_reason')],
            },
        ),
        # Foreign keys to these tables come at the end, whatever the order here is.
        AtOnce([
            pgtrigger.migrations.AddTrigger(
                model_name='outcome',
                trigger=pgtrigger.compiler.Trigger(name='outcome_append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="IF TG_OP = 'DELETE' AND (OLD.patient_id) = NULLIF(current_setting('skinapp.erasing', true), '')::uuid AND EXISTS (SELECT 1 FROM classifier_erasure WHERE patient_key = (OLD.patient_id)) THEN RETURN OLD; END IF; RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='bd8973f3a7c8dd2abd8703cdcc4896b84371dc94', operation='UPDATE OR DELETE', pgid='pgtrigger_outcome_append_only_3719c', table='classifier_outcome', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='outcome',
                trigger=pgtrigger.compiler.Trigger(name='outcome_append_only_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='add50b570d7094459456bde65bf1a89f20593cfa', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_outcome_append_only_whole_b945b', table='classifier_outcome', when='BEFORE')),
            ),
        ], tables=[
            "classifier_clinic", "classifier_lesion", "classifier_patient", "classifier_user",
        ]),
    ]
