"""What lesions turned out to be."""

from django.urls import URLPattern, path

from classifier.views import outcomes

urlpatterns: list[URLPattern] = [
    path("outcomes/", outcomes.outcome_figures_page, name="outcome_figures"),
    path("lesions/<uuid:pk>/outcome/", outcomes.lesion_outcome, name="lesion_outcome"),
    path("lesions/<uuid:pk>/outcome/new/", outcomes.outcome_record, name="outcome_record"),
    path("lesions/<uuid:pk>/outcome/withdraw/", outcomes.outcome_withdraw, name="outcome_withdraw"),
]
