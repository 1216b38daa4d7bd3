"""Reading the audit trail of one clinic, and the versions of one patient's rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import CharField, Exists, OuterRef, Q
from django.db.models.functions import Cast
from django.utils.translation import gettext_lazy as _

from classifier.choices import ActorKind
from classifier.days import start_of
from classifier.models import Analysis, AuditEvent, Disagreement, Patient, User
from classifier.selectors.audit_details import details_of
from classifier.selectors.paging import KeysetPage, paginate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

    from classifier.models import Clinic

ACTIONS: dict[str, Any] = {
    "sign_in.done": _("Signed in"),
    "sign_in.ended": _("Signed out"),
    "sign_in.failed": _("Failed sign-in"),
    "second_factor.added": _("Second factor set up"),
    "second_factor.removed": _("Second factor removed"),
    "second_factor.reset": _("Recovery codes renewed"),
    "second_factor.failed": _("Wrong second factor"),
    "password.changed": _("Password changed"),
    "password.reset": _("Password set anew by letter"),
    "user.password_set": _("Password set by an administrator"),
    "membership.granted": _("Membership granted"),
    "membership.changed": _("Membership changed"),
    "membership.revoked": _("Membership ended"),
    "clinic.changed_in_admin": _("Clinic's settings changed"),
    "patient.viewed": _("Patient looked at"),
    "patient.viewed_in_admin": _("Patient looked at in the admin panel"),
    "patient.registered": _("Patient registered"),
    "patient.updated": _("Patient's facts changed"),
    "patient.changed_in_admin": _("Patient changed in the admin panel"),
    "patient.archived": _("Patient archived"),
    "patient.restored": _("Patient brought back"),
    "patient.exported": _("Patient's record exported"),
    "patient.erased": _("Patient erased"),
    "lesion.added": _("Lesion recorded"),
    "lesion.viewed": _("Lesion looked at"),
    "lesion.compared": _("Images of a lesion compared"),
    "consent.given": _("Consent given"),
    "consent.withdrawn": _("Consent withdrawn"),
    "image.added": _("Image added"),
    "image.modality_corrected": _("Modality of an image corrected"),
    "image.viewed": _("Image looked at"),
    "analysis.requested": _("Analysis requested"),
    "analysis.answered": _("Answer stored"),
    "analysis.failed": _("Analysis failed"),
    "analysis.cancelled": _("Analysis cancelled"),
    "analysis.retried": _("Analysis tried again"),
    "answer.viewed": _("Answer looked at"),
    "map.viewed": _("Map looked at"),
    "similar.viewed": _("Similar cases looked at"),
    "reading.saved": _("Own reading saved"),
    "review.saved": _("Review saved"),
    "second_reading.requested": _("Second reading asked for"),
    "second_reading.withdrawn": _("Request for a second reading withdrawn"),
    "second_reading.answered": _("Second reading saved"),
    "disagreement.settled": _("Disagreement settled"),
    "outcome.recorded": _("Outcome of a lesion recorded"),
    "outcome.corrected": _("Outcome of a lesion corrected"),
    "outcome.withdrawn": _("Outcome of a lesion withdrawn"),
    "notices.changed": _("Notices of results changed"),
    "history.exported": _("History exported as CSV"),
    "letter.exported": _("Letter made"),
    "fhir.exported": _("FHIR report exported"),
    "dicom_image.exported": _("Image exported as DICOM"),
    "dicom_report.exported": _("DICOM report exported"),
    "import.sent": _("Archive of old images sent"),
    "import.started": _("Import of old images started"),
    "import.finished": _("Import of old images finished"),
    "import.ended": _("Import of old images ended before its time"),
    "import.discarded": _("Archive of old images removed"),
    "lesion.viewed_in_admin": _("Lesion looked at in the admin panel"),
    "image.viewed_in_admin": _("Image looked at in the admin panel"),
    "analysis.viewed_in_admin": _("Analysis looked at in the admin panel"),
    "consent.viewed_in_admin": _("Consent looked at in the admin panel"),
    "readingrequest.viewed_in_admin": _("Request for a reading looked at in the admin panel"),
    "disagreement.viewed_in_admin": _("Disagreement looked at in the admin panel"),
    "outcome.viewed_in_admin": _("Outcome looked at in the admin panel"),
    "breakglass.viewed_in_admin": _("Emergency access looked at in the admin panel"),
    "break_glass.missed": _("Emergency access refused: no such patient"),
    "break_glass.opened": _("Emergency access opened"),
    "break_glass.ended": _("Emergency access ended"),
    "integrity.checked": _("Files and rows checked"),
    "instance.restored": _("Backup restored"),
    "token.created": _("API token made"),
    "token.revoked": _("API token revoked"),
    "patients.listed": _("List of patients read by a program"),
    "register.exported": _("Register exported by a program"),
    "webhook.created": _("Webhook set up"),
    "webhook.ended": _("Webhook ended"),
    "model_version.registered": _("Model version registered"),
    "model_version.activated": _("Model version switched on"),
    "rerun.started": _("Comparison of networks started"),
    "rerun.finished": _("Comparison of networks finished"),
    "rerun.cancelled": _("Comparison of networks cancelled"),
    "rerun.exported": _("Comparison of networks exported"),
}
# Its reason was given by somebody who had seen the answer.
_RETRIED = "analysis.retried"
INSTALLATION = "installation"
_INSTALLATION_ACTIONS = (
    "model_version.registered",
    "model_version.activated",
    "rerun.started",
    "rerun.finished",
    "rerun.cancelled",
    "rerun.exported",
    "integrity.checked",
    "instance.restored",
)


@dataclass(frozen=True)
class Line:
    """One event as the page shows it.

    Attributes:
        event: the row.
        who: the person, the worker or the system.
        what: the action in words; its code where nobody gave it any.
        patient: whose record it touches, while there is such a patient; its page is linked.
        result: address of the analysis that it is about, or of the newest one of the image; empty
            where there is none that the reader may see.
        reason: the words that were given with it, unless they may tell an unread answer.
        details: (name, value) of facts that give no answer away: ("Attempt", "1").
    """

    event: AuditEvent
    who: str
    what: str
    patient: Patient | None
    result: str
    reason: str
    details: list[tuple[str, str]]


def people_of(clinic: Clinic) -> QuerySet[User]:
    """Return who works in the clinic, and who once did something there."""
    deeds = AuditEvent.objects.filter(clinic=clinic, actor=OuterRef("pk"))
    members = User.clinics.through.objects.filter(clinic=clinic, user=OuterRef("pk"))
    return User.objects.filter(Exists(members) | Exists(deeds)).order_by("last_name", "email")


def trail(
    scope: Clinic | None, filters: dict[str, Any], *, reader: User, cursor: str = ""
) -> tuple[KeysetPage[AuditEvent], list[Line]]:
    """Return a page of the events of one clinic, newest first.

    Of an image that the reader must read first, it is not listed that opinions differed, nor told
    why somebody did not accept the answer. Both stay in the trail, and are there afterwards.

    Args:
        scope: a clinic that the reader administers; None for what is everybody's: networks, checks.
        filters: ``person``, ``action``, ``patient`` (a UUID), ``since`` and ``until`` (days, both
            included); each may be missing or empty.
        reader: who looks.
        cursor: of another page.
    """
    events = AuditEvent.objects.filter(clinic=scope)
    if scope is None:
        events = events.filter(action__in=_INSTALLATION_ACTIONS)
    else:
        settled = Disagreement.objects.filter(
            clinic=scope, settled_by__isnull=False, analysis__in=_unread_by(reader).values("pk")
        )
        unsaid = settled.order_by().values_list(Cast("analysis", CharField()))
        events = events.exclude(action="disagreement.settled", subject_id__in=unsaid)
    anchors = events
    if filters.get("person"):
        events = events.filter(actor=filters["person"])
    if filters.get("action"):
        events = events.filter(action=filters["action"])
    if filters.get("patient"):
        events = events.filter(patient_key=filters["patient"])
    if filters.get("since"):
        events = events.filter(at__gte=start_of(filters["since"]))
    if filters.get("until") and filters["until"] < date.max:
        events = events.filter(at__lt=start_of(filters["until"] + timedelta(days=1)))
    page = paginate(
        events.select_related("actor"),
        order=("-at", "-id"),
        cursor=cursor,
        size=settings.PAGE_SIZE,
        anchors=anchors,
    )
    keys = {event.patient_key for event in page if event.patient_key is not None}
    patients = Patient.objects.filter(clinic=scope).defer("notes").in_bulk(keys)
    subjects = User.objects.in_bulk(
        {event.subject_id for event in page if event.subject_type == "user"}
    )
    retried = [event.subject_id for event in page if event.action == _RETRIED]
    unread = {
        str(key) for key in _unread_by(reader).filter(pk__in=retried).values_list("pk", flat=True)
    }
    results = _results(page, reader)
    return page, [_line(event, patients, subjects, unread, results) for event in page]


def _results(events: Iterable[AuditEvent], reader: User) -> dict[str, str]:
    """Return the address of a result by the key of the analysis or image that events are about."""
    subjects: dict[str, set[str]] = {"analysis": set(), "image": set()}
    for event in events:
        if event.subject_type in subjects:
            subjects[event.subject_type].add(event.subject_id)
    if not any(subjects.values()):
        return {}
    about = Q(pk__in=subjects["analysis"]) | Q(image__in=subjects["image"])
    found = Analysis.objects.visible_to(reader).filter(about).order_by("created_at", "id")
    addresses = {}
    for row in found.only("pk", "image_id"):
        # The newest of an image comes last.
        addresses[str(row.pk)] = addresses[str(row.image_id)] = row.get_absolute_url()
    return addresses


def _unread_by(reader: User) -> QuerySet[Analysis]:
    """Return the analyses whose answer the reader may not know yet, if they see them at all."""
    return Analysis.objects.filter(~Analysis.objects.open_to(reader))


def _line(
    event: AuditEvent,
    patients: dict[Any, Patient],
    users: dict[Any, User],
    unread: set[str],
    results: dict[str, str],
) -> Line:
    veiled = event.action == _RETRIED and event.subject_id in unread
    told = details_of(event)
    if event.subject_type == "user":
        about = next((user for key, user in users.items() if str(key) == event.subject_id), None)
        if about is not None and about != event.actor:
            told.insert(0, (str(_("Person")), about.email))
    return Line(
        event=event,
        who=_who(event),
        what=str(ACTIONS.get(event.action, event.action)),
        patient=patients.get(event.patient_key),
        result=results.get(event.subject_id, ""),
        reason="" if veiled else event.reason,
        details=told,
    )


def _who(event: AuditEvent) -> str:
    if event.actor is not None:
        return str(event.actor)
    return str(ActorKind(event.actor_kind).label)
