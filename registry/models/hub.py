"""The hub itself."""

from __future__ import annotations

import uuid

from django.db import models


class Hub(models.Model):
    """This hub: one row at most, made when it is first asked for.

    ``identity`` goes wherever the rows go, to another database and through a backup, and tells
    this hub from every other that has the same address, folder or name.
    """

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    identity = models.UUIDField(default=uuid.uuid4)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """There is one."""

        constraints = [
            models.CheckConstraint(name="hub_is_one", condition=models.Q(id=1)),
        ]

    def __str__(self) -> str:
        return self.identity.hex
