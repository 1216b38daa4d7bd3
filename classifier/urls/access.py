"""Emergency access, and the person's own settings."""

from django.urls import URLPattern, path

from classifier.views import break_glass, preferences

urlpatterns: list[URLPattern] = [
    path("preferences/", preferences.preferences, name="preferences"),
    path("emergency/", break_glass.break_glass_list, name="break_glass_list"),
    path("emergency/new/", break_glass.break_glass_create, name="break_glass_create"),
    path("emergency/<uuid:pk>/end/", break_glass.break_glass_end, name="break_glass_end"),
]
