"""Worklist, history and its CSV; saved filters of both."""

from django.urls import URLPattern, path

from classifier.views import lists, saved_filters

urlpatterns: list[URLPattern] = [
    path("", lists.worklist_page, name="worklist"),
    path("history/", lists.history_page, name="history"),
    path("history/export.csv", lists.history_csv, name="history_csv"),
    path("filters/", saved_filters.saved_filter_list, name="saved_filter_list"),
    path("filters/new/", saved_filters.saved_filter_create, name="saved_filter_create"),
    path("filters/<uuid:pk>/", saved_filters.saved_filter_open, name="saved_filter_open"),
    path(
        "filters/<uuid:pk>/rename/", saved_filters.saved_filter_rename, name="saved_filter_rename"
    ),
    path(
        "filters/<uuid:pk>/remove/", saved_filters.saved_filter_remove, name="saved_filter_remove"
    ),
]
