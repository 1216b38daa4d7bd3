"""Uploads and image bytes."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
