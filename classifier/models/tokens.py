"""Tokens of programs that speak for a person, and what they sent twice."""

import uuid
from typing import ClassVar

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from classifier.choices import Scope
from classifier.models.patients import Patient
from classifier.models.people import Clinic, User
from classifier.querysets.tokens import ApiTokenQuerySet


class ApiToken(models.Model):
    """Lets a program do, in one clinic and for a while, some of what one person may do.

    The token itself is not kept: ``digest`` recognises it when it comes. It is random and as long
    as its digest, so that a plain SHA-256 cannot be searched backwards, salted or not.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", verbose_name=_("person")
    )
    clinic = models.ForeignKey(
        Clinic, on_delete=models.PROTECT, related_name="+", verbose_name=_("clinic")
    )
    name = models.CharField(_("name"), max_length=100)
    scopes = ArrayField(
        models.CharField(max_length=20, choices=Scope.choices), verbose_name=_("scopes")
    )
    digest = models.CharField(_("SHA-256 of the token"), max_length=64, unique=True)
    # The token's last characters, by which its owner tells one from another.
    ending = models.CharField(_("ends in"), max_length=4)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    expires_at = models.DateTimeField(_("until"))
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)
    revoked_by = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("revoked by"),
    )

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        ordering = ("-created_at", "-id")
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            pgtrigger.Protect(
                name="api_token_is_not_rewritten",
                operation=pgtrigger.Update,
                condition=pgtrigger.AnyChange(exclude=["last_used_at", "revoked_at", "revoked_by"]),
            ),
            pgtrigger.Protect(
                name="api_token_is_revoked_once",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__revoked_at__isnull=False),
            ),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=~models.Q(name=""), name="api_token_named"),
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=Scope.values, scopes__len__gt=0),
                name="api_token_scopes_valid",
            ),
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("created_at")),
                name="api_token_ends_later",
            ),
            models.CheckConstraint(
                condition=models.Q(revoked_at__isnull=True, revoked_by__isnull=True)
                | models.Q(revoked_at__isnull=False, revoked_by__isnull=False),
                name="api_token_revocation_is_signed",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("user", "-created_at", "-id"), name="api_token_of_person"),
            models.Index(fields=("clinic", "-created_at", "-id"), name="api_token_of_clinic"),
        ]

    def __str__(self) -> str:
        return f"{self.name} …{self.ending}"


class SentOnce(models.Model):
    """A request with an idempotency key, and its answer when there is one.

    The row is claimed before the deed and answered in the deed's own transaction. A claim that ran
    out without an answer may be taken over: whoever held it is dead, and did nothing.
    """

    token = models.ForeignKey(ApiToken, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(_("idempotency key"), max_length=255)
    # SHA-256 over method, address and content, files included.
    fingerprint = models.CharField(_("SHA-256 of the request"), max_length=64)
    claimed_until = models.DateTimeField(_("claimed until"))
    status = models.PositiveSmallIntegerField(_("status"), null=True, blank=True)
    answer = models.TextField(_("answer"), blank=True)
    # Whose facts the answer holds: it goes when the patient is erased.
    patient = models.ForeignKey(
        Patient, on_delete=models.CASCADE, related_name="+", null=True, blank=True
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("request with an idempotency key")
        verbose_name_plural = _("requests with an idempotency key")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("token", "key"), name="sent_once_key_unique"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("created_at",), name="sent_once_age"),
        ]

    def __str__(self) -> str:
        return f"{self.token_id} {self.key}"
