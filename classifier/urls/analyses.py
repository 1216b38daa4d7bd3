"""Results, readings and reviews."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
