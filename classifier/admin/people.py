"""Users, clinics and memberships."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.forms import BaseUserCreationForm, UserChangeForm
from django.db import transaction
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from classifier.admin.base import (
    CappedPaginator,
    RecordAdmin,
    SteadyAutocompleteMixin,
    person,
)
from classifier.models import Clinic, Membership, User
from classifier.services import audit

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.forms import BaseInlineFormSet, BaseModelFormSet, ModelForm
    from django.http import HttpRequest, HttpResponse

# A person has one address, the one on their page: the library's list would let them sign in, and
# get letters for a forgotten password, by others that nobody sees.
admin.site.unregister(EmailAddress)


# On one page, with five fields each: settings.DATA_UPLOAD_MAX_NUMBER_FIELDS bounds what a form may
# send. Where there are more, they are edited in the list of memberships.
_MOST_MEMBERSHIPS = 30


class NewUserForm(BaseUserCreationForm[User]):
    """Asks for an e-mail address and a first password."""

    class Meta:
        model = User
        fields = ("email", "first_name", "last_name")


class ChangedUserForm(UserChangeForm[User]):
    """The stock form without a user name."""

    class Meta:
        model = User
        fields = "__all__"


class MembershipInline(SteadyAutocompleteMixin, admin.TabularInline[Membership, User]):
    """Where a person works, on the person's page and on the clinic's."""

    model = Membership
    extra = 0
    max_num = _MOST_MEMBERSHIPS
    autocomplete_fields: ClassVar[list[str]] = ["user", "clinic"]

    def get_formset(
        self, request: HttpRequest, obj: Any = None, **kwargs: Any
    ) -> type[BaseInlineFormSet[Membership, User, ModelForm[Membership]]]:
        """Bound what a forged count makes the server build: 2 000 rows took seconds."""
        return super().get_formset(request, obj, absolute_max=_MOST_MEMBERSHIPS, **kwargs)


def _memberships_that_fit(holder: Clinic | User | None) -> list[Any]:
    """Return the inline, unless the memberships are too many for one form."""
    fit = holder is None or holder.memberships.count() <= _MOST_MEMBERSHIPS
    return [MembershipInline] if fit else []


def _save_memberships(
    request: HttpRequest, formset: BaseModelFormSet[Membership, ModelForm[Membership]]
) -> None:
    # A deleted row has lost its key by the time it is recorded.
    keys = {id(form.instance): form.instance.pk for form in formset.initial_forms}
    formset.save()
    for membership in formset.deleted_objects:
        membership.pk = keys[id(membership)]
    changed = [membership for membership, _fields in formset.changed_objects]
    for deed, rows in (
        ("granted", formset.new_objects),
        ("changed", changed),
        ("revoked", formset.deleted_objects),
    ):
        for membership in rows:
            audit.record(
                action=f"membership.{deed}",
                actor=person(request),
                clinic_id=membership.clinic_id,
                subject=membership,
                user=str(membership.user_id),
                role=membership.role,
            )


@admin.register(User)
class UserAdmin(StockUserAdmin[User]):
    """People. A leaver is deactivated: what a person did must keep its name."""

    form = ChangedUserForm
    add_form = NewUserForm
    paginator = CappedPaginator
    show_full_result_count = False
    ordering = ("email",)
    list_display = ("email", "first_name", "last_name", "is_active", "is_staff", "last_login")
    list_filter = ("is_active", "is_staff", "clinics")
    search_fields = ("email", "first_name", "last_name")
    filter_horizontal = ("groups", "user_permissions")
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        (_("Person"), {"fields": ("first_name", "last_name")}),
        (_("Admin panel"), {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("email", "first_name", "last_name", "password1", "password2"),
            },
        ),
    )

    def get_inlines(self, request: HttpRequest, obj: User | None) -> list[Any]:  # noqa: ARG002 - Django's signature
        """Show where the person works, if it fits."""
        return _memberships_that_fit(obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:  # noqa: ARG002 - Django's signature
        """Return False: deactivate instead."""
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        """Save and audit; an address given up opens nothing any more."""
        super().save_model(request, obj, form, change)
        EmailAddress.objects.filter(user=obj).exclude(email__iexact=obj.email).delete()
        audit.record(
            action="user.changed" if change else "user.created",
            actor=person(request),
            subject=obj,
            fields=sorted(set(form.changed_data) - {"password", "password1", "password2"}),
        )

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Return whether the person may be changed: a superuser only by a superuser."""
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or not obj.is_superuser or person(request).is_superuser)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Keep who manages people from making themselves or others more than they are."""
        fixed = super().get_readonly_fields(request, obj)
        if person(request).is_superuser:
            return fixed
        return (*fixed, "is_staff", "is_superuser", "groups")

    @method_decorator(sensitive_post_parameters())
    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 - Django's signature
        form_url: str = "",
    ) -> HttpResponse:
        """Set a password for somebody and audit it: whoever does could sign in as that person."""
        with transaction.atomic():
            response = super().user_change_password(request, id, form_url)
            # A form that is not right is shown again; only a change leads elsewhere.
            if request.method == "POST" and response.status_code == HTTPStatus.FOUND:
                subject = User.objects.get(pk=id)
                audit.record(action="user.password_set", actor=person(request), subject=subject)
        return response

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:  # noqa: ARG002, FBT001 - Django's signature
        """Save the memberships and audit each."""
        _save_memberships(request, formset)


@admin.register(Clinic)
class ClinicAdmin(RecordAdmin[Clinic]):
    """Departments and who works in them."""

    list_display = ("name", "blinded_first", "urgent_first", "created_at")
    search_fields = ("name",)

    def get_inlines(self, request: HttpRequest, obj: Clinic | None) -> list[Any]:  # noqa: ARG002 - Django's signature
        """Show who works there, if they fit."""
        return _memberships_that_fit(obj)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:  # noqa: ARG002, FBT001 - Django's signature
        """Save the memberships and audit each."""
        _save_memberships(request, formset)


@admin.register(Membership)
class MembershipAdmin(SteadyAutocompleteMixin, RecordAdmin[Membership]):
    """Every membership in one list."""

    list_display = ("user", "clinic", "role", "created_at")
    list_select_related = ("user", "clinic")
    list_filter = ("role", "clinic")
    search_fields = ("user__email", "clinic__name")
    autocomplete_fields = ("user", "clinic")

    def has_delete_permission(
        self,
        request: HttpRequest,
        obj: Membership | None = None,  # noqa: ARG002 - Django's signature
    ) -> bool:
        """Return whether the person may end memberships; the rest of the record stays."""
        return request.user.has_perm("classifier.delete_membership")

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        """End the membership and audit it."""
        self._audit_end(request, obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        """End several memberships and audit each."""
        for membership in queryset:
            self._audit_end(request, membership)
        super().delete_queryset(request, queryset)

    def _audit_end(self, request: HttpRequest, membership: Membership) -> None:
        audit.record(
            action="membership.revoked",
            actor=person(request),
            clinic_id=membership.clinic_id,
            subject=membership,
            user=str(membership.user_id),
            role=membership.role,
        )
