"""The tokens of one's programs: listing, making and revoking them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier.forms.tokens import TokenForm
from classifier.models import ApiToken, Clinic
from classifier.services.errors import ConflictError, RuleError
from classifier.services.tokens import create_token, revoke_token
from classifier.views.access import confirmed_recently, person
from classifier.views.patients import add_rule_error

if TYPE_CHECKING:
    import uuid

    from django.http import HttpRequest, HttpResponse

_MOST_LISTED = 100
_UNPROCESSABLE = 422
_CONFLICT = 409


@require_safe
def token_list(request: HttpRequest) -> HttpResponse:
    """List the person's own tokens, and those in clinics they administer."""
    user = person(request)
    rows = ApiToken.objects.visible_to(user).select_related("user", "clinic", "revoked_by")
    listed = list(rows[:_MOST_LISTED])
    working = set(
        ApiToken.objects.valid()
        .filter(pk__in=[row.pk for row in listed])
        .values_list("pk", flat=True)
    )
    context = {
        "rows": listed,
        "working": working,
        "most_listed": _MOST_LISTED,
        "now": timezone.now(),
        "may_create": Clinic.objects.visible_to(user).exists(),
    }
    return render(request, "api/tokens.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@confirmed_recently
def token_create(request: HttpRequest) -> HttpResponse:
    """Make a token and show its text, once."""
    user = person(request)
    if not Clinic.objects.visible_to(user).exists():
        raise PermissionDenied(
            _("You belong to no clinic yet. Ask an administrator to make you a member of one.")
        )
    sent = request.method == "POST"
    form = TokenForm(request.POST if sent else None, user=user)
    status = _UNPROCESSABLE
    if sent and form.is_valid():
        try:
            token, text = create_token(by=user, **form.cleaned_data)
        except ConflictError as error:
            status = _CONFLICT
            form.add_error(None, str(error))
        except RuleError as error:
            add_rule_error(form, error)
        else:
            # Not behind a redirect: the text would have to be kept somewhere meanwhile.
            return render(request, "api/token_made.html", {"token": token, "text": text})
    status = status if form.errors else 200
    return render(request, "api/token_form.html", {"form": form}, status=status)


@require_POST
def token_revoke(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Revoke a token now: one's own, or one in a clinic that one administers."""
    user = person(request)
    token = get_object_or_404(ApiToken.objects.visible_to(user), pk=pk)
    try:
        revoke_token(token=token, by=user)
    except RuleError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The token is revoked. It works no longer."))
    return redirect("token_list")
