"""Addresses of the clinic's pages. Identifiers are UUIDs; a stranger's is a 404."""

from django.urls import path

urlpatterns: list[object] = []
