"""Facts about the person's workplace that every page shows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Func, IntegerField, OuterRef, Subquery
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _

from classifier.choices import Role
from classifier.models import Analysis, BreakGlass, Clinic, Membership, ModelVersion, ReadingRequest
from classifier.querysets.people import WRITING_ROLES

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from classifier.querysets.people import Person


# A count beyond this is shown as "99+".
MOST_COUNTED = 99
# More would push the page away; the page of emergency accesses lists all.
_MOST_BANNERS = 3


def workplace_of(user: Person | None) -> dict[str, Any]:
    """Return what every page shows of the person's work, each fact computed when first used.

    ``clinics``, ``can_write``, ``administers``, ``queue_banner``, ``open_accesses`` and
    ``readings_asked`` (how many second readings wait for the person), ``own_results`` (how many
    images they sent have a result that nobody has reviewed), ``own_failed`` (how many of them could
    not be judged) and ``own_open`` (both); the first three and these four share one query.
    """
    if user is None or not user.is_authenticated:
        return {
            "clinics": [],
            "can_write": False,
            "administers": False,
            "queue_banner": "",
            "open_accesses": [],
            "readings_asked": 0,
            "own_results": 0,
            "own_failed": 0,
            "own_open": 0,
            "research_build": True,
        }
    clinics = SimpleLazyObject(lambda: _clinics_with_role(user))

    def has_role(roles: tuple[str, ...]) -> Any:
        return SimpleLazyObject(lambda: any(clinic.my_role in roles for clinic in clinics))

    return {
        "clinics": clinics,
        "can_write": has_role(WRITING_ROLES),
        "administers": has_role((Role.ADMINISTRATOR,)),
        "queue_banner": SimpleLazyObject(queue_banner),
        "open_accesses": SimpleLazyObject(lambda: open_accesses(user)),
        "readings_asked": SimpleLazyObject(lambda: sum(clinic.asking for clinic in clinics)),
        "own_results": SimpleLazyObject(lambda: sum(clinic.own_results for clinic in clinics)),
        "own_failed": SimpleLazyObject(lambda: sum(clinic.own_failed for clinic in clinics)),
        "own_open": SimpleLazyObject(
            lambda: sum(clinic.own_results + clinic.own_failed for clinic in clinics)
        ),
        "most_counted": MOST_COUNTED,
        # The shipped networks are trained on images with non-commercial licences.
        "research_build": True,
    }


def _clinics_with_role(user: Person) -> list[Any]:
    mine = Membership.objects.filter(user=user.pk, clinic=OuterRef("pk")).values("role")
    # With the same query: every page shows how much waits for the person.
    asking = ReadingRequest.objects.asking(user)
    sent, failed = (Analysis.objects.unreviewed_from(user), Analysis.objects.failed_from(user))
    clinics = Clinic.objects.visible_to(user).annotate(
        my_role=Subquery(mine[:1]),
        asking=_counted(asking),
        own_results=_counted(sent),
        own_failed=_counted(failed),
    )
    return list(clinics)


def _counted(rows: QuerySet[Any]) -> Func:
    """Return how many of the rows are a clinic's, up to one more than is shown."""
    keys = rows.filter(clinic=OuterRef("pk")).order_by().values("pk")[: MOST_COUNTED + 1]
    return Func(ArraySubquery(keys), function="cardinality", output_field=IntegerField())


def open_accesses(user: Person) -> list[BreakGlass]:
    """Return the emergency accesses that are open now and that the person must know of."""
    rows = BreakGlass.objects.active().visible_to(user).select_related("user", "clinic")
    return list(rows[:_MOST_BANNERS])


def oldest_wait() -> timedelta | None:
    """Return how long the longest wait has lasted, or None when nothing waits.

    An analysis waits from the moment it is due until a worker takes it, and again from the moment
    the lease of a lost worker ran out: where nothing sweeps, it would wait for ever.
    """
    now = timezone.now()
    due = Analysis.objects.due(now).order_by("not_before").values_list("not_before")[:1]
    lost = Analysis.objects.lease_lost(now).order_by("lease_until").values_list("lease_until")[:1]
    since = [moment for (moment,) in due.union(lost, all=True)]
    return now - min(since) if since else None


def fresh_waits() -> bool:
    """Tell whether an analysis is due that a loaded network could answer."""
    active = ModelVersion.objects.filter(active=True).values("label_set")
    return Analysis.objects.due(timezone.now()).filter(label_set__in=active).exists()


def queue_banner() -> str:
    """Return the sentence that warns clinicians of a stuck queue, or nothing."""
    waited = oldest_wait()
    if waited is None or waited < timedelta(seconds=settings.ANALYSIS_QUEUE_ALARM_SECONDS):
        return ""
    minutes = int(waited.total_seconds() // 60)
    return _(
        "Answers are late: an image has waited for %(minutes)d minutes. "
        "Nothing is lost; the administrator has been alerted."
    ) % {"minutes": minutes}
