"""The figures page."""

from django.urls import URLPattern, path

from classifier.views import figures

urlpatterns: list[URLPattern] = [
    path("figures/", figures.figures, name="figures"),
]
