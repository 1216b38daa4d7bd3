"""Django's entry to the application."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ClassifierConfig(AppConfig):
    """The one application of the project."""

    name = "classifier"
    verbose_name = _("Skinapp")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Listen for sign-ins and for what people do to their passwords and second factors."""
        from allauth.mfa import signals  # noqa: PLC0415 - models are not loaded any earlier

        from classifier import accounts, sign_ins  # noqa: PLC0415

        signals.authenticator_added.connect(accounts.on_factor_added)
        signals.authenticator_removed.connect(accounts.on_factor_removed)
        signals.authenticator_reset.connect(accounts.on_factor_reset)
        sign_ins.connect()
