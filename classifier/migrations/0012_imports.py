"""Imports of old images and the lines of their tables."""

import classifier.storage
import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models

from classifier.schema_changes import AtOnce


class Migration(migrations.Migration):

    dependencies = [
        ('classifier', '0011_flat_lists'),
    ]

    operations = [
        migrations.CreateModel(
            name='ImportRun',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='sent at')),
                ('state', models.CharField(choices=[('checking', 'Being looked through'), ('checked', 'Looked through'), ('running', 'Being taken in'), ('finished', 'Finished')], default='checking', max_length=12, verbose_name='state')),
                ('source_sha256', models.CharField(max_length=64, verbose_name='SHA-256 of the source')),
                ('archive', models.FileField(blank=True, editable=False, upload_to=classifier.storage.archive_path, verbose_name='archive')),
                ('finished_at', models.DateTimeField(blank=True, null=True, verbose_name='finished at')),
                ('clinic', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.clinic', verbose_name='clinic')),
                ('created_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='sent by')),
            ],
            options={
                'verbose_name': 'import',
                'verbose_name_plural': 'imports',
                'ordering': ('-created_at', '-id'),
            },
        ),
        migrations.CreateModel(
            name='ImportRow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('line', models.PositiveIntegerField(verbose_name='line')),
                ('state', models.CharField(choices=[('new', 'Not looked at yet'), ('ready', 'Will be added'), ('known', 'In the record already'), ('refused', 'Refused'), ('done', 'Added')], default='new', max_length=10, verbose_name='state')),
                ('facts', models.JSONField(default=dict, verbose_name='as sent')),
                ('told', models.CharField(blank=True, max_length=500, verbose_name='what becomes of it')),
                ('tries', models.PositiveSmallIntegerField(default=0, verbose_name='tries')),
                ('image', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.image')),
                ('patient', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.patient')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rows', to='classifier.importrun')),
            ],
            options={
                'verbose_name': 'row of an import',
                'verbose_name_plural': 'rows of imports',
                'ordering': ('line',),
            },
        ),
        # Foreign keys to these tables come at the end, whatever the order here is.
        AtOnce([
            migrations.AddConstraint(
                model_name='importrun',
                constraint=models.UniqueConstraint(fields=('clinic', 'source_sha256'), name='import_once_per_clinic'),
            ),
            migrations.AddConstraint(
                model_name='importrun',
                constraint=models.CheckConstraint(condition=models.Q(('state__in', ['checking', 'checked', 'running', 'finished'])), name='import_state_valid'),
            ),
            migrations.AddIndex(
                model_name='importrow',
                index=models.Index(fields=['run', 'state', 'line'], name='import_rows_by_state'),
            ),
            migrations.AddConstraint(
                model_name='importrow',
                constraint=models.UniqueConstraint(fields=('run', 'line'), name='import_row_once'),
            ),
            migrations.AddConstraint(
                model_name='importrow',
                constraint=models.CheckConstraint(condition=models.Q(('state__in', ['new', 'ready', 'known', 'refused', 'done'])), name='import_row_state_valid'),
            ),
        ], tables=[
            "classifier_clinic", "classifier_image", "classifier_patient", "classifier_user",
        ]),
    ]
