"""The words by which a patient is found, in a column that the database keeps.

Rows that are there get theirs in ``0011_flat_lists``, some at a time.
"""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

from classifier.schema_changes import AtOnce


class Migration(migrations.Migration):
    dependencies = [("classifier", "0009_api")]

    operations = [
        AtOnce(
            [
                pgtrigger.migrations.RemoveTrigger(
                    model_name="patient",
                    name="update_update",
                ),
                migrations.AddField(
                    model_name="patient",
                    name="search_text",
                    field=models.TextField(db_default="", default="", editable=False),
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name="patient",
                    trigger=pgtrigger.compiler.Trigger(
                        name="patient_search_text",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func="NEW.search_text := skinapp_folded(' ' || NEW.name || ' ' || NEW.record_number); RETURN NEW;",
                            hash="322a36b7a1e911c8d2459b3b758cfb6fe24aba1b",
                            operation="INSERT OR UPDATE",
                            pgid="pgtrigger_patient_search_text_c13a1",
                            table="classifier_patient",
                            when="BEFORE",
                        ),
                    ),
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name="patient",
                    trigger=pgtrigger.compiler.Trigger(
                        name="update_update",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            condition='WHEN (OLD."archived" IS DISTINCT FROM (NEW."archived") OR OLD."clinic_id" IS DISTINCT FROM (NEW."clinic_id") OR OLD."created_at" IS DISTINCT FROM (NEW."created_at") OR OLD."created_by_id" IS DISTINCT FROM (NEW."created_by_id") OR OLD."date_of_birth" IS DISTINCT FROM (NEW."date_of_birth") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."notes" IS DISTINCT FROM (NEW."notes") OR OLD."record_number" IS DISTINCT FROM (NEW."record_number") OR OLD."sex" IS DISTINCT FROM (NEW."sex") OR OLD."skin_type" IS DISTINCT FROM (NEW."skin_type") OR OLD."updated_at" IS DISTINCT FROM (NEW."updated_at"))',
                            func='INSERT INTO "classifier_patientevent" ("archived", "clinic_id", "created_at", "created_by_id", "date_of_birth", "id", "name", "notes", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "record_number", "sex", "skin_type", "updated_at") VALUES (NEW."archived", NEW."clinic_id", NEW."created_at", NEW."created_by_id", NEW."date_of_birth", NEW."id", NEW."name", NEW."notes", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, NOW(), \'update\', NEW."id", NEW."record_number", NEW."sex", NEW."skin_type", NEW."updated_at"); RETURN NULL;',
                            hash="707edb73b9962a56f92e400bd3ba2316debe6fcc",
                            operation="UPDATE",
                            pgid="pgtrigger_update_update_30777",
                            table="classifier_patient",
                            when="AFTER",
                        ),
                    ),
                ),
            ],
            tables=["classifier_patient"],
        ),
    ]
