"""The branded admin site."""

from __future__ import annotations

from functools import update_wrapper
from typing import TYPE_CHECKING, Any

from allauth.account.adapter import get_adapter
from allauth.account.decorators import secure_admin_login
from allauth.account.internal.flows.reauthentication import is_reauthentication_required
from allauth.core.exceptions import ReauthenticationRequired
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest
from django.http import HttpResponseRedirect
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

_READING = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# Forms that decide over people, networks and clinics: asked for on opening, so that nobody fills
# one in for nothing.
_FORMS = frozenset(
    {
        "classifier_user_add",
        "classifier_user_change",
        "auth_user_password_change",
        "classifier_clinic_add",
        "classifier_clinic_change",
        "classifier_membership_add",
        "classifier_membership_change",
        "classifier_membership_delete",
        "mfa_authenticator_delete",
    }
)
_WAY_OUT = frozenset({"logout"})


class SkinappAdminSite(AdminSite):
    """Stock admin that signs in through the application's own page, throttle and second factor."""

    site_header = _("Skinapp administration")
    site_title = _("Skinapp")
    index_title = _("Administration")

    @method_decorator(login_not_required)
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Send whoever is not signed in to the application's sign-in page."""
        guarded = secure_admin_login(super().login)
        response: HttpResponse = guarded(request, extra_context)
        return response

    def admin_view(
        self,
        view: Any,
        cacheable: bool = False,  # noqa: FBT001, FBT002 - Django's signature
    ) -> Any:
        """Guard a page; what changes something asks who is there when that is some time ago.

        A form that was sent too late is not kept, because it may hold a password: the person
        confirms and finds the page again.
        """
        guarded = super().admin_view(view, cacheable)

        def confirmed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if "%00" in request.META.get("QUERY_STRING", "") or "\x00" in request.path_info:
                # The stock lists hand filters on as they are, and PostgreSQL knows no such letter.
                raise BadRequest(_t("The address holds a character that no text can hold."))
            if self.has_permission(request) and _must_confirm(request):
                if request.method in _READING:
                    raise ReauthenticationRequired
                messages.info(
                    request, _t("Nothing was changed yet: confirm that it is you, then try again.")
                )
                way = get_adapter().get_reauthentication_methods(request.user)[0]["url"]
                query = urlencode({"next": request.get_full_path()})
                return HttpResponseRedirect(f"{way}?{query}")
            response: HttpResponse = guarded(request, *args, **kwargs)
            return response

        return update_wrapper(confirmed, guarded)


def _must_confirm(request: HttpRequest) -> bool:
    match = request.resolver_match
    name = match.url_name if match else ""
    dangerous = name in _FORMS if request.method in _READING else name not in _WAY_OUT
    return dangerous and bool(is_reauthentication_required(request, app=""))
