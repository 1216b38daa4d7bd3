"""Emergency access, the person's own settings, and Undo."""

from django.urls import URLPattern, path

from classifier.views import break_glass, preferences, undo

urlpatterns: list[URLPattern] = [
    path("preferences/", preferences.preferences, name="preferences"),
    path("undo/", undo.undo, name="undo"),
    path("emergency/", break_glass.break_glass_list, name="break_glass_list"),
    path("emergency/new/", break_glass.break_glass_create, name="break_glass_create"),
    path("emergency/<uuid:pk>/end/", break_glass.break_glass_end, name="break_glass_end"),
]
