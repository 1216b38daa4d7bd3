"""Worklist, history and its CSV."""

from django.urls import URLPattern, path

from classifier.views import lists

urlpatterns: list[URLPattern] = [
    path("", lists.worklist_page, name="worklist"),
    path("history/", lists.history_page, name="history"),
    path("history/export.csv", lists.history_csv, name="history_csv"),
]
