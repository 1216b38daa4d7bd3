"""Undo: a button beside the sentence that says what was done.

What it takes to go back lies in the session, so that it is the person's own, ends with the
sign-in and can be used once; the page holds a key to it. Whether it can still be undone is
decided by the row (``classifier.services.undo``).
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.shortcuts import redirect, resolve_url
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from classifier.services.errors import RuleError
from classifier.services.undo import DEEDS, take_back
from classifier.views.access import person

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

# Long enough to read the sentence and be called away; nobody relies on the change by then.
UNDO_SECONDS = 600
# In several tabs, more than one may wait; what is older is settled.
_MOST = 5
_HELD = "undo"


def done(request: HttpRequest, sentence: str, to: Any, deed: str, **facts: Any) -> HttpResponse:
    """Say what was done, with a button that takes it back, and lead on.

    Args:
        request: the one that did it.
        sentence: what was done.
        to: where the person is led, now and when they take it back, as ``redirect`` takes it.
        deed: a key of ``classifier.services.undo.DEEDS``.
        facts: what that deed needs, ``key`` of its row among it, and no patient's name.
    """
    assert deed in DEEDS  # noqa: S101 - a slip in the code, not of the person
    key = secrets.token_urlsafe(16)
    held = _standing(request)
    held[key] = {
        "deed": deed,
        "facts": facts | {"key": str(facts["key"])},
        "until": time.time() + UNDO_SECONDS,
        "back": resolve_url(to),
        "who": str(person(request).pk),
    }
    request.session[_HELD] = dict(list(held.items())[-_MOST:])
    # The message's tag: ``components/messages.html`` makes the button of it.
    messages.success(request, sentence, extra_tags=key)
    return redirect(to)


@require_POST
def undo(request: HttpRequest) -> HttpResponse:
    """Take back what the key stands for, once."""
    user = person(request)
    held = _standing(request)
    offered = held.pop(request.POST.get("key", ""), None)
    request.session[_HELD] = held
    if offered is None or offered["who"] != str(user.pk):
        messages.error(request, _("It is too late to undo this, or it was undone already."))
        return redirect("worklist")
    try:
        told = take_back(deed=offered["deed"], facts=offered["facts"], by=user)
    except RuleError as error:
        messages.error(request, _("This cannot be undone any more. %(why)s") % {"why": error})
    else:
        messages.success(request, told)
    return redirect(offered["back"])


def _standing(request: HttpRequest) -> dict[str, Any]:
    """Return what may still be undone, oldest first."""
    now = time.time()
    return {
        key: offered
        for key, offered in request.session.get(_HELD, {}).items()
        if offered["until"] > now and offered["deed"] in DEEDS
    }
