"""Who must have a second factor, and who lacks it."""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from classifier.models import Membership, User

# Recovery codes alone are no factor: they stand in for one that is away.
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def lacks_second_factor(user: User) -> bool:
    """Tell whether the person must set up a second factor before anything else; one query.

    It is asked of staff and superusers where ``SECOND_FACTOR_FOR_STAFF`` is set (always in
    production), and of everybody who works in a clinic that asks for it.
    """
    strict = Membership.objects.filter(user=OuterRef("pk"), clinic__second_factor_required=True)
    asked = Q(Exists(strict))
    if settings.SECOND_FACTOR_FOR_STAFF:
        asked |= Q(is_staff=True) | Q(is_superuser=True)
    factors = Authenticator.objects.filter(user=OuterRef("pk"), type__in=FACTORS)
    return User.objects.filter(asked, ~Exists(factors), pk=user.pk).exists()
