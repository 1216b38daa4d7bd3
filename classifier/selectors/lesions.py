"""Reads about one lesion: how often it was photographed, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Count, Max, Min
from django.db.models.functions import Coalesce

from classifier.models import Lesion

if TYPE_CHECKING:
    from classifier.models.patients import LesionQuerySet


def lesions_with_span() -> LesionQuerySet:
    """Return lesions with ``pictures``, ``oldest`` and ``newest``.

    That is how many images there are, and when the first and the last was taken, or sent where
    nobody knows; None without any. The patient and the clinic come along.
    """
    moment = Coalesce("images__taken_at", "images__created_at")
    return (
        Lesion.objects.select_related("patient", "clinic")
        .defer("patient__notes", "patient__search_text")
        .annotate(pictures=Count("images"), oldest=Min(moment), newest=Max(moment))
    )
