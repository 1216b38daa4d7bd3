"""A clinic's webhooks: listing, setting up, ending, and sending a message again."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier.forms.webhooks import WebhookForm
from classifier.models import Clinic, Webhook, WebhookDelivery
from classifier.services.errors import RuleError
from classifier.services.webhooks import create_webhook, end_webhook, send_again
from classifier.views.access import confirmed_recently, person
from classifier.views.patients import add_rule_error

if TYPE_CHECKING:
    import uuid

    from django.http import HttpRequest, HttpResponse

    from classifier.models import User

_MOST_LISTED = 50
_UNPROCESSABLE = 422


@require_safe
def webhook_list(request: HttpRequest) -> HttpResponse:
    """List the webhooks of the person's clinics, and their last messages."""
    user = _administrator(request)
    deliveries = WebhookDelivery.objects.visible_to(user).select_related("webhook__clinic")
    context = {
        "rows": Webhook.objects.visible_to(user).select_related("clinic", "ended_by"),
        "deliveries": [(row, _tries(row)) for row in deliveries[:_MOST_LISTED]],
        "most_listed": _MOST_LISTED,
    }
    return render(request, "api/webhooks.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@confirmed_recently
def webhook_create(request: HttpRequest) -> HttpResponse:
    """Set a webhook up and show its secret, once."""
    user = _administrator(request)
    sent = request.method == "POST"
    form = WebhookForm(request.POST if sent else None, user=user)
    if sent and form.is_valid():
        try:
            webhook, secret = create_webhook(by=user, **form.cleaned_data)
        except RuleError as error:
            add_rule_error(form, error)
        else:
            # Not behind a redirect: the secret would have to be kept openly meanwhile.
            context = {"webhook": webhook, "secret": secret}
            return render(request, "api/webhook_made.html", context)
    status = _UNPROCESSABLE if form.errors else 200
    return render(request, "api/webhook_form.html", {"form": form}, status=status)


@require_POST
def webhook_end(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Send nothing to an address any more."""
    user = person(request)
    webhook = get_object_or_404(Webhook.objects.visible_to(user).select_related("clinic"), pk=pk)
    try:
        end_webhook(webhook=webhook, by=user)
    except RuleError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The webhook is ended. Nothing is sent to it any more."))
    return redirect("webhook_list")


@require_POST
def webhook_again(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Try a message again that was given up."""
    user = person(request)
    deliveries = WebhookDelivery.objects.visible_to(user).select_related("webhook__clinic")
    delivery = get_object_or_404(deliveries, pk=pk)
    try:
        send_again(delivery=delivery, by=user)
    except RuleError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The message is sent again in a moment."))
    return redirect("webhook_list")


def _tries(delivery: WebhookDelivery) -> list[tuple[datetime, str, int]]:
    """Return when each attempt ended, its status or fault, and how many milliseconds it took."""
    return [
        (
            datetime.fromisoformat(one["at"]),
            # Without an answer there is no status, only what went wrong.
            one["fault"] if one["status"] is None else str(one["status"]),
            one["ms"],
        )
        for one in delivery.tries
    ]


def _administrator(request: HttpRequest) -> User:
    user = person(request)
    if not Clinic.objects.administered_by(user).exists():
        raise PermissionDenied(_("Only a clinic's administrator manages its webhooks."))
    return user
