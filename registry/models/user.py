"""Users, and counted attempts at limited actions such as signing in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from registry.models.choices import Maturity
from registry.names import MAX_NAME

if TYPE_CHECKING:
    from registry.models.token import AccessToken


class User(AbstractUser):
    """An account; its adapters are in its ``namespace``.

    ``username`` follows the rules of ``registry.names``, which are stricter than Django's.
    """

    #: The token of the current request; None for a session or a task.
    access_token: AccessToken | None = None
    #: Whether the session lacks the second factor that this hub requires of staff.
    awaits_second_factor = False

    username = models.CharField(_("user name"), max_length=MAX_NAME, unique=True)
    email = models.EmailField(_("e-mail address"), blank=True)
    # During an update, processes of the previous release write rows without this column.
    shows_up_to = models.CharField(
        _("highest content rating of pictures shown"),
        max_length=16,
        choices=Maturity,
        default=Maturity.SUGGESTIVE,
        db_default=Maturity.SUGGESTIVE,
    )
    # Why an administrator disabled the account (``is_active``); shown to administrators only.
    disabled_reason = models.CharField(max_length=280, blank=True, default="", db_default="")
    # A deleted account keeps its row, without a name, so that versions and events keep an author.
    deleted_at = models.DateTimeField(null=True, blank=True)
    first_name = None  # type: ignore[assignment]  # one name is enough: Namespace.display_name
    last_name = None  # type: ignore[assignment]  # see above

    class Meta(AbstractUser.Meta):
        """User names are unique without regard to case."""

        constraints = [
            models.UniqueConstraint(Lower("username"), name="user_username_without_case"),
        ]

    def get_full_name(self) -> str:
        """Return the user name, as there is no other name."""
        return self.username

    def get_short_name(self) -> str:
        """Return the user name."""
        return self.username


class Attempt(models.Model):
    """Number of attempts in a window of time that ends at ``until``.

    ``key`` is a keyed digest of action and actor, so the rows hold no names or addresses.
    """

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField()
    until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.key[:8]}…: {self.count}"
