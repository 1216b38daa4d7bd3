"""Django's entry to the application."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ClassifierConfig(AppConfig):
    """The one application of the project."""

    name = "classifier"
    verbose_name = _("Skinapp")
    default_auto_field = "django.db.models.BigAutoField"
