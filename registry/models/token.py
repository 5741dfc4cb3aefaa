"""Access tokens for programs, and requests for them that a person confirms on the site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils import timezone

from registry.models.namespace import Namespace

if TYPE_CHECKING:
    from registry.models.adapter import Adapter


class AccessToken(models.Model):
    """A secret, stored as its sha256; ``prefix`` is shown so that people recognise it.

    ``namespace`` or ``adapter`` is what the token is bound to, ``parent`` the token that made it.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="access_tokens"
    )
    parent = models.ForeignKey(
        "self", on_delete=models.CASCADE, related_name="children", null=True, blank=True
    )
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    namespace = models.ForeignKey(
        Namespace, on_delete=models.CASCADE, related_name="access_tokens", null=True, blank=True
    )
    adapter = models.ForeignKey(
        "registry.Adapter",
        on_delete=models.CASCADE,
        related_name="access_tokens",
        null=True,
        blank=True,
    )
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Newest first; a token is bound to one thing at most."""

        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                name="token_bound_once",
                condition=models.Q(namespace=None) | models.Q(adapter=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_expired(self) -> bool:
        """Whether the token has expired."""
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def is_revoked(self) -> bool:
        """Whether the token, or the one that created it, was revoked."""
        parent = self.parent
        return self.revoked_at is not None or (parent is not None and parent.is_revoked)

    @property
    def is_live(self) -> bool:
        """Neither revoked nor expired."""
        return not self.is_revoked and not self.is_expired

    @property
    def is_bound(self) -> bool:
        """Whether the token is bound to a namespace or an adapter."""
        return self.namespace_id is not None or self.adapter_id is not None

    @property
    def bound_to(self) -> str:
        """``owner`` or ``owner/name``; empty if the token is not bound."""
        if self.adapter is not None:
            return self.adapter.full_name
        return self.namespace.name if self.namespace is not None else ""

    @property
    def granted(self) -> list[str]:
        """Effective scopes: ``admin`` includes the others, and only works for staff."""
        scopes: list[str] = list(self.scopes)
        if "admin" not in scopes:
            return scopes
        return ["read", "write", "admin"] if self.user.is_staff else ["read", "write"]

    def covered(self, path: str = "") -> models.Q:
        """Return the condition for rows about adapters that the token may be used for.

        Args:
            path: Lookup from the rows to the adapter; empty if the rows are adapters.
        """
        if self.adapter_id is not None:
            return models.Q(**{path or "pk": self.adapter_id})
        if self.namespace_id is not None:
            return models.Q(**{f"{path}__namespace" if path else "namespace": self.namespace_id})
        return models.Q()

    def covered_packs(self) -> models.Q:
        """Return the condition for packs that the token may be used for."""
        if self.adapter_id is not None:
            return models.Q(pk__in=[])
        return models.Q() if self.namespace_id is None else models.Q(namespace=self.namespace_id)

    def covers(self, namespace: Namespace, adapter: Adapter | None = None) -> bool:
        """Whether the token may be used for an adapter, or if None, for the whole namespace."""
        if self.adapter_id is not None:
            return adapter is not None and adapter.pk == self.adapter_id
        return self.namespace_id in {None, namespace.pk}


class DeviceLogin(models.Model):
    """A program that waits until a person allows it a token (RFC 8628).

    The codes are stored as digests. The token is created when the program collects it, so no secret
    is stored meanwhile. ``client`` and ``device`` are what the program says of itself.
    """

    class State(models.TextChoices):
        """What the person decided."""

        PENDING = "pending", "Pending"
        ALLOWED = "allowed", "Allowed"
        DENIED = "denied", "Denied"

    device_digest = models.CharField(max_length=64, unique=True)
    user_digest = models.CharField(max_length=64, unique=True)
    client = models.CharField(max_length=40)
    device = models.CharField(max_length=64, blank=True)
    scopes = models.JSONField(default=list)
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="device_logins",
        null=True,
        blank=True,
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)
    polled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Somebody has decided, or it is pending."""

        constraints = [
            models.CheckConstraint(
                name="device_login_decided_by_user",
                condition=models.Q(state="pending", user=None)
                | models.Q(state__in=["allowed", "denied"], user__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label}: {self.state}"

    @property
    def label(self) -> str:
        """Name of the token that it asks for."""
        name = f"{self.client} login on {self.device}" if self.device else f"{self.client} login"
        return name[:80]
