"""Indexes for lists that cost the same at a million rows as at a thousand.

Each filter of the history has one, so that none walks through a clinic's whole past for rows that
are not there; and each list of the admin panel has one over all clinics.
"""

import django.contrib.postgres.indexes
from django.contrib.postgres.operations import RemoveIndexConcurrently
from django.db import migrations, models

from classifier.schema_changes import AddIndexPatiently, in_batches

# A row that was written since 0010 has its words already.
WORDS = """
UPDATE classifier_patient AS p
SET search_text = skinapp_folded(' ' || p.name || ' ' || p.record_number)
WHERE (%(above)s IS NULL OR p.id > %(above)s) AND p.id <= %(upto)s AND p.search_text = ''
"""


def fill_words(apps, schema_editor):
    in_batches(schema_editor, WORDS, table="classifier_patient")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("classifier", "0010_search_text")]

    operations = [
        migrations.RunPython(fill_words, migrations.RunPython.noop),
        AddIndexPatiently(
            model_name="analysis",
            index=models.Index(
                condition=models.Q(
                    ("review_state", "pending"), ("state__in", ("succeeded", "rejected"))
                ),
                fields=["clinic", "created_at", "id"],
                name="analysis_worklist_by_age",
            ),
        ),
        AddIndexPatiently(
            model_name="analysis",
            index=models.Index(
                condition=models.Q(("review_state", "deferred")),
                fields=["clinic", "triage_rank", "created_at", "id"],
                name="analysis_deferred",
            ),
        ),
        AddIndexPatiently(
            model_name="analysis",
            index=models.Index(
                condition=models.Q(("state__in", ("queued", "running"))),
                fields=["clinic", "created_at", "id"],
                name="analysis_waiting",
            ),
        ),
        AddIndexPatiently(
            model_name="analysis",
            index=models.Index(
                fields=["clinic", "modality", "-created_at", "-id"], include=['top_label', 'decision', 'state', 'review_state', 'model_version', 'last_reviewer', 'patient'], name="analysis_by_modality"
            ),
        ),
        AddIndexPatiently(
            model_name="analysis",
            index=models.Index(
                fields=["clinic", "review_state", "-created_at", "-id"], include=['top_label', 'decision', 'modality', 'state', 'model_version', 'last_reviewer', 'patient'], name="analysis_by_review"
            ),
        ),
        AddIndexPatiently(
            model_name="analysis",
            index=models.Index(
                fields=["clinic", "model_version", "-created_at", "-id"], include=['top_label', 'decision', 'modality', 'state', 'review_state', 'last_reviewer', 'patient'], name="analysis_by_version"
            ),
        ),
        AddIndexPatiently(
            model_name="analysis",
            index=models.Index(fields=["-created_at", "-id"], name="analysis_newest"),
        ),
        AddIndexPatiently(
            model_name="analysis",
            index=models.Index(
                condition=models.Q(("failure_reference", ""), _negated=True),
                fields=["failure_reference"],
                name="analysis_by_reference",
            ),
        ),
        AddIndexPatiently(
            model_name="auditevent",
            index=models.Index(fields=["-at", "-id"], name="audit_newest"),
        ),
        AddIndexPatiently(
            model_name="auditevent",
            index=models.Index(
                condition=models.Q(("actor_kind", "system")),
                fields=["-at", "-id"],
                name="audit_of_system",
            ),
        ),
        AddIndexPatiently(
            model_name="consent",
            index=models.Index(fields=["-recorded_at", "-id"], name="consent_newest"),
        ),
        AddIndexPatiently(
            model_name="image",
            index=models.Index(fields=["-created_at", "-id"], name="image_newest"),
        ),
        AddIndexPatiently(
            model_name="image",
            index=models.Index(fields=["original_sha256"], name="image_by_digest"),
        ),
        AddIndexPatiently(
            model_name="lesion",
            index=models.Index(fields=["created_at", "id"], name="lesion_oldest"),
        ),
        AddIndexPatiently(
            model_name="lesion",
            index=models.Index(fields=["body_site", "created_at", "id"], name="lesion_of_site"),
        ),
        AddIndexPatiently(
            model_name="patient",
            index=models.Index(fields=["name", "id"], name="patient_by_name"),
        ),
        AddIndexPatiently(
            model_name="patient",
            index=django.contrib.postgres.indexes.GinIndex(
                django.contrib.postgres.indexes.OpClass("search_text", name="gin_trgm_ops"),
                name="patient_search",
            ),
        ),
        AddIndexPatiently(
            model_name="prediction",
            index=models.Index(fields=["-created_at", "-id"], name="prediction_newest"),
        ),
        AddIndexPatiently(
            model_name="prediction",
            index=models.Index(
                fields=["model_version", "-created_at", "-id"], name="prediction_of_version"
            ),
        ),
        AddIndexPatiently(
            model_name="reading",
            index=models.Index(fields=["created_at", "id"], name="reading_oldest"),
        ),
        AddIndexPatiently(
            model_name="reading",
            index=models.Index(
                condition=models.Q(("blinded", False)),
                fields=["created_at", "id"],
                name="reading_not_blinded",
            ),
        ),
        AddIndexPatiently(
            model_name="review",
            index=models.Index(fields=["-created_at", "-id"], name="review_newest"),
        ),
        # Nothing searches the names themselves any more.
        RemoveIndexConcurrently(
            model_name="patient",
            name="patient_name_folded",
        ),
        RemoveIndexConcurrently(
            model_name="patient",
            name="patient_number_folded",
        ),
    ]
