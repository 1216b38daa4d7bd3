"""Users, clinics and who works where."""

import uuid
from typing import Any, ClassVar

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from classifier.choices import Role
from classifier.querysets.people import ClinicQuerySet


class UserManager(BaseUserManager["User"]):
    """Creates users that sign in by e-mail."""

    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **extra: Any) -> "User":
        """Create a user.

        Raises:
            ValueError: the e-mail address is empty.
        """
        if not email:
            msg = "A user needs an e-mail address."
            raise ValueError(msg)
        user = self.model(email=self.normalize_email(email).lower(), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> "User":
        """Create a user who may enter the admin panel."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **extra)

    def get_by_natural_key(self, username: str | None) -> "User":
        """Look a user up by e-mail, whatever its case."""
        return self.get(email__iexact=username)


class User(AbstractUser):
    """A person who signs in with an e-mail address."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = None  # type: ignore[assignment]
    email = models.EmailField(
        _("e-mail address"),
        unique=True,
        error_messages={"unique": _("Somebody already signs in with this address.")},
    )
    # Empty: what the browser asks for.
    language = models.CharField(_("language"), max_length=10, blank=True, default="", db_default="")
    clinics: "models.ManyToManyField[Clinic, Membership]" = models.ManyToManyField(
        "Clinic", through="Membership", related_name="members"
    )

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()  # type: ignore[assignment,misc]

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                Lower("email"),
                name="user_email_unique_ci",
                violation_error_message=_("Somebody already signs in with this address."),
            )
        ]

    def __str__(self) -> str:
        return self.get_full_name() or self.email


class Clinic(models.Model):
    """A department: the wall between one group of patients and another."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=200, unique=True)
    blinded_first = models.BooleanField(
        _("own reading first"),
        default=True,
        help_text=_("A clinician's own reading is saved before the network's answer is shown."),
    )
    urgent_first = models.BooleanField(
        _("most pressing first"),
        default=True,
        db_default=True,
        help_text=_(
            "The worklist begins with the worst triage group, also before somebody's own reading: "
            "the place in the list then hints at how pressing the network takes a case to be. "
            "Without it, what is not read yet is listed by age alone."
        ),
    )
    second_factor_required = models.BooleanField(
        _("second factor for everybody"),
        default=False,
        db_default=False,
        help_text=_(
            "Whoever works here must set up a second factor (authenticator app or security key) "
            "before they see anything."
        ),
    )
    retention_years = models.PositiveSmallIntegerField(
        _("keep records for (years)"),
        null=True,
        blank=True,
        help_text=_(
            "Years after a patient's last visit until “manage.py retention” erases the record. "
            "Empty: nothing is ever erased by age."
        ),
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    objects = ClinicQuerySet.as_manager()

    class Meta:
        verbose_name = _("clinic")
        verbose_name_plural = _("clinics")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One person's role in one clinic."""

    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="memberships", verbose_name=_("user")
    )
    clinic = models.ForeignKey(
        Clinic, on_delete=models.CASCADE, related_name="memberships", verbose_name=_("clinic")
    )
    role = models.CharField(_("role"), max_length=20, choices=Role.choices)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=("user", "clinic"), name="membership_user_clinic_unique"
            ),
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="membership_role_valid"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.clinic} · {self.get_role_display()}"
