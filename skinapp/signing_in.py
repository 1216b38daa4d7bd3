"""How long a sign-in holds, and what it takes to get past the first page."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from classifier.services.second_factor import lacks_second_factor

GetResponse = Callable[[HttpRequest], HttpResponse]

_BEGAN, _SEEN, _FINE = "signed_in_at", "last_seen_at", "second_factor_seen_at"
# Tells the sign-in page that something was sent in vain; ``templates/account/login.html`` reads it.
UNSAVED = "unsaved"
# So often, in seconds, a session is written and the second factor is looked for: a page with
# thirty pictures costs neither thirty writes nor thirty questions.
_NOTE_EVERY = 60
# A page that asks by itself whether an answer is there does not show that somebody is.
_NOBODYS = frozenset({"analysis_status"})
# Pages that a person opens, and that ask for themselves again while something is under way.
_ASK_AGAIN = frozenset({"import_detail", "rerun_detail"})
# Where a person without the second factor that is asked of them may go: to set it up, or out, in a
# language that they can read.
_SETTING_UP = frozenset(
    {
        "mfa_index",
        "mfa_activate_totp",
        "mfa_list_webauthn",
        "mfa_add_webauthn",
        "account_reauthenticate",
        "account_logout",
        "choose_language",
    }
)


def _asked_by_itself(request: HttpRequest) -> bool:
    """Tell whether a page asked, and nobody in front of it."""
    name = request.resolver_match.url_name if request.resolver_match else None
    return name in _NOBODYS or (name in _ASK_AGAIN and "HX-Request" in request.headers)


class SignInMiddleware(LoginRequiredMiddleware):
    """Sends whoever is not signed in to the sign-in page, and from there to a page that exists.

    What was sent after a sign-in ended cannot be sent again by following a link: the person is led
    back to the page that they sent it from, and is told that nothing was saved.
    """

    def handle_no_permission(  # type: ignore[override] # Django passes on whatever it is
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponse:
        """Answer a request that nobody signed in has made."""
        if request.headers.get("HX-Request") == "true" and request.method == "GET":
            # A part of a page that is still open: the sign-in page does not belong inside it, and
            # what the page shows of patients is not to stay there.
            return HttpResponse(status=204, headers={"HX-Refresh": "true"})
        if request.method in {"GET", "HEAD"}:
            return super().handle_no_permission(request, view_func)
        came_from = request.headers.get("Referer", "")
        ours = url_has_allowed_host_and_scheme(
            came_from, {request.get_host()}, require_https=request.is_secure()
        )
        back = urlsplit(came_from)._replace(scheme="", netloc="").geturl() if ours else ""
        # Said by the address: a message would write a session for every stranger who posts.
        page = f"{resolve_url(self.get_login_url(view_func))}?{UNSAVED}=1"
        return redirect_to_login(back or "/", page, self.get_redirect_field_name(view_func))


class SessionLimitsMiddleware:
    """Ends a session that nobody used for a while, and one that is old however much it is used.

    ``SESSION_IDLE_SECONDS`` and ``SESSION_ABSOLUTE_SECONDS`` say when. Both are counted on the
    server: what a browser keeps of its cookie does not matter.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """End the session if it is over."""
        if request.user.is_authenticated:
            sentence = self._over(request)
            if sentence:
                logout(request)
                messages.info(request, sentence)
        return self.get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        view: Any,  # noqa: ARG002 - Django's signature
        args: Any,  # noqa: ARG002
        kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Note that the session was used, unless a page asks by itself."""
        if not request.user.is_authenticated or _asked_by_itself(request):
            return
        now = int(time.time())
        request.session.setdefault(_BEGAN, now)
        if now - request.session.get(_SEEN, 0) >= _NOTE_EVERY:
            request.session[_SEEN] = now

    def _over(self, request: HttpRequest) -> str:
        now = time.time()
        if now - request.session.get(_BEGAN, now) >= settings.SESSION_ABSOLUTE_SECONDS:
            return _("You were signed out because you signed in long ago. Please sign in again.")
        if now - request.session.get(_SEEN, now) >= settings.SESSION_IDLE_SECONDS:
            minutes = settings.SESSION_IDLE_SECONDS // 60
            return ngettext(
                "You were signed out because nothing happened for %(minutes)d minute.",
                "You were signed out because nothing happened for %(minutes)d minutes.",
                minutes,
            ) % {"minutes": minutes}
        return ""


class SecondFactorMiddleware:
    """Sends whoever lacks a second factor that is asked of them to setting one up.

    A clinic that begins to ask for one, and a factor that an administrator took away, reach open
    sessions within a minute.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Go on; see :meth:`process_view`."""
        return self.get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        view: Any,
        args: Any,  # noqa: ARG002 - Django's signature
        kwargs: Any,  # noqa: ARG002
    ) -> HttpResponseBase | None:
        """Let nothing else through; pages that need no sign-in stay open."""
        match = request.resolver_match
        if (
            not request.user.is_authenticated
            or not getattr(view, "login_required", True)
            or (match and match.view_name in _SETTING_UP)
        ):
            return None
        now = int(time.time())
        if now - request.session.get(_FINE, 0) < _NOTE_EVERY:
            return None
        if not lacks_second_factor(request.user):
            request.session[_FINE] = now
            return None
        messages.warning(
            request,
            _("Set up a second factor first: your role or your clinic asks for one."),
        )
        return redirect("mfa_index")
