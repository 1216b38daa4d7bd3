"""Worklist, history and its CSV."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
