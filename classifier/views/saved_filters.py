"""A person's saved filters: keeping one, opening it, renaming and removing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier.choices import FilteredPage
from classifier.forms.saved_filters import (
    FilterNameForm,
    filter_form,
    kept_values,
    names_patient,
    usable,
)
from classifier.models import SavedFilter
from classifier.selectors.saved_filters import saved_links
from classifier.services.errors import RuleError
from classifier.services.saved_filters import (
    MOST_FILTERS,
    remove_filter,
    rename_filter,
    save_filter,
)
from classifier.views.access import person
from classifier.views.patients import add_rule_error
from classifier.views.undo import done

if TYPE_CHECKING:
    import uuid

    from django.http import HttpRequest, HttpResponse

    from classifier.forms.saved_filters import FilterForm
    from classifier.models import User

_UNPROCESSABLE = 422


def saving_context(user: User, page: str, form: FilterForm) -> dict[str, Any]:
    """Return what ``lists/_saved.html`` shows above a list: saved filters, and what can be saved.

    Args:
        user: who looks at the list.
        page: a value of ``FilteredPage``.
        form: the list's filter.
    """
    query = kept_values(page, form) if form.is_valid() else {}
    links = saved_links(user, page=page, query=query)
    known = any(link.is_open for link in links)
    return {
        "filtered_page": page,
        "saved_filters": links,
        # The tab alone is a link already.
        "filter_to_save": urlencode(query) if form.active and query and not known else "",
        "name_form": FilterNameForm(auto_id="id_saved_%s"),
        "names_patient": names_patient(form),
        "most_filters": MOST_FILTERS,
    }


@require_safe
def saved_filter_list(request: HttpRequest) -> HttpResponse:
    """List the person's filters with what can be done to them."""
    user = person(request)
    # Ordered as they stand above their lists.
    rows = SavedFilter.objects.visible_to(user).order_by("-page", "created_at", "id")
    return render(request, "lists/saved_filters.html", {"rows": rows})


@require_http_methods(["GET", "HEAD", "POST"])
def saved_filter_create(request: HttpRequest) -> HttpResponse:
    """Keep the filter of a list; ``page`` and ``filter`` (its address's query) say which."""
    user = person(request)
    sent = request.method == "POST"
    data = request.POST if sent else request.GET
    page = data.get("page", "")
    if page not in FilteredPage.values:
        return redirect("saved_filter_list")
    filters = filter_form(page, QueryDict(data.get("filter", "")), user)
    query = kept_values(page, filters) if filters.is_valid() else {}
    form = FilterNameForm(request.POST if sent else None)
    if sent and form.is_valid():
        try:
            saved = save_filter(by=user, page=page, name=form.cleaned_data["name"], query=query)
        except RuleError as error:
            add_rule_error(form, error)
        else:
            told = _("Saved as “%(name)s”.") % {"name": saved.name}
            if names_patient(filters) or data.get("unnamed"):
                left_out = _("The search for a patient is not part of it.")
                told = f"{told} {left_out}"
            messages.success(request, told)
            return redirect(f"{reverse(page)}?{urlencode(query)}")
    context = {
        "form": form,
        "page": page,
        "filter": urlencode(query),
        "list_url": f"{reverse(page)}?{urlencode(query)}",
    }
    status = _UNPROCESSABLE if form.errors else 200
    return render(request, "lists/saved_filter_form.html", context, status=status)


@require_safe
def saved_filter_open(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Lead to the list as the filter shows it, and say what of it means nothing any more."""
    user = person(request)
    saved = _own_or_404(user, pk)
    found = usable(saved, user)
    if found.left_out:
        messages.warning(
            request,
            _(
                "“%(name)s” was saved with fields that mean nothing any more: %(fields)s. They are "
                "left out, so that the list may show more than it did."
            )
            % {"name": saved.name, "fields": ", ".join(found.left_out)},
        )
    query = f"?{urlencode(found.query)}" if found.query else ""
    return redirect(reverse(saved.page) + query)


@require_http_methods(["GET", "HEAD", "POST"])
def saved_filter_rename(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Give a filter another name."""
    saved = _own_or_404(person(request), pk)
    sent = request.method == "POST"
    form = FilterNameForm(request.POST if sent else None, initial={"name": saved.name})
    if sent and form.is_valid():
        try:
            new = rename_filter(saved=saved, name=form.cleaned_data["name"])
        except RuleError as error:
            add_rule_error(form, error)
        else:
            told, to = _("The filter has its new name."), reverse("saved_filter_list")
            names = {"name": saved.name, "seen": new}
            return done(request, told, to, "filter_renamed", key=saved.pk, **names)
    status = _UNPROCESSABLE if form.errors else 200
    context = {"form": form, "saved": saved}
    return render(request, "lists/saved_filter_form.html", context, status=status)


@require_POST
def saved_filter_remove(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Remove a filter."""
    saved = _own_or_404(person(request), pk)
    remove_filter(saved=saved)
    return done(
        request,
        _("“%(name)s” is removed.") % {"name": saved.name},
        reverse("saved_filter_list"),
        "filter_removed",
        key=saved.pk,
        page=saved.page,
        name=saved.name,
        query=saved.query,
        created_at=saved.created_at.isoformat(),
    )


def _own_or_404(user: User, pk: uuid.UUID) -> SavedFilter:
    return get_object_or_404(SavedFilter.objects.visible_to(user), pk=pk)
