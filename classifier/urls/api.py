"""The REST API, its schema and its page; tokens and webhooks."""

from django.urls import URLPattern, URLResolver, include, path

from classifier.api.app import addresses
from classifier.views import api, tokens, webhooks

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include((addresses(), "api"), namespace="api")),
    path("api/v1/openapi.json", api.api_schema, name="api_schema"),
    path("api/v1/docs/", api.api_docs, name="api_docs"),
    path("tokens/", tokens.token_list, name="token_list"),
    path("tokens/new/", tokens.token_create, name="token_create"),
    path("tokens/<uuid:pk>/revoke/", tokens.token_revoke, name="token_revoke"),
    path("webhooks/", webhooks.webhook_list, name="webhook_list"),
    path("webhooks/new/", webhooks.webhook_create, name="webhook_create"),
    path("webhooks/<uuid:pk>/end/", webhooks.webhook_end, name="webhook_end"),
    path("webhooks/messages/<uuid:pk>/again/", webhooks.webhook_again, name="webhook_again"),
]
