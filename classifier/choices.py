"""Coded lists shared by models, forms and filters."""

from django.db import models
from django.utils.translation import gettext_lazy as _


def label_of(vocabulary: type[models.TextChoices], value: str) -> str:
    """Return how a value is shown, in the language of whoever reads; an unknown one as it is.

    Django's ``get_…_display`` translates every word of the vocabulary to find one, which took a
    tenth of a list's time.
    """
    try:
        return str(vocabulary(value).label)
    except ValueError:
        return value


class Role(models.TextChoices):
    """What a member may do in a clinic."""

    CLINICIAN = "clinician", _("Clinician")
    READ_ONLY = "read_only", _("Read-only")
    ADMINISTRATOR = "administrator", _("Clinic administrator")


class Sex(models.TextChoices):
    """Administrative sex, with HL7's four values."""

    FEMALE = "female", _("Female")
    MALE = "male", _("Male")
    OTHER = "other", _("Other")
    UNKNOWN = "unknown", _("Unknown")


class SkinType(models.TextChoices):
    """Fitzpatrick skin type as a clinician judged it; it is never guessed from a picture."""

    I = "I", _("I: always burns, never tans")  # noqa: E741 - the scale's own name
    II = "II", _("II: usually burns, tans a little")
    III = "III", _("III: sometimes burns, tans evenly")
    IV = "IV", _("IV: rarely burns, tans well")
    V = "V", _("V: very rarely burns, brown skin")
    VI = "VI", _("VI: never burns, dark brown or black skin")
    UNKNOWN = "unknown", _("Unknown")


class BodySite(models.TextChoices):
    """Coarse anatomic sites, as the public skin archives group them."""

    SCALP = "scalp", _("Scalp")
    FACE = "face", _("Face")
    EAR = "ear", _("Ear")
    NECK = "neck", _("Neck")
    CHEST = "chest", _("Chest")
    ABDOMEN = "abdomen", _("Abdomen")
    BACK = "back", _("Back")
    BUTTOCK = "buttock", _("Buttock")
    GENITAL = "genital", _("Genital area")
    UPPER_ARM = "upper_arm", _("Upper arm")
    FOREARM = "forearm", _("Forearm")
    HAND = "hand", _("Hand")
    PALM = "palm", _("Palm")
    THIGH = "thigh", _("Thigh")
    LOWER_LEG = "lower_leg", _("Lower leg")
    FOOT = "foot", _("Foot")
    SOLE = "sole", _("Sole")
    NAIL = "nail", _("Nail")
    MUCOSA = "mucosa", _("Mouth or other mucosa")
    UNKNOWN = "unknown", _("Unknown")


class Modality(models.TextChoices):
    """How the picture was taken; it decides which network looks at it."""

    DERMOSCOPY = "dermoscopy", _("Dermoscopy")
    CLINICAL = "clinical", _("Clinical photograph")


class State(models.TextChoices):
    """Where an analysis stands; the legal moves are in ``classifier.services.moves``."""

    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Done")
    REJECTED = "rejected", _("Rejected")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


FINAL_STATES = (State.SUCCEEDED, State.REJECTED, State.FAILED, State.CANCELLED)
# Somebody who waits for an answer waits no longer; who cancels does not wait.
FINISHED_STATES = (State.SUCCEEDED, State.REJECTED, State.FAILED)
WAITING_STATES = (State.QUEUED, State.RUNNING)


class Decision(models.TextChoices):
    """What may be shown of a prediction."""

    ANSWER = "answer", _("Answer")
    CANNOT_SAY = "cannot_say", _("Cannot say: needs a person")
    REJECTED = "rejected", _("Rejected: not usable")


class Verdict(models.TextChoices):
    """What a reviewer makes of the network's answer."""

    AGREE = "agree", _("Agree")
    OVERRULE = "overrule", _("Overrule")
    DEFER = "defer", _("Defer")


class ReviewState(models.TextChoices):
    """Whether an analysis still waits for a person; derived from its last review."""

    PENDING = "pending", _("Needs review")
    DEFERRED = "deferred", _("Deferred")
    REVIEWED = "reviewed", _("Reviewed")


class Difference(models.TextChoices):
    """In what readers, or readers and the network, differ; the worse sorts first.

    A diagnosis in own words is of no known group and counts as another one.
    """

    GROUP = "group", _("Triage group")
    LABEL = "label", _("Diagnosis within a group")


class OutcomeKind(models.TextChoices):
    """How it is known what a lesion was."""

    HISTOPATHOLOGY = "histopathology", _("Histopathology")
    FOLLOW_UP = "follow_up", _("Follow-up")


class Behaviour(models.TextChoices):
    """What an outcome means for figures."""

    MALIGNANT = "malignant", _("Malignant or pre-malignant")
    BENIGN = "benign", _("Benign")
    UNCERTAIN = "uncertain", _("Uncertain")


class ConsentUse(models.TextChoices):
    """What a patient's images may be used for."""

    CARE = "care", _("Care")
    TEACHING = "teaching", _("Teaching")
    RESEARCH = "research", _("Research")
    TRAINING = "training", _("Training of networks")


class ImportState(models.TextChoices):
    """Where an import of old images stands."""

    CHECKING = "checking", _("Being looked through")
    CHECKED = "checked", _("Looked through")
    RUNNING = "running", _("Being taken in")
    FINISHED = "finished", _("Finished")
    ENDED = "ended", _("Ended before its time")


class ImportEnd(models.TextChoices):
    """Why an import ended before its time, and what to do."""

    ERASURE = (
        "erasure",
        _(
            "A patient of this archive was erased, and the archive with them. Send what is left in"
            " a new archive without that patient: the refused lines say what it is."
        ),
    )
    LOST = (
        "lost",
        _(
            "The archive is missing or damaged. Send it again, or what is left in a new archive:"
            " the refused lines say what it is."
        ),
    )


class RowState(models.TextChoices):
    """What becomes, or became, of one line of an import."""

    NEW = "new", _("Not looked at yet")
    READY = "ready", _("Will be added")
    KNOWN = "known", _("In the record already")
    REFUSED = "refused", _("Refused")
    DONE = "done", _("Added")


class RerunState(models.TextChoices):
    """Where a comparison of networks stands."""

    RUNNING = "running", _("Under way")
    FINISHED = "finished", _("Finished")
    CANCELLED = "cancelled", _("Cancelled")


class RerunRowState(models.TextChoices):
    """Where one case of a comparison stands."""

    WAITING = "waiting", _("Waiting")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


class TriageChange(models.TextChoices):
    """What another network would change for a case."""

    UNKNOWN = "", _("Not judged yet")
    SAME = "same", _("Same triage group")
    UP = "up", _("More urgent")
    DOWN = "down", _("Less urgent")
    TO_CANNOT_SAY = "to_cannot_say", _("To “cannot say”")
    TO_REJECTED = "to_rejected", _("To “not usable”")
    TO_ANSWER = "to_answer", _("To an answer")


class ActorKind(models.TextChoices):
    """Who moved an analysis or did something worth recording."""

    USER = "user", _("Person")
    WORKER = "worker", _("Worker")
    SYSTEM = "system", _("System")


class Scope(models.TextChoices):
    """What a token lets a program do; never more than its owner may."""

    READ = "read", _("Read: patients, lesions, states and results")
    UPLOAD = "upload", _("Upload: register patients and lesions, send images")
    REVIEW = "review", _("Review: save readings and reviews in your name")
    EXPORT = "export", _("Export: page through the clinic's register")


class DeliveryState(models.TextChoices):
    """What became of a webhook's message."""

    WAITING = "waiting", _("Waiting")
    DELIVERED = "delivered", _("Delivered")
    GIVEN_UP = "given_up", _("Given up")


class FilteredPage(models.TextChoices):
    """Lists whose filters can be saved."""

    WORKLIST = "worklist", _("Worklist")
    HISTORY = "history", _("History")


class NoticePace(models.TextChoices):
    """How often somebody is told by letter that results wait."""

    OFF = "off", _("Never")
    HOURLY = "hourly", _("Once an hour at most")
    DAILY = "daily", _("Once a day at most")
