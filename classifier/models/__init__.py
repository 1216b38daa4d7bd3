"""The facts the application keeps, one file per group of models."""

from classifier.models.analyses import Analysis, Prediction, Transition
from classifier.models.audit import AuditEvent, AuditLink, AuditPending
from classifier.models.break_glass import BreakGlass
from classifier.models.consent import Consent, Erasure
from classifier.models.embeddings import Embedding
from classifier.models.images import Image
from classifier.models.imports import ImportRow, ImportRun
from classifier.models.integrity import IntegrityRun
from classifier.models.outcomes import Outcome
from classifier.models.own import NoticeChoice, SavedFilter
from classifier.models.patients import Lesion, Patient
from classifier.models.people import Clinic, Membership, User
from classifier.models.registry import LABEL_SET_OF, LabelSet, ModelVersion
from classifier.models.reruns import RerunRow, RerunRun
from classifier.models.reviews import OTHER_DIAGNOSIS, Reading, Review
from classifier.models.second_readings import Disagreement, ReadingRequest
from classifier.models.tokens import ApiToken, SentOnce
from classifier.models.webhooks import Webhook, WebhookDelivery

__all__ = [
    "LABEL_SET_OF",
    "OTHER_DIAGNOSIS",
    "Analysis",
    "ApiToken",
    "AuditEvent",
    "AuditLink",
    "AuditPending",
    "BreakGlass",
    "Clinic",
    "Consent",
    "Disagreement",
    "Embedding",
    "Erasure",
    "Image",
    "ImportRow",
    "ImportRun",
    "IntegrityRun",
    "LabelSet",
    "Lesion",
    "Membership",
    "ModelVersion",
    "NoticeChoice",
    "Outcome",
    "Patient",
    "Prediction",
    "Reading",
    "ReadingRequest",
    "RerunRow",
    "RerunRun",
    "Review",
    "SavedFilter",
    "SentOnce",
    "Transition",
    "User",
    "Webhook",
    "WebhookDelivery",
]
