"""Comparisons of networks and their cases."""

import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models

from classifier.schema_changes import AtOnce


class Migration(migrations.Migration):

    dependencies = [
        ('classifier', '0014_second_readings'),
    ]

    operations = [
        migrations.CreateModel(
            name='RerunRun',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('since', models.DateField(verbose_name='from')),
                ('until', models.DateField(verbose_name='to')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='started at')),
                ('state', models.CharField(choices=[('running', 'Under way'), ('finished', 'Finished'), ('cancelled', 'Cancelled')], default='running', max_length=10, verbose_name='state')),
                ('told', models.CharField(blank=True, max_length=500, verbose_name='why it ended')),
                ('ended_at', models.DateTimeField(blank=True, null=True, verbose_name='ended at')),
                ('clinic', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.clinic', verbose_name='clinic')),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='started by')),
                ('ended_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='cancelled by')),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reruns', to='classifier.modelversion', verbose_name='version')),
            ],
            options={
                'verbose_name': 'comparison',
                'verbose_name_plural': 'comparisons',
                'ordering': ('-created_at', '-id'),
            },
        ),
        migrations.CreateModel(
            name='RerunRow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('running', 'Running'), ('done', 'Done'), ('failed', 'Failed')], default='waiting', max_length=10, verbose_name='state')),
                ('attempt', models.PositiveSmallIntegerField(default=0, verbose_name='attempt')),
                ('lease_until', models.DateTimeField(blank=True, null=True, verbose_name='leased until')),
                ('failure_code', models.CharField(blank=True, max_length=40, verbose_name='failure')),
                ('before_decision', models.CharField(choices=[('answer', 'Answer'), ('cannot_say', 'Cannot say: needs a person'), ('rejected', 'Rejected: not usable')], max_length=12)),
                ('before_label', models.CharField(max_length=40)),
                ('before_rank', models.PositiveSmallIntegerField()),
                ('decision', models.CharField(blank=True, choices=[('answer', 'Answer'), ('cannot_say', 'Cannot say: needs a person'), ('rejected', 'Rejected: not usable')], max_length=12)),
                ('label', models.CharField(blank=True, max_length=40)),
                ('rank', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('change', models.CharField(choices=[('', 'Not judged yet'), ('same', 'Same triage group'), ('up', 'More urgent'), ('down', 'Less urgent'), ('to_cannot_say', 'To “cannot say”'), ('to_rejected', 'To “not usable”'), ('to_answer', 'To an answer')], default='', max_length=14, verbose_name='change')),
                ('analysis', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.analysis')),
                ('before_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.modelversion')),
                ('clinic', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.clinic')),
                ('patient', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.patient')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rows', to='classifier.rerunrun')),
            ],
            options={
                'verbose_name': 'case of a comparison',
                'verbose_name_plural': 'cases of comparisons',
                'ordering': ('before_rank', 'id'),
            },
        ),
        # Foreign keys to these tables come at the end, whatever the order here is.
        AtOnce([
            migrations.AddConstraint(
                model_name='rerunrun',
                constraint=models.CheckConstraint(condition=models.Q(('state__in', ['running', 'finished', 'cancelled'])), name='rerun_state_valid'),
            ),
            migrations.AddConstraint(
                model_name='rerunrun',
                constraint=models.CheckConstraint(condition=models.Q(('since__lte', models.F('until'))), name='rerun_period_valid'),
            ),
            migrations.AddConstraint(
                model_name='rerunrun',
                constraint=models.CheckConstraint(condition=models.Q(models.Q(('ended_at__isnull', True), ('state', 'running')), models.Q(models.Q(('state', 'running'), _negated=True), ('ended_at__isnull', False)), _connector='OR'), name='rerun_ended_is_dated'),
            ),
            migrations.AddConstraint(
                model_name='rerunrun',
                constraint=models.UniqueConstraint(condition=models.Q(('state', 'running')), fields=('version', 'clinic', 'since', 'until'), name='rerun_once_under_way', nulls_distinct=False),
            ),
            migrations.AddIndex(
                model_name='rerunrow',
                index=models.Index(condition=models.Q(('state__in', ('waiting', 'running'))), fields=['run', 'attempt', 'id'], name='rerun_rows_due'),
            ),
            migrations.AddIndex(
                model_name='rerunrow',
                index=models.Index(fields=['run', 'change', 'before_rank', 'id'], name='rerun_rows_by_change'),
            ),
            migrations.AddConstraint(
                model_name='rerunrow',
                constraint=models.UniqueConstraint(fields=('run', 'analysis'), name='rerun_row_once'),
            ),
            migrations.AddConstraint(
                model_name='rerunrow',
                constraint=models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'running', 'done', 'failed'])), name='rerun_row_state_valid'),
            ),
            migrations.AddConstraint(
                model_name='rerunrow',
                constraint=models.CheckConstraint(condition=models.Q(models.Q(('lease_until__isnull', False), ('state', 'running')), models.Q(models.Q(('state', 'running'), _negated=True), ('lease_until__isnull', True)), _connector='OR'), name='rerun_row_lease_is_running'),
            ),
            migrations.AddConstraint(
                model_name='rerunrow',
                constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'done'), _negated=True), models.Q(models.Q(('change', ''), _negated=True), models.Q(('decision', ''), _negated=True), ('rank__isnull', False)), _connector='OR'), name='rerun_row_result_is_stored'),
            ),
        ], tables=[
            "classifier_analysis", "classifier_clinic", "classifier_modelversion",
            "classifier_patient", "classifier_user",
        ]),
    ]
