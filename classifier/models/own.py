"""What one person keeps for themselves: saved filters, and the wish to be told of results."""

import uuid
from typing import ClassVar

from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from classifier.choices import FilteredPage, NoticePace
from classifier.models.people import User
from classifier.querysets.own import SavedFilterQuerySet


class SavedFilter(models.Model):
    """A filter of a list under a name of its owner's. It holds codes and keys, and no patient."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="+", verbose_name=_("person")
    )
    page = models.CharField(_("list"), max_length=10, choices=FilteredPage.choices)
    name = models.CharField(_("name"), max_length=60)
    # {field of the list's own filter form: what its form field takes, as text}
    query = models.JSONField(_("filter"))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    objects = SavedFilterQuerySet.as_manager()

    class Meta:
        verbose_name = _("saved filter")
        verbose_name_plural = _("saved filters")
        ordering = ("created_at", "id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                "user",
                "page",
                Lower("name"),
                name="saved_filter_name_once",
                violation_error_message=_("You have a filter with this name for this list."),
            ),
            models.CheckConstraint(condition=~models.Q(name=""), name="saved_filter_named"),
            models.CheckConstraint(
                condition=models.Q(page__in=FilteredPage.values), name="saved_filter_page_valid"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class NoticeChoice(models.Model):
    """How often a person wants a letter that results wait; without a row, never.

    The row is claimed before a letter is sent: ``next_at`` moves on by a conditional update, so
    that two senders write one letter, and one that died writes its own later.
    """

    user = models.OneToOneField(
        User,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="+",
        verbose_name=_("person"),
    )
    pace = models.CharField(
        _("how often"), max_length=10, choices=NoticePace.choices, default=NoticePace.OFF
    )
    # Of the page on which it was chosen.
    language = models.CharField(_("language"), max_length=10)
    changed_at = models.DateTimeField(_("changed at"))
    next_at = models.DateTimeField(_("next look"))
    sent_at = models.DateTimeField(_("last letter"), null=True, blank=True)
    # Results that were stored until then have been told of.
    told_until = models.DateTimeField(_("told until"), null=True, blank=True)
    failures = models.PositiveSmallIntegerField(_("failures since"), default=0)

    class Meta:
        verbose_name = _("choice of notices")
        verbose_name_plural = _("choices of notices")
        ordering = ("next_at", "user_id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(pace__in=NoticePace.values), name="notice_pace_valid"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=("next_at", "user"),
                condition=~models.Q(pace=NoticePace.OFF),
                name="notice_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} ({self.pace})"
