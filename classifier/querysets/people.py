"""Which clinics a person works in."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

from django.db import models

from classifier.choices import Role

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

    from classifier.models import Clinic, User  # noqa: F401 - Clinic types the queryset

    Person: TypeAlias = User | AnonymousUser | AbstractBaseUser

# A clinic administrator may do what a clinician may, and manages the clinic besides.
WRITING_ROLES = (Role.CLINICIAN, Role.ADMINISTRATOR)


def may_switch(user: Person) -> bool:
    """Tell whether the person decides which network answers: who may change model versions."""
    if not (user.is_authenticated and user.is_active):
        return False
    return cast("User", user).has_perm("classifier.change_modelversion")


class ClinicQuerySet(models.QuerySet["Clinic"]):
    """Clinics, seen from a person."""

    def visible_to(self, user: Person) -> ClinicQuerySet:
        """Return the clinics the person works in, in whatever role.

        Superusers get nothing by being superusers: they too must be given a clinic.
        """
        return self._with_role(user, Role.values)

    def writable_by(self, user: Person) -> ClinicQuerySet:
        """Return the clinics whose patients the person may register, photograph and review."""
        return self._with_role(user, WRITING_ROLES)

    def administered_by(self, user: Person) -> ClinicQuerySet:
        """Return the clinics the person administers."""
        return self._with_role(user, (Role.ADMINISTRATOR,))

    def _with_role(self, user: Person, roles: tuple[str, ...] | list[str]) -> ClinicQuerySet:
        if not (user.is_authenticated and user.is_active):
            return self.none()
        membership = self.model._meta.get_field("memberships").related_model
        mine = membership._default_manager.filter(user_id=user.pk, role__in=roles)
        return self.filter(pk__in=mine.values("clinic_id"))
