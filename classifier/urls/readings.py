"""Second readings."""

from django.urls import URLPattern, path

from classifier.views import second_readings

urlpatterns: list[URLPattern] = [
    path("readings/", second_readings.second_reading_list, name="second_reading_list"),
    path(
        "analyses/<uuid:pk>/second-reading/",
        second_readings.second_reading_request,
        name="second_reading_request",
    ),
    path(
        "readings/<uuid:pk>/withdraw/",
        second_readings.second_reading_withdraw,
        name="second_reading_withdraw",
    ),
]
