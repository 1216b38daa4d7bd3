"""What reaches out of the application: tokens, webhooks and their messages, letters of results.

Facts to read. Nothing that opens a door is shown: not a token's digest, not a webhook's secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from classifier.admin.base import ReadOnlyAdmin, ReasonMixin, as_key, people_like, person
from classifier.models import ApiToken, NoticeChoice, Webhook, WebhookDelivery
from classifier.services.tokens import revoke_token
from classifier.services.webhooks import end_webhook_in_panel

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse


@admin.register(ApiToken)
class ApiTokenAdmin(ReasonMixin, ReadOnlyAdmin[ApiToken]):
    """Tokens of all clinics: who has one, for what, until when; each can be revoked."""

    list_display = (
        "name",
        "ending",
        "user",
        "clinic",
        "scopes",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    )
    list_select_related = ("user", "clinic")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "clinic")
    search_fields = ("name", "user__email")
    exclude = ("digest",)
    actions = ("revoke",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ApiToken], search_term: str
    ) -> tuple[QuerySet[ApiToken], bool]:
        """Look for a key, a name, a token's last characters or its owner."""
        del request
        if not search_term:
            return queryset, False
        words = search_term.strip()
        wanted = Q(name__icontains=words) | Q(ending=words) | Q(user__in=people_like(words))
        key = as_key(words)
        return queryset.filter(wanted if key is None else Q(pk=key)), False

    def about(self, row: ApiToken) -> str:
        """Return what tells one token from another."""
        return f"{row} · {row.user} · {row.clinic}"

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Return whether the person may revoke tokens (the change permission)."""
        return request.user.has_perm("classifier.change_apitoken")

    @admin.action(description=_("Revoke the chosen tokens"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> HttpResponse | None:
        """Stop tokens at once and for good."""
        return self.with_reason(
            request,
            queryset.select_related("user", "clinic"),
            action="revoke",
            verb=_("Revoke"),
            intro=_("Programs that use these tokens get nothing any more. Say why; it is kept."),
            deed=lambda row, reason: revoke_token(token=row, by=person(request), reason=reason),
            done=lambda n: ngettext("%(n)d token revoked.", "%(n)d tokens revoked.", n) % {"n": n},
        )


@admin.register(Webhook)
class WebhookAdmin(ReasonMixin, ReadOnlyAdmin[Webhook]):
    """Webhooks of all clinics; each can be ended."""

    list_display = ("url", "clinic", "created_by", "created_at", "ended_at")
    list_select_related = ("clinic", "created_by")
    list_filter = (("ended_at", admin.EmptyFieldListFilter), "clinic")
    search_fields = ("url",)
    exclude = ("secret",)
    actions = ("end",)

    def about(self, row: Webhook) -> str:
        """Return what tells one webhook from another."""
        return f"{row.url} · {row.clinic}"

    def has_end_permission(self, request: HttpRequest) -> bool:
        """Return whether the person may end webhooks (the change permission)."""
        return request.user.has_perm("classifier.change_webhook")

    @admin.action(description=_("End the chosen webhooks"), permissions=["end"])
    def end(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> HttpResponse | None:
        """Send nothing to these addresses any more."""
        return self.with_reason(
            request,
            queryset.select_related("clinic"),
            action="end",
            verb=_("End"),
            intro=_("Nothing is sent to these addresses any more. Say why; it is kept."),
            deed=lambda row, reason: end_webhook_in_panel(
                webhook=row, by=person(request), reason=reason
            ),
            done=lambda n: ngettext("%(n)d webhook ended.", "%(n)d webhooks ended.", n) % {"n": n},
        )


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin[WebhookDelivery]):
    """Messages to webhooks and what became of each; a clinic's administrator sends one again."""

    list_display = ("created_at", "to", "analysis_id", "state", "attempts", "delivered_at")
    list_select_related = ("webhook",)
    list_filter = ("state",)
    search_fields = ("analysis",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookDelivery]:
        """Leave what a list does not show in the database."""
        return super().get_queryset(request).defer("webhook__secret")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[WebhookDelivery], search_term: str
    ) -> tuple[QuerySet[WebhookDelivery], bool]:
        """Look for the whole key of a message, a webhook or an analysis."""
        del request
        if not search_term:
            return queryset, False
        key = as_key(search_term)
        if key is None:
            return queryset.none(), False
        return queryset.filter(Q(pk=key) | Q(webhook=key) | Q(analysis=key)), False

    @admin.display(description=_("address"))
    def to(self, row: WebhookDelivery) -> Any:
        """Return where the message goes."""
        return row.webhook.url


@admin.register(NoticeChoice)
class NoticeChoiceAdmin(ReadOnlyAdmin[NoticeChoice]):
    """Who wants letters that results wait, and whose did not get through."""

    list_display = ("user", "pace", "sent_at", "next_at", "failures")
    list_select_related = ("user",)
    list_filter = ("pace",)
    search_fields = ("user__email",)
