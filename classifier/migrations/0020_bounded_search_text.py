"""What is searched has a length that an index can hold, whatever the name."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations

from classifier.schema_changes import AtOnce


class Migration(migrations.Migration):
    dependencies = [("classifier", "0019_embeddings")]

    operations = [
        AtOnce(
            [
                pgtrigger.migrations.RemoveTrigger(
                    model_name="patient",
                    name="patient_search_text",
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name="patient",
                    trigger=pgtrigger.compiler.Trigger(
                        name="patient_search_text",
                        sql=pgtrigger.compiler.UpsertTriggerSql(
                            func="NEW.search_text := left(skinapp_folded(' ' || NEW.name || ' ' || NEW.record_number), 450); RETURN NEW;",
                            hash="0d291b68ea2f4766776a1b33f179858757ed0f43",
                            operation="INSERT OR UPDATE",
                            pgid="pgtrigger_patient_search_text_c13a1",
                            table="classifier_patient",
                            when="BEFORE",
                        ),
                    ),
                ),
            ],
            tables=["classifier_patient"],
        ),
    ]
