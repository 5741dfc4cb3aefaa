"""The second factor of a session: whether a hub requires it, and whether it was given."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django_otp.middleware import OTPMiddleware

from registry.models import User


class SecondFactorMiddleware(OTPMiddleware):  # type: ignore[misc] # not typed
    """Sets ``awaits_second_factor`` of a user in a session, when the user is first read."""

    def _verify_user_sync(
        self, request: HttpRequest, user: User | AnonymousUser
    ) -> User | AnonymousUser:
        verified: User | AnonymousUser = super()._verify_user_sync(request, user)
        if settings.LORARY.staff_totp and isinstance(verified, User) and verified.is_staff:
            verified.awaits_second_factor = getattr(verified, "otp_device", None) is None
        return verified
