"""What every model admin of the application shares."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import FileField, Model, Q
from django.template.response import TemplateResponse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from classifier.models import Patient
from classifier.services import audit
from classifier.services.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.models import QuerySet
    from django.forms import ModelForm
    from django.http import HttpRequest, HttpResponse

    from classifier.models import User

M = TypeVar("M", bound=Model)

# Nobody pages further than this by hand; counting further would scan the table.
MOST_COUNTED = 1_000
# Whoever looks for more people at once looks for nobody.
MOST_PEOPLE = 50
# Characters of a UUID; no number that a key can be has more.
_LONGEST_KEY = 36


class CappedPaginator(Paginator[M]):
    """A paginator that stops counting at ``MOST_COUNTED``: a list costs the same at any size."""

    @cached_property
    def count(self) -> int:
        """Return the number of rows, at most ``MOST_COUNTED``."""
        rows: Any = self.object_list
        return int(rows.order_by()[:MOST_COUNTED].count())


class SteadyAutocomplete(AutocompleteSelect):
    """Shows a form again whatever was sent in the place of a row's key.

    The stock widget looks the value up as it came, and fails over one that is no key.
    """

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """Return the chosen rows as options; what can be no key is none."""
        related: Any = self.field.remote_field
        key = related.model._meta.pk
        possible = []
        for chosen in value:
            with suppress(ValidationError, ValueError, OverflowError):
                if len(str(chosen)) <= _LONGEST_KEY and key.to_python(chosen or None) is not None:
                    possible.append(chosen)
        return super().optgroups(name, possible, attr)


class SteadyAutocompleteMixin:
    """Gives ``autocomplete_fields`` the widget above."""

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Return the form's field."""
        panel: Any = self
        if db_field.name in panel.get_autocomplete_fields(request):
            kwargs.setdefault(
                "widget",
                SteadyAutocomplete(db_field, panel.admin_site, using=kwargs.get("using")),
            )
        stock: Any = super()
        return stock.formfield_for_foreignkey(db_field, request, **kwargs)


class RecordAdmin(admin.ModelAdmin[M]):
    """Adds and changes are audited, nothing is deleted, lists are bounded."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:  # noqa: ARG002 - Django's signature
        """Return False: records are archived or deactivated, never deleted here."""
        return False

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> M | None:
        """Return the row of a page, and append to the audit trail whose patient was looked at."""
        found = super().get_object(request, object_id, from_field)
        patient = isinstance(found, Patient) or getattr(found, "patient_id", None)
        if found is not None and patient and request.method == "GET":
            audit.record_view(
                action=f"{found._meta.model_name}.viewed_in_admin",
                actor=person(request),
                clinic_id=getattr(found, "clinic_id", None),
                subject=found,
            )
        return found

    def save_model(self, request: HttpRequest, obj: M, form: ModelForm[M], change: bool) -> None:  # noqa: FBT001 - Django's signature
        """Save and append to the audit trail which fields an administrator changed."""
        super().save_model(request, obj, form, change)
        audit.record(
            action=f"{obj._meta.model_name}.{'changed' if change else 'created'}_in_admin",
            actor=person(request),
            clinic_id=getattr(obj, "clinic_id", None),
            subject=obj,
            fields=sorted(form.changed_data),
        )


def found_by_patient(
    rows: QuerySet[M], text: str, *, patient: str, keys: Sequence[str] = ("pk",)
) -> QuerySet[M]:
    """Return the rows of the patients that ``text`` finds, as the application's own search does.

    The stock search asks whether a column holds the text, of each row of the table.

    Args:
        rows: of a list.
        text: words of a name or a record number; or a whole key.
        patient: the path to a row's patient.
        keys: columns that hold keys by which a row is looked for too.
    """
    key = as_key(text)
    if key is not None:
        wanted = Q(**{patient: key})
        for name in keys:
            wanted |= Q(**{name: key})
        return rows.filter(wanted)
    patients = Patient.objects.all().matching(text)
    return rows.filter(**{f"{patient}__in": patients.values("pk")})


def as_key(text: str) -> UUID | None:
    """Return the key that a text is, if it is one."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def people_like(text: str) -> list[Any]:
    """Return the keys of the people whose address holds the text: told before the list is read.

    Knowing who it is, PostgreSQL knows how much they did, and chooses its way by that.
    """
    from classifier.models import User  # noqa: PLC0415 - needed at run time only here

    found = User.objects.filter(email__icontains=text.strip())
    return list(found.order_by("pk").values_list("pk", flat=True)[:MOST_PEOPLE])


class ReadOnlyAdmin(RecordAdmin[M]):
    """Facts that the admin panel shows and cannot alter."""

    def get_fields(self, request: HttpRequest, obj: M | None = None) -> Any:
        """Return every fact of the row but its key and its files.

        Stock Django leaves out what no form could change: the moments at which rows were written.
        """
        if self.fields:
            return super().get_fields(request, obj)
        return [
            field.name
            for field in self.opts.concrete_fields
            if not field.primary_key
            and not isinstance(field, FileField)
            and field.name not in (self.exclude or ())
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """Return False."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:  # noqa: ARG002 - Django's signature
        """Return False: the page shows the row without a form."""
        return False


class ReasonForm(forms.Form):
    """Why an administrator interferes."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        help_text=_("It is kept in the audit trail."),
    )


class ReasonMixin:
    """Actions on chosen rows of facts: the rows are shown again, and a reason is demanded."""

    def about(self, row: Any) -> str:
        """Return what tells one row from another."""
        return str(row)

    def with_reason(  # noqa: PLR0913 - an action has this many sides
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        *,
        action: str,
        verb: Any,
        intro: Any,
        deed: Callable[[Any, str], object],
        done: Callable[[int], str],
    ) -> HttpResponse | None:
        """Ask for a reason, then do the deed to each row and tell what became of each.

        Args:
            request: of the list's form.
            queryset: the chosen rows.
            action: the action's name.
            verb: for the button.
            intro: a sentence above the rows.
            deed: what is done to a row; raises ``RuleError`` where it may not be.
            done: says how many it was done to.

        Returns:
            The page that asks; None when it is done.
        """
        panel: Any = self
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            context = panel.admin_site.each_context(request) | {
                "title": verb,
                "form": form,
                "intro": intro,
                "lines": [(row.pk, self.about(row)) for row in queryset],
                "action": action,
                "verb": verb,
                "checkbox": helpers.ACTION_CHECKBOX_NAME,
                "opts": panel.opts,
                "list_url": f"admin:{panel.opts.app_label}_{panel.opts.model_name}_changelist",
            }
            return TemplateResponse(request, "admin/classifier/reason.html", context)
        count = 0
        for row in queryset:
            try:
                deed(row, form.cleaned_data["reason"])
            except RuleError as error:
                panel.message_user(request, f"{row.pk}: {error}", messages.ERROR)
            else:
                count += 1
        if count:
            panel.message_user(request, done(count), messages.SUCCESS)
        return None


class ActorMixin:
    """Tells in one column who acted: the person, or the worker or the system."""

    @admin.display(description=_("who"))
    def who(self, row: Any) -> str:
        """Return the person, or the kind of the actor where it is nobody."""
        return str(row.actor or row.get_actor_kind_display())


def person(request: HttpRequest) -> User:
    """Return the signed-in administrator.

    Raises:
        TypeError: nobody is signed in, which the admin site never lets happen.
    """
    from classifier.models import User  # noqa: PLC0415 - needed at run time only here

    if not isinstance(request.user, User):
        msg = "An admin page was asked for without a signed-in person."
        raise TypeError(msg)
    return request.user
