"""Results, readings and reviews."""

from django.urls import URLPattern, path

from classifier.views import analyses, reviews, similar

urlpatterns: list[URLPattern] = [
    path("analyses/<uuid:pk>/", analyses.analysis_detail, name="analysis_detail"),
    path("analyses/<uuid:pk>/status/", analyses.analysis_status, name="analysis_status"),
    path("analyses/<uuid:pk>/map/<slug:label>/", analyses.analysis_map, name="analysis_map"),
    path("analyses/<uuid:pk>/similar/", similar.analysis_similar, name="analysis_similar"),
    path("analyses/<uuid:pk>/reading/", reviews.reading_create, name="reading_create"),
    path("analyses/<uuid:pk>/review/", reviews.review_create, name="review_create"),
    path("analyses/<uuid:pk>/retry/", analyses.analysis_retry, name="analysis_retry"),
    path("analyses/<uuid:pk>/cancel/", analyses.analysis_cancel, name="analysis_cancel"),
    path("analyses/<uuid:pk>/modality/", analyses.analysis_modality, name="analysis_modality"),
]
