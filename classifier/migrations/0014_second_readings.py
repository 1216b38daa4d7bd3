"""Requests for second readings, and disagreements that wait for a decision."""

import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
import uuid
from django.conf import settings
from django.db import migrations, models

from classifier.schema_changes import AtOnce


class Migration(migrations.Migration):

    dependencies = [
        ('classifier', '0013_prediction_measures'),
    ]

    operations = [
        migrations.CreateModel(
            name='ReadingRequest',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='requested at')),
                ('withdrawn_at', models.DateTimeField(blank=True, null=True, verbose_name='withdrawn at')),
                ('analysis', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reading_requests', to='classifier.analysis', verbose_name='analysis')),
                ('asked', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='asked')),
                ('clinic', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.clinic')),
                ('patient', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.patient', verbose_name='patient')),
                ('reading', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='request', to='classifier.reading', verbose_name='reading')),
                ('requested_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='requested by')),
                ('withdrawn_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='withdrawn by')),
            ],
            options={
                'verbose_name': 'request for a second reading',
                'verbose_name_plural': 'requests for second readings',
                'ordering': ('created_at', 'id'),
            },
        ),
        migrations.CreateModel(
            name='Disagreement',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('difference', models.CharField(choices=[('group', 'Triage group'), ('label', 'Diagnosis within a group')], max_length=10, verbose_name='differs in')),
                ('opened_at', models.DateTimeField(auto_now_add=True, verbose_name='since')),
                ('analysis', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='disagreements', to='classifier.analysis', verbose_name='analysis')),
                ('clinic', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.clinic')),
                ('patient', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.patient', verbose_name='patient')),
                ('settled_by', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='settles', to='classifier.review', verbose_name='settled by')),
            ],
            options={
                'verbose_name': 'disagreement',
                'verbose_name_plural': 'disagreements',
                'ordering': ('difference', 'opened_at', 'id'),
                'indexes': [models.Index(condition=models.Q(('settled_by__isnull', True)), fields=['clinic', 'difference', 'opened_at', 'id'], name='disagreement_open'), models.Index(fields=['-opened_at', '-id'], name='disagreement_newest')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('settled_by__isnull', True)), fields=('analysis',), name='disagreement_one_open'), models.CheckConstraint(condition=models.Q(('difference__in', ['group', 'label'])), name='disagreement_difference_valid')],
            },
        ),
        # Foreign keys to these tables come at the end, whatever the order here is.
        AtOnce([
            pgtrigger.migrations.AddTrigger(
                model_name='disagreement',
                trigger=pgtrigger.compiler.Trigger(name='disagreement_closes_once', sql=pgtrigger.compiler.UpsertTriggerSql(func="IF TG_OP = 'UPDATE' AND OLD.settled_by_id IS NULL AND NEW.analysis_id IS NOT DISTINCT FROM OLD.analysis_id AND NEW.clinic_id IS NOT DISTINCT FROM OLD.clinic_id AND NEW.patient_id IS NOT DISTINCT FROM OLD.patient_id THEN RETURN NEW; END IF; IF TG_OP = 'DELETE' AND (OLD.patient_id) = NULLIF(current_setting('skinapp.erasing', true), '')::uuid AND EXISTS (SELECT 1 FROM classifier_erasure WHERE patient_key = (OLD.patient_id)) THEN RETURN OLD; END IF; RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='78257a4b0ef5b8d4037f048854c4930d5d05ce77', operation='UPDATE OR DELETE', pgid='pgtrigger_disagreement_closes_once_94816', table='classifier_disagreement', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='disagreement',
                trigger=pgtrigger.compiler.Trigger(name='disagreement_closes_once_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='2f1be00811ef1a35cd9302c1ad9514f22f533db7', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_disagreement_closes_once_whole_8380f', table='classifier_disagreement', when='BEFORE')),
            ),
            migrations.AddIndex(
                model_name='readingrequest',
                index=models.Index(condition=models.Q(('reading__isnull', True), ('withdrawn_at__isnull', True)), fields=['clinic', 'created_at', 'id'], name='reading_request_open'),
            ),
            migrations.AddIndex(
                model_name='readingrequest',
                index=models.Index(fields=['requested_by', '-created_at', '-id'], name='reading_request_of_person'),
            ),
            migrations.AddIndex(
                model_name='readingrequest',
                index=models.Index(fields=['-created_at', '-id'], name='reading_request_newest'),
            ),
            migrations.AddConstraint(
                model_name='readingrequest',
                constraint=models.UniqueConstraint(condition=models.Q(('reading__isnull', True), ('withdrawn_at__isnull', True)), fields=('analysis',), name='reading_request_one_open'),
            ),
            migrations.AddConstraint(
                model_name='readingrequest',
                constraint=models.CheckConstraint(condition=models.Q(models.Q(('withdrawn_at__isnull', True), ('withdrawn_by__isnull', True)), models.Q(('reading__isnull', True), ('withdrawn_at__isnull', False), ('withdrawn_by__isnull', False)), _connector='OR'), name='reading_request_withdrawal_is_signed'),
            ),
            migrations.AddConstraint(
                model_name='readingrequest',
                constraint=models.CheckConstraint(condition=models.Q(('asked__isnull', True), models.Q(('asked', models.F('requested_by')), _negated=True), _connector='OR'), name='reading_request_asks_another'),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='readingrequest',
                trigger=pgtrigger.compiler.Trigger(name='reading_request_closes_once', sql=pgtrigger.compiler.UpsertTriggerSql(func="IF TG_OP = 'UPDATE' AND OLD.reading_id IS NULL AND OLD.withdrawn_at IS NULL AND NEW.analysis_id IS NOT DISTINCT FROM OLD.analysis_id AND NEW.clinic_id IS NOT DISTINCT FROM OLD.clinic_id AND NEW.patient_id IS NOT DISTINCT FROM OLD.patient_id AND NEW.requested_by_id IS NOT DISTINCT FROM OLD.requested_by_id AND NEW.asked_id IS NOT DISTINCT FROM OLD.asked_id THEN RETURN NEW; END IF; IF TG_OP = 'DELETE' AND (OLD.patient_id) = NULLIF(current_setting('skinapp.erasing', true), '')::uuid AND EXISTS (SELECT 1 FROM classifier_erasure WHERE patient_key = (OLD.patient_id)) THEN RETURN OLD; END IF; RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='c703231f5ebb8c795a32ca6494c9b528879bd50e', operation='UPDATE OR DELETE', pgid='pgtrigger_reading_request_closes_once_da594', table='classifier_readingrequest', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='readingrequest',
                trigger=pgtrigger.compiler.Trigger(name='reading_request_closes_once_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='6d32fd09c408ccdd31e3ce0b3897b26a5a45db60', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_reading_request_closes_once_whole_7b5f3', table='classifier_readingrequest', when='BEFORE')),
            ),
        ], tables=[
            "classifier_analysis", "classifier_clinic", "classifier_patient", "classifier_reading",
            "classifier_review", "classifier_user",
        ]),
    ]
