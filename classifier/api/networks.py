"""The registered networks, and what a token may do.

Annotations are read at run time here, so there is no ``from __future__ import annotations``.
"""

import uuid
from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router

from classifier.api.auth import Token, token_of
from classifier.api.schemas import LabelOut, ModelList, ModelOut, TokenFacts
from classifier.choices import Scope
from classifier.models import LabelSet, ModelVersion
from mlcore.labels import label_set

router = Router(tags=["Networks"])
own = Router(tags=["Token"])


@own.get("/token", response=TokenFacts, auth=Token(), url_name="token", summary="Ask about itself")
def get_token(request: HttpRequest) -> Any:
    """Return what the token of this request may do, where and until when."""
    token = token_of(request)
    return TokenFacts(
        token=token.pk,
        name=token.name,
        person=str(token.user),
        clinic=token.clinic_id,
        clinic_name=token.clinic.name,
        scopes=[Scope(scope) for scope in token.scopes],
        expires_at=token.expires_at,
    )


def _told(version: ModelVersion) -> ModelOut:
    return ModelOut(
        id=version.pk,
        label_set=LabelSet(version.label_set),
        version=version.version,
        active=version.active,
        artefact_sha256=version.artefact_sha256,
        registered_at=version.registered_at,
        activated_at=version.activated_at,
        labels=[
            LabelOut(
                label=label.key, name=label.name, icd10=label.icd10, triage_group=label.triage_group
            )
            for label in label_set(version.label_set).labels
        ],
    )


@router.get(
    "/models", response=ModelList, auth=Token(Scope.READ), url_name="models", summary="List"
)
def list_models(request: HttpRequest) -> Any:
    """List all networks, the active ones among them."""
    return ModelList(
        items=[_told(version) for version in ModelVersion.objects.defer("manifest", "metrics")]
    )


@router.get(
    "/models/{uuid:version}",
    response=ModelOut,
    auth=Token(Scope.READ),
    url_name="model",
    summary="Get",
)
def get_model(request: HttpRequest, version: uuid.UUID) -> Any:
    """Return one network."""
    return _told(get_object_or_404(ModelVersion.objects.defer("manifest", "metrics"), pk=version))
