"""The hub itself."""

from __future__ import annotations

import uuid

from django.db import models


class Hub(models.Model):
    """This hub: at most one row, created when it is first needed.

    ``identity`` moves with the rows to another database or through a backup, and distinguishes this
    hub from others with the same address, folder or name.
    """

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    identity = models.UUIDField(default=uuid.uuid4)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """There is only one row."""

        constraints = [
            models.CheckConstraint(name="hub_is_one", condition=models.Q(id=1)),
        ]

    def __str__(self) -> str:
        return self.identity.hex
