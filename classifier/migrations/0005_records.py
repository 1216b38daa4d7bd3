"""Records: the audit chain, versions of rows, consent, retention and erasure.

Events that were written before have no ``patient_key``: filling it in would hold the table. The
first versions of rows that are there already are made by 0008, some at a time.
"""

import django.db.models.deletion
import pghistory.utils
import pgtrigger.compiler
import pgtrigger.migrations
import uuid
from django.conf import settings
from django.db import migrations, models

from classifier.schema_changes import AtOnce

# What an event says, in one order and one notation: the same bytes on every server and in every
# time zone.
DIGEST = """
CREATE FUNCTION skinapp_audit_digest(previous text, event classifier_auditevent) RETURNS text
LANGUAGE sql STABLE
AS $$
  SELECT encode(sha256(convert_to(previous || jsonb_build_array(
    event.id, extract(epoch FROM event.at), event.actor_kind, event.actor_id, event.clinic_id,
    event.action, event.subject_type, event.subject_id, event.patient_key, event.reason,
    event.details)::text, 'UTF8')), 'hex')
$$
"""
# One at a time, in the order of the events' numbers as far as they are committed.
SEAL = """
CREATE FUNCTION skinapp_audit_seal(most integer) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  place bigint;
  previous text;
  sealed integer := 0;
  event classifier_auditevent;
BEGIN
  PERFORM pg_advisory_xact_lock(7260175001);
  SELECT position, digest INTO place, previous
    FROM classifier_auditlink ORDER BY position DESC LIMIT 1;
  IF NOT FOUND THEN
    place := 0;
    previous := repeat('0', 64);
  END IF;
  FOR event IN
    SELECT e.* FROM classifier_auditpending p JOIN classifier_auditevent e ON e.id = p.event_key
    ORDER BY p.event_key LIMIT most
  LOOP
    place := place + 1;
    previous := skinapp_audit_digest(previous, event);
    INSERT INTO classifier_auditlink (position, event_key, digest, sealed_at)
      VALUES (place, event.id, previous, clock_timestamp());
    DELETE FROM classifier_auditpending WHERE event_key = event.id;
    sealed := sealed + 1;
  END LOOP;
  RETURN sealed;
END
$$
"""


class Migration(migrations.Migration):

    dependencies = [
        ('classifier', '0004_break_glass'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditLink',
            fields=[
                ('position', models.BigIntegerField(primary_key=True, serialize=False, verbose_name='position')),
                ('event_key', models.BigIntegerField(unique=True, verbose_name='event')),
                ('digest', models.CharField(max_length=64, verbose_name='digest')),
                ('sealed_at', models.DateTimeField(verbose_name='sealed at')),
            ],
            options={
                'verbose_name': 'link of the audit chain',
                'verbose_name_plural': 'links of the audit chain',
                'ordering': ('position',),
            },
        ),
        migrations.CreateModel(
            name='AuditPending',
            fields=[
                ('event_key', models.BigIntegerField(primary_key=True, serialize=False)),
            ],
            options={
                'verbose_name': 'audit event to be sealed',
                'verbose_name_plural': 'audit events to be sealed',
            },
        ),
        migrations.CreateModel(
            name='Consent',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('use', models.CharField(choices=[('care', 'Care'), ('teaching', 'Teaching'), ('research', 'Research'), ('training', 'Training of networks')], max_length=20, verbose_name='use')),
                ('given', models.BooleanField(verbose_name='given')),
                ('decided_on', models.DateField(verbose_name='decided on')),
                ('note', models.CharField(blank=True, max_length=500, verbose_name='note')),
                ('recorded_at', models.DateTimeField(auto_now_add=True, verbose_name='recorded at')),
            ],
            options={
                'verbose_name': 'consent',
                'verbose_name_plural': 'consents',
                'ordering': ('-recorded_at', '-id'),
            },
        ),
        migrations.CreateModel(
            name='Erasure',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('patient_key', models.UUIDField(unique=True, verbose_name='patient')),
                ('registered_at', models.DateTimeField(verbose_name='registered at')),
                ('erased_at', models.DateTimeField(auto_now_add=True, verbose_name='erased at')),
                ('files', models.JSONField(blank=True, default=list, verbose_name='files to remove')),
                ('files_removed_at', models.DateTimeField(blank=True, null=True, verbose_name='files removed at')),
            ],
            options={
                'verbose_name': 'erasure',
                'verbose_name_plural': 'erasures',
                'ordering': ('-erased_at', '-id'),
            },
        ),
        migrations.CreateModel(
            name='ImageEvent',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('pgh_context_id', models.UUIDField(null=True)),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                ('modality', models.CharField(choices=[('dermoscopy', 'Dermoscopy'), ('clinical', 'Clinical photograph')], max_length=20, verbose_name='modality')),
                ('taken_at', models.DateTimeField(blank=True, null=True, verbose_name='taken at')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='uploaded at')),
                ('original_sha256', models.CharField(max_length=64, verbose_name='SHA-256 of the upload')),
                ('original_format', models.CharField(max_length=10, verbose_name='format')),
                ('byte_size', models.PositiveBigIntegerField(verbose_name='size in bytes')),
                ('width', models.PositiveIntegerField(verbose_name='width in pixels')),
                ('height', models.PositiveIntegerField(verbose_name='height in pixels')),
                ('network_source_sha256', models.CharField(max_length=64, verbose_name="SHA-256 of the network's input")),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='LesionEvent',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('pgh_context_id', models.UUIDField(null=True)),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                ('label', models.CharField(help_text='What the team calls it: “mole left of the spine”.', max_length=100, verbose_name='label')),
                ('body_site', models.CharField(choices=[('scalp', 'Scalp'), ('face', 'Face'), ('ear', 'Ear'), ('neck', 'Neck'), ('chest', 'Chest'), ('abdomen', 'Abdomen'), ('back', 'Back'), ('buttock', 'Buttock'), ('genital', 'Genital area'), ('upper_arm', 'Upper arm'), ('forearm', 'Forearm'), ('hand', 'Hand'), ('palm', 'Palm'), ('thigh', 'Thigh'), ('lower_leg', 'Lower leg'), ('foot', 'Foot'), ('sole', 'Sole'), ('nail', 'Nail'), ('mucosa', 'Mouth or other mucosa'), ('unknown', 'Unknown')], default='unknown', max_length=20, verbose_name='body site')),
                ('first_seen', models.DateField(blank=True, null=True, verbose_name='first seen')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created at')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='PatientEvent',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('pgh_context_id', models.UUIDField(null=True)),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                ('record_number', models.CharField(max_length=64, verbose_name='medical record number')),
                ('name', models.CharField(max_length=200, verbose_name='name')),
                ('date_of_birth', models.DateField(blank=True, null=True, verbose_name='date of birth')),
                ('sex', models.CharField(choices=[('female', 'Female'), ('male', 'Male'), ('other', 'Other'), ('unknown', 'Unknown')], default='unknown', max_length=10, verbose_name='sex')),
                ('skin_type', models.CharField(choices=[('I', 'I: always burns, never tans'), ('II', 'II: usually burns, tans a little'), ('III', 'III: sometimes burns, tans evenly'), ('IV', 'IV: rarely burns, tans well'), ('V', 'V: very rarely burns, brown skin'), ('VI', 'VI: never burns, dark brown or black skin'), ('unknown', 'Unknown')], default='unknown', max_length=10, verbose_name='skin type (Fitzpatrick)')),
                ('notes', models.TextField(blank=True, max_length=10000, verbose_name='notes')),
                ('archived', models.BooleanField(default=False, verbose_name='archived')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='registered at')),
                ('updated_at', models.DateTimeField(auto_now=True, verbose_name='changed at')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='ReviewEvent',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('pgh_context_id', models.UUIDField(null=True)),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                ('number', models.PositiveIntegerField(verbose_name='number')),
                ('verdict', models.CharField(choices=[('agree', 'Agree'), ('overrule', 'Overrule'), ('defer', 'Defer')], max_length=10, verbose_name='verdict')),
                ('diagnosis', models.CharField(blank=True, max_length=40, verbose_name='final diagnosis')),
                ('diagnosis_text', models.CharField(blank=True, max_length=200, verbose_name='diagnosis in words')),
                ('reason', models.CharField(blank=True, max_length=500, verbose_name='reason')),
                ('notes', models.TextField(blank=True, max_length=10000, verbose_name='notes')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='at')),
            ],
            options={
                'abstract': False,
            },
        ),
        # From here on tables are held that others use.
        AtOnce([
            pgtrigger.migrations.RemoveTrigger(
                model_name='auditevent',
                name='audit_append_only',
            ),
            pgtrigger.migrations.RemoveTrigger(
                model_name='prediction',
                name='prediction_append_only',
            ),
            pgtrigger.migrations.RemoveTrigger(
                model_name='reading',
                name='reading_append_only',
            ),
            pgtrigger.migrations.RemoveTrigger(
                model_name='review',
                name='review_append_only',
            ),
            pgtrigger.migrations.RemoveTrigger(
                model_name='transition',
                name='transition_append_only',
            ),
            migrations.AddField(
                model_name='auditevent',
                name='patient_key',
                field=models.UUIDField(blank=True, null=True, verbose_name='patient'),
            ),
            migrations.AddField(
                model_name='clinic',
                name='retention_years',
                field=models.PositiveSmallIntegerField(blank=True, help_text="Years after a patient's last visit until “manage.py retention” erases the record. Empty: nothing is ever erased by age.", null=True, verbose_name='keep records for (years)'),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='auditevent',
                trigger=pgtrigger.compiler.Trigger(name='audit_append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='119ef8064fa6813a18f060acc6c58f87c2ea98fd', operation='UPDATE OR DELETE', pgid='pgtrigger_audit_append_only_0b011', table='classifier_auditevent', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='auditevent',
                trigger=pgtrigger.compiler.Trigger(name='audit_append_only_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='67bc832df693a95456170ec7405bf13dd33a95a6', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_audit_append_only_whole_4bab8', table='classifier_auditevent', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='auditevent',
                trigger=pgtrigger.compiler.Trigger(name='audit_dated_here', sql=pgtrigger.compiler.UpsertTriggerSql(func='NEW.at := clock_timestamp(); RETURN NEW;', hash='c65e0e8c9379f5e3b45fd671f4bad742a2079d8d', operation='INSERT', pgid='pgtrigger_audit_dated_here_32263', table='classifier_auditevent', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='auditevent',
                trigger=pgtrigger.compiler.Trigger(name='audit_to_be_sealed', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO classifier_auditpending (event_key) VALUES (NEW.id); RETURN NULL;', hash='5d83904b1a1aa6d1d485128f0ebbd2452ce7eaa4', operation='INSERT', pgid='pgtrigger_audit_to_be_sealed_4230b', table='classifier_auditevent', when='AFTER')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='image',
                trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "classifier_imageevent" ("byte_size", "clinic_id", "created_at", "height", "id", "lesion_id", "modality", "network_source_sha256", "original_format", "original_sha256", "patient_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "taken_at", "uploaded_by_id", "width") VALUES (NEW."byte_size", NEW."clinic_id", NEW."created_at", NEW."height", NEW."id", NEW."lesion_id", NEW."modality", NEW."network_source_sha256", NEW."original_format", NEW."original_sha256", NEW."patient_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, NOW(), \'insert\', NEW."id", NEW."taken_at", NEW."uploaded_by_id", NEW."width"); RETURN NULL;', hash='2cdde40cd19e3a250352954bcf23c31cf02f2823', operation='INSERT', pgid='pgtrigger_insert_insert_b3537', table='classifier_image', when='AFTER')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='image',
                trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."byte_size" IS DISTINCT FROM (NEW."byte_size") OR OLD."clinic_id" IS DISTINCT FROM (NEW."clinic_id") OR OLD."created_at" IS DISTINCT FROM (NEW."created_at") OR OLD."height" IS DISTINCT FROM (NEW."height") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."lesion_id" IS DISTINCT FROM (NEW."lesion_id") OR OLD."modality" IS DISTINCT FROM (NEW."modality") OR OLD."network_source_sha256" IS DISTINCT FROM (NEW."network_source_sha256") OR OLD."original_format" IS DISTINCT FROM (NEW."original_format") OR OLD."original_sha256" IS DISTINCT FROM (NEW."original_sha256") OR OLD."patient_id" IS DISTINCT FROM (NEW."patient_id") OR OLD."taken_at" IS DISTINCT FROM (NEW."taken_at") OR OLD."uploaded_by_id" IS DISTINCT FROM (NEW."uploaded_by_id") OR OLD."width" IS DISTINCT FROM (NEW."width"))', func='INSERT INTO "classifier_imageevent" ("byte_size", "clinic_id", "created_at", "height", "id", "lesion_id", "modality", "network_source_sha256", "original_format", "original_sha256", "patient_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "taken_at", "uploaded_by_id", "width") VALUES (NEW."byte_size", NEW."clinic_id", NEW."created_at", NEW."height", NEW."id", NEW."lesion_id", NEW."modality", NEW."network_source_sha256", NEW."original_format", NEW."original_sha256", NEW."patient_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, NOW(), \'update\', NEW."id", NEW."taken_at", NEW."uploaded_by_id", NEW."width"); RETURN NULL;', hash='6726de733b54a8dfbe1a1e949948c1e183d84705', operation='UPDATE', pgid='pgtrigger_update_update_3cbe5', table='classifier_image', when='AFTER')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='lesion',
                trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "classifier_lesionevent" ("body_site", "clinic_id", "created_at", "created_by_id", "first_seen", "id", "label", "patient_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") VALUES (NEW."body_site", NEW."clinic_id", NEW."created_at", NEW."created_by_id", NEW."first_seen", NEW."id", NEW."label", NEW."patient_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, NOW(), \'insert\', NEW."id"); RETURN NULL;', hash='0e702f96420d095c08ce57a815bd0d137a4f9666', operation='INSERT', pgid='pgtrigger_insert_insert_074db', table='classifier_lesion', when='AFTER')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='lesion',
                trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "classifier_lesionevent" ("body_site", "clinic_id", "created_at", "created_by_id", "first_seen", "id", "label", "patient_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") VALUES (NEW."body_site", NEW."clinic_id", NEW."created_at", NEW."created_by_id", NEW."first_seen", NEW."id", NEW."label", NEW."patient_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, NOW(), \'update\', NEW."id"); RETURN NULL;', hash='91cecf0071773b30b96d215000d662c5cea9e4ce', operation='UPDATE', pgid='pgtrigger_update_update_0439c', table='classifier_lesion', when='AFTER')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='patient',
                trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "classifier_patientevent" ("archived", "clinic_id", "created_at", "created_by_id", "date_of_birth", "id", "name", "notes", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "record_number", "sex", "skin_type", "updated_at") VALUES (NEW."archived", NEW."clinic_id", NEW."created_at", NEW."created_by_id", NEW."date_of_birth", NEW."id", NEW."name", NEW."notes", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, NOW(), \'insert\', NEW."id", NEW."record_number", NEW."sex", NEW."skin_type", NEW."updated_at"); RETURN NULL;', hash='416e9b2a1f5fe0a41c58172e2447917329a5a871', operation='INSERT', pgid='pgtrigger_insert_insert_68b9c', table='classifier_patient', when='AFTER')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='patient',
                trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "classifier_patientevent" ("archived", "clinic_id", "created_at", "created_by_id", "date_of_birth", "id", "name", "notes", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "record_number", "sex", "skin_type", "updated_at") VALUES (NEW."archived", NEW."clinic_id", NEW."created_at", NEW."created_by_id", NEW."date_of_birth", NEW."id", NEW."name", NEW."notes", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, NOW(), \'update\', NEW."id", NEW."record_number", NEW."sex", NEW."skin_type", NEW."updated_at"); RETURN NULL;', hash='1f814945600435ef63b29b669e2b0b9e5038d33b', operation='UPDATE', pgid='pgtrigger_update_update_30777', table='classifier_patient', when='AFTER')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='prediction',
                trigger=pgtrigger.compiler.Trigger(name='prediction_append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="IF TG_OP = 'DELETE' AND (SELECT patient_id FROM classifier_image WHERE id = OLD.image_id) = NULLIF(current_setting('skinapp.erasing', true), '')::uuid AND EXISTS (SELECT 1 FROM classifier_erasure WHERE patient_key = (SELECT patient_id FROM classifier_image WHERE id = OLD.image_id)) THEN RETURN OLD; END IF; RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='3fdaacd5622644fbb6ba9a5631d447ec3300dcd4', operation='UPDATE OR DELETE', pgid='pgtrigger_prediction_append_only_2c6b4', table='classifier_prediction', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='prediction',
                trigger=pgtrigger.compiler.Trigger(name='prediction_append_only_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='bfe0f7d6b194e989e8fdd14447c179b389f1ae6f', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_prediction_append_only_whole_29397', table='classifier_prediction', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='reading',
                trigger=pgtrigger.compiler.Trigger(name='reading_append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="IF TG_OP = 'DELETE' AND (SELECT patient_id FROM classifier_analysis WHERE id = OLD.analysis_id) = NULLIF(current_setting('skinapp.erasing', true), '')::uuid AND EXISTS (SELECT 1 FROM classifier_erasure WHERE patient_key = (SELECT patient_id FROM classifier_analysis WHERE id = OLD.analysis_id)) THEN RETURN OLD; END IF; RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='119482d7eb05258e636c7c5b1c6fe7401b5b4fdd', operation='UPDATE OR DELETE', pgid='pgtrigger_reading_append_only_bdb78', table='classifier_reading', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='reading',
                trigger=pgtrigger.compiler.Trigger(name='reading_append_only_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='b68a4065d6af9d9a001fb6372b3ec7c496569cfb', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_reading_append_only_whole_097da', table='classifier_reading', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='review',
                trigger=pgtrigger.compiler.Trigger(name='review_append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="IF TG_OP = 'DELETE' AND (SELECT patient_id FROM classifier_analysis WHERE id = OLD.analysis_id) = NULLIF(current_setting('skinapp.erasing', true), '')::uuid AND EXISTS (SELECT 1 FROM classifier_erasure WHERE patient_key = (SELECT patient_id FROM classifier_analysis WHERE id = OLD.analysis_id)) THEN RETURN OLD; END IF; RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='5fed33e9f70db46ce90ad7b3c604cf2987bcf401', operation='UPDATE OR DELETE', pgid='pgtrigger_review_append_only_8d886', table='classifier_review', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='review',
                trigger=pgtrigger.compiler.Trigger(name='review_append_only_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='36ba751275015cab486001a1b15b9489bf00d23c', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_review_append_only_whole_40f3e', table='classifier_review', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='review',
                trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "classifier_reviewevent" ("analysis_id", "clinic_id", "created_at", "diagnosis", "diagnosis_text", "id", "notes", "number", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "prediction_id", "reason", "reviewer_id", "verdict") VALUES (NEW."analysis_id", NEW."clinic_id", NEW."created_at", NEW."diagnosis", NEW."diagnosis_text", NEW."id", NEW."notes", NEW."number", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, NOW(), \'insert\', NEW."id", NEW."prediction_id", NEW."reason", NEW."reviewer_id", NEW."verdict"); RETURN NULL;', hash='cc47f96932585084b7b1de579f2cb256f7b29604', operation='INSERT', pgid='pgtrigger_insert_insert_e2f6c', table='classifier_review', when='AFTER')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='review',
                trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "classifier_reviewevent" ("analysis_id", "clinic_id", "created_at", "diagnosis", "diagnosis_text", "id", "notes", "number", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "prediction_id", "reason", "reviewer_id", "verdict") VALUES (NEW."analysis_id", NEW."clinic_id", NEW."created_at", NEW."diagnosis", NEW."diagnosis_text", NEW."id", NEW."notes", NEW."number", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, NOW(), \'update\', NEW."id", NEW."prediction_id", NEW."reason", NEW."reviewer_id", NEW."verdict"); RETURN NULL;', hash='ced5e2c8684a02444f59e8cbb3eb14d2a37484ee', operation='UPDATE', pgid='pgtrigger_update_update_6fde1', table='classifier_review', when='AFTER')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='transition',
                trigger=pgtrigger.compiler.Trigger(name='transition_append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="IF TG_OP = 'DELETE' AND (SELECT patient_id FROM classifier_analysis WHERE id = OLD.analysis_id) = NULLIF(current_setting('skinapp.erasing', true), '')::uuid AND EXISTS (SELECT 1 FROM classifier_erasure WHERE patient_key = (SELECT patient_id FROM classifier_analysis WHERE id = OLD.analysis_id)) THEN RETURN OLD; END IF; RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='06cd55aefb02584d81b59fa74a31114b60abb9b0', operation='UPDATE OR DELETE', pgid='pgtrigger_transition_append_only_8b195', table='classifier_transition', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='transition',
                trigger=pgtrigger.compiler.Trigger(name='transition_append_only_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='f523f0a8ed994b9e051ee652bc571c8b04d26c02', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_transition_append_only_whole_9d515', table='classifier_transition', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='auditlink',
                trigger=pgtrigger.compiler.Trigger(name='audit_link_append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='bc715cde4d3e42b37a60bbfe15d101dd464faf06', operation='UPDATE OR DELETE', pgid='pgtrigger_audit_link_append_only_0ab07', table='classifier_auditlink', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='auditlink',
                trigger=pgtrigger.compiler.Trigger(name='audit_link_append_only_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='a93c358d8942706e168d1f41b7a9be4b548fafe7', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_audit_link_append_only_whole_34fee', table='classifier_auditlink', when='BEFORE')),
            ),
            migrations.AddField(
                model_name='consent',
                name='clinic',
                field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.clinic'),
            ),
            migrations.AddField(
                model_name='consent',
                name='patient',
                field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='consents', to='classifier.patient', verbose_name='patient'),
            ),
            migrations.AddField(
                model_name='consent',
                name='recorded_by',
                field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='recorded by'),
            ),
            migrations.AddField(
                model_name='erasure',
                name='clinic',
                field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='classifier.clinic', verbose_name='clinic'),
            ),
            migrations.AddField(
                model_name='erasure',
                name='erased_by',
                field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='erased by'),
            ),
            migrations.AddField(
                model_name='imageevent',
                name='clinic',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='classifier.clinic'),
            ),
            migrations.AddField(
                model_name='imageevent',
                name='lesion',
                field=models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='classifier.lesion', verbose_name='lesion'),
            ),
            migrations.AddField(
                model_name='imageevent',
                name='patient',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='classifier.patient', verbose_name='patient'),
            ),
            migrations.AddField(
                model_name='imageevent',
                name='pgh_obj',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='classifier.image'),
            ),
            migrations.AddField(
                model_name='imageevent',
                name='uploaded_by',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL, verbose_name='uploaded by'),
            ),
            migrations.AddField(
                model_name='lesionevent',
                name='clinic',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='classifier.clinic'),
            ),
            migrations.AddField(
                model_name='lesionevent',
                name='created_by',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
            ),
            migrations.AddField(
                model_name='lesionevent',
                name='patient',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='classifier.patient', verbose_name='patient'),
            ),
            migrations.AddField(
                model_name='lesionevent',
                name='pgh_obj',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='classifier.lesion'),
            ),
            migrations.AddField(
                model_name='patientevent',
                name='clinic',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='classifier.clinic', verbose_name='clinic'),
            ),
            migrations.AddField(
                model_name='patientevent',
                name='created_by',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL, verbose_name='registered by'),
            ),
            migrations.AddField(
                model_name='patientevent',
                name='pgh_obj',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='classifier.patient'),
            ),
            migrations.AddField(
                model_name='reviewevent',
                name='analysis',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='classifier.analysis', verbose_name='analysis'),
            ),
            migrations.AddField(
                model_name='reviewevent',
                name='clinic',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='classifier.clinic'),
            ),
            migrations.AddField(
                model_name='reviewevent',
                name='pgh_obj',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='classifier.review'),
            ),
            migrations.AddField(
                model_name='reviewevent',
                name='prediction',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='classifier.prediction', verbose_name='prediction'),
            ),
            migrations.AddField(
                model_name='reviewevent',
                name='reviewer',
                field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL, verbose_name='reviewer'),
            ),
            migrations.AddIndex(
                model_name='consent',
                index=models.Index(fields=['patient', 'use', '-recorded_at', '-id'], name='consent_of_patient'),
            ),
            migrations.AddIndex(
                model_name='consent',
                index=models.Index(fields=['clinic', 'use', 'given'], name='consent_of_clinic'),
            ),
            migrations.AddConstraint(
                model_name='consent',
                constraint=models.CheckConstraint(condition=models.Q(('use__in', ['care', 'teaching', 'research', 'training'])), name='consent_use_valid'),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='consent',
                trigger=pgtrigger.compiler.Trigger(name='consent_append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="IF TG_OP = 'DELETE' AND (OLD.patient_id) = NULLIF(current_setting('skinapp.erasing', true), '')::uuid AND EXISTS (SELECT 1 FROM classifier_erasure WHERE patient_key = (OLD.patient_id)) THEN RETURN OLD; END IF; RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='54e38c5460437b8c690cf6ad55567e17b4359674', operation='UPDATE OR DELETE', pgid='pgtrigger_consent_append_only_ec132', table='classifier_consent', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='consent',
                trigger=pgtrigger.compiler.Trigger(name='consent_append_only_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='57aea617a3593ad2ca97dc68de763a4c77138cc4', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_consent_append_only_whole_7af1c', table='classifier_consent', when='BEFORE')),
            ),
            migrations.AddIndex(
                model_name='erasure',
                index=models.Index(fields=['clinic', '-erased_at', '-id'], name='erasure_of_clinic'),
            ),
            migrations.AddIndex(
                model_name='erasure',
                index=models.Index(condition=models.Q(('files_removed_at__isnull', True)), fields=['erased_at'], name='erasure_unfinished'),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='erasure',
                trigger=pgtrigger.compiler.Trigger(name='erasure_append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot delete rows from % table', TG_TABLE_NAME;", hash='f1e7a00b931c5bc40c7a7fd336517d7c83a7bfd3', operation='DELETE', pgid='pgtrigger_erasure_append_only_d044b', table='classifier_erasure', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='erasure',
                trigger=pgtrigger.compiler.Trigger(name='erasure_not_rewritten', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."clinic_id" IS DISTINCT FROM (NEW."clinic_id") OR OLD."erased_at" IS DISTINCT FROM (NEW."erased_at") OR OLD."erased_by_id" IS DISTINCT FROM (NEW."erased_by_id") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."patient_key" IS DISTINCT FROM (NEW."patient_key") OR OLD."registered_at" IS DISTINCT FROM (NEW."registered_at"))', func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='aa2392ce496658ce1563d0ff2b927b8a01a11ebc', operation='UPDATE', pgid='pgtrigger_erasure_not_rewritten_6b8f4', table='classifier_erasure', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='erasure',
                trigger=pgtrigger.compiler.Trigger(name='erasure_append_only_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='f58c90d6ade4b8df2d0702eeca5313405365c60c', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_erasure_append_only_whole_ea3ef', table='classifier_erasure', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='imageevent',
                trigger=pgtrigger.compiler.Trigger(name='imageevent_append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="IF TG_OP = 'DELETE' AND (OLD.patient_id) = NULLIF(current_setting('skinapp.erasing', true), '')::uuid AND EXISTS (SELECT 1 FROM classifier_erasure WHERE patient_key = (OLD.patient_id)) THEN RETURN OLD; END IF; RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='9ef735373f9b6a2ec35424555b369e31ddef9044', operation='UPDATE OR DELETE', pgid='pgtrigger_imageevent_append_only_6cc2b', table='classifier_imageevent', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='imageevent',
                trigger=pgtrigger.compiler.Trigger(name='imageevent_append_only_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='702b766694828c3b523db9bfd1bb016be9637219', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_imageevent_append_only_whole_55506', table='classifier_imageevent', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='lesionevent',
                trigger=pgtrigger.compiler.Trigger(name='lesionevent_append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="IF TG_OP = 'DELETE' AND (OLD.patient_id) = NULLIF(current_setting('skinapp.erasing', true), '')::uuid AND EXISTS (SELECT 1 FROM classifier_erasure WHERE patient_key = (OLD.patient_id)) THEN RETURN OLD; END IF; RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='eb5b34dbbbb62ddb2b99fd6ac30aa0d9b42b3c4e', operation='UPDATE OR DELETE', pgid='pgtrigger_lesionevent_append_only_f2065', table='classifier_lesionevent', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='lesionevent',
                trigger=pgtrigger.compiler.Trigger(name='lesionevent_append_only_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='8ae13dac94d823e54c334c2cea10fbba6967c12e', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_lesionevent_append_only_whole_098b6', table='classifier_lesionevent', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='patientevent',
                trigger=pgtrigger.compiler.Trigger(name='patientevent_append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="IF TG_OP = 'DELETE' AND (OLD.pgh_obj_id) = NULLIF(current_setting('skinapp.erasing', true), '')::uuid AND EXISTS (SELECT 1 FROM classifier_erasure WHERE patient_key = (OLD.pgh_obj_id)) THEN RETURN OLD; END IF; RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='373062e6eee69f7e94acf3be81c00206bd2351ea', operation='UPDATE OR DELETE', pgid='pgtrigger_patientevent_append_only_1d873', table='classifier_patientevent', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='patientevent',
                trigger=pgtrigger.compiler.Trigger(name='patientevent_append_only_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='23139364adfad6c2f6f8fe18cab00b579eade5d0', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_patientevent_append_only_whole_292e0', table='classifier_patientevent', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='reviewevent',
                trigger=pgtrigger.compiler.Trigger(name='reviewevent_append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="IF TG_OP = 'DELETE' AND (SELECT patient_id FROM classifier_analysis WHERE id = OLD.analysis_id) = NULLIF(current_setting('skinapp.erasing', true), '')::uuid AND EXISTS (SELECT 1 FROM classifier_erasure WHERE patient_key = (SELECT patient_id FROM classifier_analysis WHERE id = OLD.analysis_id)) THEN RETURN OLD; END IF; RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='4a540d8771701264feedb010f98577d251c6b0e3', operation='UPDATE OR DELETE', pgid='pgtrigger_reviewevent_append_only_48f0b', table='classifier_reviewevent', when='BEFORE')),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name='reviewevent',
                trigger=pgtrigger.compiler.Trigger(name='reviewevent_append_only_whole', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'append_only: cannot % rows of %', lower(TG_OP), TG_TABLE_NAME;", hash='6ab6ed5b7102a80d927387a0ce1319a805d567bd', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_reviewevent_append_only_whole_a9fe3', table='classifier_reviewevent', when='BEFORE')),
            ),
            migrations.RunSQL(DIGEST, "DROP FUNCTION skinapp_audit_digest(text, classifier_auditevent)"),
            migrations.RunSQL(SEAL, "DROP FUNCTION skinapp_audit_seal(integer)"),
        ], tables=[
            "classifier_auditevent", "classifier_clinic", "classifier_image", "classifier_lesion",
            "classifier_patient", "classifier_prediction", "classifier_reading", "classifier_review",
            "classifier_transition", "classifier_user",
        ]),
    ]
