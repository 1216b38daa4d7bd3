"""Application configurations of the wiring package."""

import importlib

from django.contrib.admin.apps import AdminConfig

from skinapp.databases import plan_quickly


class SkinappAdminConfig(AdminConfig):
    """Replaces the stock admin site by the branded one, connects Celery and tunes PostgreSQL."""

    default_site = "skinapp.admin_site.SkinappAdminSite"

    def ready(self) -> None:
        """Load the Celery application, so that tasks published by web know their broker."""
        importlib.import_module("skinapp.celery")
        plan_quickly()
        super().ready()
