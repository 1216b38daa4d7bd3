"""The language of the pages: the account's own choice, else the browser's.

A workplace is shared: what one person chose must not stay for the next who signs in there, and
what a person chose must follow them to the next workplace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import translation
from django.views.decorators.http import require_POST
from django.views.i18n import LANGUAGE_QUERY_PARAMETER, set_language

GetResponse = Callable[[HttpRequest], HttpResponse]


class AccountLanguageMiddleware:
    """Speaks the language that a signed-in person has chosen, whatever the browser asks for."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on; whose it is may not be known yet."""
        return self.get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        _view: Callable[..., HttpResponseBase],
        _args: Any,
        _kwargs: Any,
    ) -> None:
        """Switch before anything of the page is written."""
        if request.user.is_authenticated and request.user.language:
            translation.activate(request.user.language)
            request.LANGUAGE_CODE = request.user.language


@login_not_required
@require_POST
def choose_language(request: HttpRequest) -> HttpResponseBase:
    """Keep the language with the account of whoever is signed in, else in this browser.

    A language that is not offered changes nothing. The answer leads back to where the person was.
    """
    chosen = request.POST.get(LANGUAGE_QUERY_PARAMETER, "")
    response = set_language(request)
    if request.user.is_authenticated:
        response.cookies.pop(settings.LANGUAGE_COOKIE_NAME, None)
        if chosen in dict(settings.LANGUAGES):
            get_user_model().objects.filter(pk=request.user.pk).update(language=chosen)
    return response
