"""Emergency access."""

from django.urls import URLPattern, path

from classifier.views import break_glass

urlpatterns: list[URLPattern] = [
    path("emergency/", break_glass.break_glass_list, name="break_glass_list"),
    path("emergency/new/", break_glass.break_glass_create, name="break_glass_create"),
    path("emergency/<uuid:pk>/end/", break_glass.break_glass_end, name="break_glass_end"),
]
