"""Namespaces of users and organisations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from registry.models.choices import WRITING_ROLES, NamespaceKind, Role
from registry.names import MAX_NAME

if TYPE_CHECKING:
    from registry.models.user import User


class Namespace(models.Model):
    """The ``owner`` in ``owner/name``, with a quota in bytes (null: the hub's default)."""

    kind = models.CharField(max_length=16, choices=NamespaceKind, default=NamespaceKind.USER)
    name = models.CharField(max_length=MAX_NAME)
    key = models.CharField(max_length=MAX_NAME, unique=True)
    display_name = models.CharField(max_length=120, blank=True)
    about = models.TextField(blank=True)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="namespace",
        null=True,
        blank=True,
    )
    quota_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    used_bytes = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """A user's namespace has a user; an organisation's has none."""

        constraints = [
            models.CheckConstraint(
                name="namespace_user_fits_kind",
                condition=models.Q(kind=NamespaceKind.USER, user__isnull=False)
                | models.Q(kind=NamespaceKind.ORGANISATION, user__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def is_home_of(self, user: User) -> bool:
        """Whether the user owns it or is a member."""
        return bool(self.user_id == user.pk) or self.memberships.filter(user=user).exists()

    def is_writable_by(self, user: User) -> bool:
        """Whether the user may publish here."""
        if self.user_id is not None:
            return bool(self.user_id == user.pk)
        return self.memberships.filter(user=user, role__in=WRITING_ROLES).exists()


class NamespaceName(models.Model):
    """Every name a namespace ever had; old ones redirect and are never reused by others."""

    namespace = models.ForeignKey(Namespace, on_delete=models.PROTECT, related_name="names")
    key = models.CharField(max_length=MAX_NAME, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """The key is unique."""

        verbose_name = _("namespace name")

    def __str__(self) -> str:
        return self.key


class Membership(models.Model):
    """A user's role in an organisation."""

    namespace = models.ForeignKey(Namespace, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=8, choices=Role, default=Role.READ)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """A user has one role in an organisation."""

        constraints = [
            models.UniqueConstraint(fields=["namespace", "user"], name="membership_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.namespace_id}: {self.role}"
