"""Uploads by Xet that wait for the list of their pieces."""

from __future__ import annotations

from django.db import models


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
