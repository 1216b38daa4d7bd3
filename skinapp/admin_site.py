"""The branded admin site."""

from allauth.account.decorators import secure_admin_login
from django.contrib.admin import AdminSite
from django.utils.translation import gettext_lazy as _


class SkinappAdminSite(AdminSite):
    """Stock admin that signs in through the application's own page, throttle and second factor."""

    site_header = _("Skinapp administration")
    site_title = _("Skinapp")
    index_title = _("Administration")
    login = secure_admin_login(AdminSite.login)
