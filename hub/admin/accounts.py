"""Accounts, owners, tokens and second factors."""

from __future__ import annotations

from django.contrib.admin import AdminSite, action
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_totp.models import TOTPDevice

from hub.admin.rows import ReasonForm, Rows, each, reason_of
from registry.accounts import disabling, second_factor
from registry.models import AccessToken, DeviceLogin, Membership, Namespace, NamespaceName, User
from registry.tokens import services as tokens


class Users(Rows):
    """Accounts."""

    date_hierarchy = "date_joined"
    list_display = ("username", "email", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "date_joined", "last_login", "deleted_at")
    search_fields = ("username__istartswith", "email__istartswith")
    action_form = ReasonForm
    actions = ("disable", "enable", "revoke_tokens", "remove_second_factor")

    @action(description=_("Disable, with the reason entered here"))
    def disable(self, request: HttpRequest, rows: QuerySet[User]) -> None:
        """Disable accounts."""
        reason = reason_of(request)
        each(request, rows, lambda me, row: disabling.disable(actor=me, user=row, reason=reason))

    @action(description=_("Enable"))
    def enable(self, request: HttpRequest, rows: QuerySet[User]) -> None:
        """Enable accounts."""
        each(request, rows, lambda me, row: disabling.enable(actor=me, user=row))

    @action(description=_("Revoke all tokens"))
    def revoke_tokens(self, request: HttpRequest, rows: QuerySet[User]) -> None:
        """Revoke the tokens of accounts."""
        each(request, rows, lambda me, row: bool(tokens.revoke_all_of(actor=me, user=row)))

    @action(description=_("Remove the second factor"))
    def remove_second_factor(self, request: HttpRequest, rows: QuerySet[User]) -> None:
        """Remove second factors."""
        each(request, rows, lambda me, row: second_factor.reset(actor=me, user=row))


class Namespaces(Rows):
    """Owners."""

    date_hierarchy = "created_at"
    list_display = ("name", "kind", "user", "quota_bytes", "used_bytes", "created_at")
    list_filter = ("kind", "created_at")
    search_fields = ("key__istartswith", "display_name__istartswith")


class Names(Rows):
    """Names of owners, current and former."""

    list_display = ("key", "namespace", "created_at")


class Memberships(Rows):
    """Members of organisations."""

    date_hierarchy = "created_at"
    list_display = ("namespace", "user", "role", "created_at")
    search_fields = ("namespace__key__istartswith", "user__username__istartswith")


class Tokens(Rows):
    """Access tokens, without their secrets."""

    date_hierarchy = "created_at"
    list_display = (
        "name",
        "prefix",
        "user",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    list_filter = ("created_at", "last_used_at", "revoked_at")
    search_fields = ("name__istartswith", "prefix__exact", "user__username__istartswith")


class DeviceLogins(Rows):
    """Programs that wait for a confirmation."""

    list_display = ("client", "device", "state", "user", "created_at", "expires_at")
    search_fields = ("client__istartswith", "user__username__istartswith")


class SecondFactors(Rows):
    """Authenticator apps of administrators, without their keys."""

    list_display = ("user", "name", "confirmed", "created_at", "last_used_at")
    list_filter = ("confirmed",)
    search_fields = ("user__username__istartswith",)
    fields = ("user", "name", "confirmed", "created_at", "last_used_at")


def register(site: AdminSite) -> None:
    """Register the lists."""
    site.register(User, Users)
    site.register(Namespace, Namespaces)
    site.register(NamespaceName, Names)
    site.register(Membership, Memberships)
    site.register(AccessToken, Tokens)
    site.register(DeviceLogin, DeviceLogins)
    site.register(TOTPDevice, SecondFactors)
