"""The API: tokens, requests sent once, and webhooks with their messages."""

import django.contrib.postgres.fields
import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
import uuid
from django.conf import settings
from django.db import migrations, models

from classifier.schema_changes import AtOnce


class Migration(migrations.Migration):

    dependencies = [
        ('classifier', '0008_first_versions'),
    ]

    operations = [
        migrations.CreateModel(
            name='ApiToken',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('scopes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('read', 'Read: patients, lesions, states and results'), ('upload', 'Upload: register patients and lesions, send images'), ('review', 'Review: save readings and reviews in your name'), ('export', "Export: page through the clinic's register")], max_length=20), size=None, verbose_name='scopes')),
                ('digest', models.CharField(max_length=64, unique=True, verbose_name='SHA-256 of the token')),
                ('ending', models.CharField(max_length=4, verbose_name='ends in')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created at')),
                ('expires_at', models.DateTimeField(verbose_name='until')),
                ('last_used_at', models.DateTimeField(blank=True, null=True, verbose_name='last used at')),
                ('revoked_at', models.DateTimeField(blank=True, null=True, verbose_name='revoked at')),
                ('clinic', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.clinic', verbose_name='clinic')),
                ('revoked_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='revoked by')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='person')),
            ],
            options={
                'verbose_name': 'API token',
                'verbose_name_plural': 'API tokens',
                'ordering': ('-created_at', '-id'),
                'indexes': [
                    models.Index(fields=['user', '-created_at', '-id'], name='api_token_of_person'),
                    models.Index(fields=['clinic', '-created_at', '-id'], name='api_token_of_clinic'),
                ],
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('name', ''), _negated=True), name='api_token_named'),
                    models.CheckConstraint(condition=models.Q(('scopes__contained_by', ['read', 'upload', 'review', 'export']), ('scopes__len__gt', 0)), name='api_token_scopes_valid'),
                    models.CheckConstraint(condition=models.Q(('expires_at__gt', models.F('created_at'))), name='api_token_ends_later'),
                    models.CheckConstraint(condition=models.Q(models.Q(('revoked_at__isnull', True), ('revoked_by__isnull', True)), models.Q(('revoked_at__isnull', False), ('revoked_by__isnull', False)), _connector='OR'), name='api_token_revocation_is_signed'),
                ],
            },
        ),
        migrations.CreateModel(
            name='SentOnce',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=255, verbose_name='idempotency key')),
                ('fingerprint', models.CharField(max_length=64, verbose_name='SHA-256 of the request')),
                ('claimed_until', models.DateTimeField(verbose_name='claimed until')),
                ('status', models.PositiveSmallIntegerField(blank=True, null=True, verbose_name='status')),
                ('answer', models.TextField(blank=True, verbose_name='answer')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created at')),
                ('patient', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='classifier.patient')),
                ('token', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='classifier.apitoken')),
            ],
            options={
                'verbose_name': 'request with an idempotency key',
                'verbose_name_plural': 'requests with an idempotency key',
                'indexes': [
                    models.Index(fields=['created_at'], name='sent_once_age'),
                ],
                'constraints': [
                    models.UniqueConstraint(fields=('token', 'key'), name='sent_once_key_unique'),
                ],
            },
        ),
        migrations.CreateModel(
            name='Webhook',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('url', models.CharField(max_length=500, verbose_name='address')),
                ('secret', models.TextField(verbose_name='secret')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created at')),
                ('ended_at', models.DateTimeField(blank=True, null=True, verbose_name='ended at')),
                ('clinic', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.clinic', verbose_name='clinic')),
                ('created_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='created by')),
                ('ended_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='ended by')),
            ],
            options={
                'verbose_name': 'webhook',
                'verbose_name_plural': 'webhooks',
                'ordering': ('-created_at', '-id'),
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('url__startswith', 'https://')), name='webhook_is_https'),
                    models.CheckConstraint(condition=models.Q(models.Q(('ended_at__isnull', True), ('ended_by__isnull', True)), models.Q(('ended_at__isnull', False), ('ended_by__isnull', False)), _connector='OR'), name='webhook_end_is_signed'),
                    models.UniqueConstraint(condition=models.Q(('ended_at__isnull', True)), fields=('clinic', 'url'), name='webhook_once_per_address', violation_error_message='This clinic has a webhook with this address already.'),
                ],
            },
        ),
        migrations.CreateModel(
            name='WebhookDelivery',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('analysis_attempt', models.PositiveSmallIntegerField(verbose_name='attempt of the analysis')),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('delivered', 'Delivered'), ('given_up', 'Given up')], default='waiting', max_length=10, verbose_name='state')),
                ('attempts', models.PositiveSmallIntegerField(default=0, verbose_name='attempts')),
                ('next_attempt_at', models.DateTimeField(verbose_name='next attempt at')),
                ('lease_until', models.DateTimeField(blank=True, null=True, verbose_name='leased until')),
                ('tries', models.JSONField(blank=True, default=list, verbose_name='attempts so far')),
                ('delivered_at', models.DateTimeField(blank=True, null=True, verbose_name='delivered at')),
                ('created_at', models.DateTimeField(verbose_name='created at')),
                ('analysis', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='classifier.analysis')),
                ('webhook', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='classifier.webhook')),
            ],
            options={
                'verbose_name': 'webhook delivery',
                'verbose_name_plural': 'webhook deliveries',
                'ordering': ('-created_at', '-id'),
                'indexes': [
                    models.Index(condition=models.Q(('state', 'waiting')), fields=['next_attempt_at', 'id'], name='webhook_delivery_due'),
                    models.Index(fields=['webhook', '-created_at', '-id'], name='webhook_delivery_latest'),
                    models.Index(fields=['created_at'], name='webhook_delivery_age'),
                ],
                'constraints': [
                    models.UniqueConstraint(fields=('webhook', 'analysis', 'analysis_attempt'), name='webhook_told_once'),
                    models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'delivered', 'given_up'])), name='webhook_delivery_state_valid'),
                    models.CheckConstraint(condition=models.Q(models.Q(('delivered_at__isnull', False), ('state', 'delivered')), models.Q(models.Q(('state', 'delivered'), _negated=True), ('delivered_at__isnull', True)), _connector='OR'), name='webhook_delivery_is_dated'),
                ],
            },
        ),
        # Foreign keys to these tables come at the end, whatever the order here is.
        AtOnce([
            pgtrigger.migrations.AddTrigger(
                model_name='apitoken',
                trigger=pgtrigger.compiler.Trigger(name='api_token_is_not_rewritten', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."clinic_id" IS DISTINCT FROM (NEW."clinic_id") OR OLD."created_at" IS DISTINCT FROM (NEW."created_at") OR OLD."digest" IS DISTINCT FROM (NEW."digest") OR OLD."ending" IS DISTINCT FROM (NEW."ending") OR OLD."expires_at" IS DISTINCT FROM (NEW."expires_at") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."scopes" IS DISTINCT FROM (NEW."scopes") OR OLD."user_id" IS DISTINCT FROM (NEW."user_id"))', func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='5f97357d040ad6217dbd8d9ad4e34030123656a4', operation='UPDATE', pgid='pgtrigger_api_token_is_not_rewritten_9f399', table='classifier_apitoken', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='apitoken',
                trigger=pgtrigger.compiler.Trigger(name='api_token_is_revoked_once', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."revoked_at" IS NOT NULL)', func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='539ed8c0fad571f0b47dc7f88433a9f5682d0847', operation='UPDATE', pgid='pgtrigger_api_token_is_revoked_once_ff789', table='classifier_apitoken', when='BEFORE')),
            ),
        ], tables=[
            "classifier_analysis", "classifier_clinic", "classifier_patient", "classifier_user",
        ]),
    ]
