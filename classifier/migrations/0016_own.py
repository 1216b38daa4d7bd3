"""Saved filters, and how often people want to be told that results wait."""

import django.db.models.deletion
import django.db.models.functions.text
import uuid
from django.conf import settings
from django.db import migrations, models

from classifier.schema_changes import AtOnce


class Migration(migrations.Migration):

    dependencies = [
        ('classifier', '0015_reruns'),
    ]

    operations = [
        migrations.CreateModel(
            name='NoticeChoice',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to=settings.AUTH_USER_MODEL, verbose_name='person')),
                ('pace', models.CharField(choices=[('off', 'Never'), ('hourly', 'Once an hour at most'), ('daily', 'Once a day at most')], default='off', max_length=10, verbose_name='how often')),
                ('language', models.CharField(max_length=10, verbose_name='language')),
                ('changed_at', models.DateTimeField(verbose_name='changed at')),
                ('next_at', models.DateTimeField(verbose_name='next look')),
                ('sent_at', models.DateTimeField(blank=True, null=True, verbose_name='last letter')),
                ('told_until', models.DateTimeField(blank=True, null=True, verbose_name='told until')),
                ('failures', models.PositiveSmallIntegerField(default=0, verbose_name='failures since')),
            ],
            options={
                'verbose_name': 'choice of notices',
                'verbose_name_plural': 'choices of notices',
                'ordering': ('next_at', 'user_id'),
            },
        ),
        migrations.CreateModel(
            name='SavedFilter',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('page', models.CharField(choices=[('worklist', 'Worklist'), ('history', 'History')], max_length=10, verbose_name='list')),
                ('name', models.CharField(max_length=60, verbose_name='name')),
                ('query', models.JSONField(verbose_name='filter')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created at')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='person')),
            ],
            options={
                'verbose_name': 'saved filter',
                'verbose_name_plural': 'saved filters',
                'ordering': ('created_at', 'id'),
            },
        ),
        # Foreign keys to these tables come at the end, whatever the order here is.
        AtOnce([
            migrations.AddIndex(
                model_name='noticechoice',
                index=models.Index(condition=models.Q(('pace', 'off'), _negated=True), fields=['next_at', 'user'], name='notice_due'),
            ),
            migrations.AddConstraint(
                model_name='noticechoice',
                constraint=models.CheckConstraint(condition=models.Q(('pace__in', ['off', 'hourly', 'daily'])), name='notice_pace_valid'),
            ),
            migrations.AddConstraint(
                model_name='savedfilter',
                constraint=models.UniqueConstraint(models.F('user'), models.F('page'), django.db.models.functions.text.Lower('name'), name='saved_filter_name_once', violation_error_message='You have a filter with this name for this list.'),
            ),
            migrations.AddConstraint(
                model_name='savedfilter',
                constraint=models.CheckConstraint(condition=models.Q(('name', ''), _negated=True), name='saved_filter_named'),
            ),
            migrations.AddConstraint(
                model_name='savedfilter',
                constraint=models.CheckConstraint(condition=models.Q(('page__in', ['worklist', 'history'])), name='saved_filter_page_valid'),
            ),
        ], tables=["classifier_user"]),
    ]
