"""Uploads and their parts, and uploads by Xet that wait for the list of their pieces."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from registry.models.blob import SHA256, Blob
from registry.models.choices import UploadState
from registry.models.token import AccessToken
from registry.names import MAX_PATH


class Upload(models.Model):
    """A file that is received and checked. A version makes it a ``File``.

    ``storage_key`` is private to this upload, so two uploads of the same bytes never share
    a name before the digest is known.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="uploads"
    )
    # The bound token that created it; a bound token sees only its own uploads.
    token = models.ForeignKey(
        AccessToken, on_delete=models.SET_NULL, related_name="uploads", null=True, blank=True
    )
    path = models.CharField(max_length=MAX_PATH)
    size_bytes = models.PositiveBigIntegerField()
    part_bytes = models.PositiveIntegerField()
    declared_sha256 = models.CharField(max_length=64, blank=True)
    # Computed while a whole body was received, otherwise by the checks.
    sha256 = models.CharField(max_length=64, blank=True)
    # Anatomy from the quick checks; stored until the file is accepted or refused.
    anatomy = models.JSONField(null=True, blank=True)
    storage_key = models.CharField(max_length=64, unique=True)
    state = models.CharField(max_length=16, choices=UploadState, default=UploadState.RECEIVING)
    blob = models.ForeignKey(
        Blob, on_delete=models.PROTECT, related_name="uploads", null=True, blank=True
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    expires_at = models.DateTimeField()

    class Meta:
        """Accepted uploads have a blob; declared digests are hex; indexes serve quotas."""

        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                name="upload_accepted_has_blob",
                condition=~Q(state=UploadState.ACCEPTED) | Q(blob__isnull=False),
            ),
            models.CheckConstraint(
                name="upload_declared_is_hex",
                condition=Q(declared_sha256="") | Q(declared_sha256__regex=SHA256),
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "state"], name="upload_by_owner_and_state"),
            models.Index(
                fields=["owner", "blob"],
                condition=Q(blob__isnull=False),
                name="upload_with_bytes_by_owner",
            ),
            models.Index(fields=["state", "size_bytes"], name="upload_sizes_by_state"),
        ]

    def __str__(self) -> str:
        return f"{self.path} ({self.state})"

    @property
    def part_count(self) -> int:
        """Number of parts the file is sent in."""
        return max(1, -(-self.size_bytes // self.part_bytes))

    @property
    def state_now(self) -> str:
        """The state; from the deadline on ``expired``, even before the sweeper has run."""
        is_late = self.state == UploadState.RECEIVING and self.expires_at <= timezone.now()
        return UploadState.EXPIRED if is_late else self.state

    @property
    def digest(self) -> str:
        """The computed digest, or the declared one until then; "" without either."""
        return self.sha256 or self.declared_sha256

    @property
    def is_whole(self) -> bool:
        """Whether every part was received."""
        return self.parts.count() == self.part_count


class UploadPart(models.Model):
    """A stored part; numbers start at 1.

    ``sha256`` is empty if the part was sent directly to a bucket; ``tag`` is its name there.
    """

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    size_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64, blank=True)
    # During an update, processes of the previous release write rows without this column.
    tag = models.CharField(max_length=128, blank=True, default="", db_default="")
    created_at = models.DateTimeField(auto_now=True)

    class Meta:
        """One row per part, even if it was sent twice."""

        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["upload", "number"], name="upload_part_once"),
        ]

    def __str__(self) -> str:
        return f"{self.upload_id}#{self.number}"


class XetSession(models.Model):
    """The uploads of one client with one URL, to any web server of the hub.

    User and adapter are no foreign keys: the row names bytes that are deleted when it is idle.
    ``written_bytes`` are the bytes of files that were written from its xorbs, refused ones too.
    """

    user_id = models.IntegerField()
    adapter_id = models.IntegerField()
    name = models.CharField(max_length=32)
    written_bytes = models.PositiveBigIntegerField(default=0)
    touched_at = models.DateTimeField(db_index=True)

    class Meta:
        """A name belongs to its user and adapter."""

        constraints = [
            models.UniqueConstraint(
                fields=["user_id", "adapter_id", "name"], name="xet_session_once"
            )
        ]

    def __str__(self) -> str:
        return self.name


class XetXorb(models.Model):
    """A xorb under a private key of the store.

    ``offsets`` has the offset of each chunk and the end of the last one, as u32 in little endian;
    it is None while the xorb is received.
    """

    session = models.ForeignKey(XetSession, models.CASCADE, related_name="xorbs")
    name = models.CharField(max_length=64)
    key = models.CharField(max_length=32, unique=True)
    size_bytes = models.PositiveBigIntegerField()
    offsets = models.BinaryField(null=True)

    def __str__(self) -> str:
        return self.name
