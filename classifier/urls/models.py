"""Networks and comparisons of them."""

from django.urls import URLPattern, path

from classifier.views import models, reruns

urlpatterns: list[URLPattern] = [
    path("models/", models.model_version_list, name="model_version_list"),
    path("models/<uuid:pk>/", models.model_version_detail, name="model_version_detail"),
    path(
        "models/<uuid:pk>/activate/", models.model_version_activate, name="model_version_activate"
    ),
    path(
        "models/<uuid:pk>/roll-back/",
        models.model_version_roll_back,
        name="model_version_roll_back",
    ),
    path("models/<uuid:pk>/compare/", reruns.rerun_create, name="rerun_create"),
    path("comparisons/<uuid:pk>/", reruns.rerun_detail, name="rerun_detail"),
    path("comparisons/<uuid:pk>/cancel/", reruns.rerun_cancel, name="rerun_cancel"),
    path("comparisons/<uuid:pk>/cases.csv", reruns.rerun_csv, name="rerun_csv"),
]
