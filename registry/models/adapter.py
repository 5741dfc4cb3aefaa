"""Adapters, their names and tags, and their cards as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from registry.models.choices import Access, Kind, Maturity, Visibility
from registry.models.namespace import Namespace
from registry.names import MAX_NAME

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from registry.models.token import AccessToken
    from registry.models.user import User


class Tag(models.Model):
    """A free keyword, stored in lower case."""

    name = models.CharField(max_length=48, unique=True)

    def __str__(self) -> str:
        return self.name


class AdapterQuerySet(models.QuerySet["Adapter"]):
    """Queries limited to what a user may see."""

    def among(self, path: str) -> models.Exists:
        """Condition for rows whose adapter at a path (``adapter``) is one of these.

        Databases check it for the rows that other conditions leave. For ``adapter__in=…``, SQLite
        first reads all adapters.
        """
        return models.Exists(self.filter(pk=models.OuterRef(path)))

    def visible_to(self, user: User | AnonymousUser | None) -> AdapterQuerySet:
        """Adapters whose page the user may open (unlisted ones included)."""
        visible = ~Q(visibility=Visibility.PRIVATE) & Q(blocked_reason="")
        return self.filter(visible | _of_own(user))

    def open_to(self, user: User | AnonymousUser | None) -> AdapterQuerySet:
        """Visible adapters whose files the user may download."""
        return self.visible_to(user).filter(Q(access=Access.OPEN) | _of_own(user))

    def listed_for(self, user: User | AnonymousUser | None) -> AdapterQuerySet:
        """Adapters that searches and listings may show to the user."""
        return self.filter(_LISTED | _of_own(user), withdrawn_reason="")

    def listed_only_for(self, user: User | AnonymousUser | None) -> AdapterQuerySet:
        """Adapters of ``listed_for`` that are not listed for everybody."""
        return self.filter(~_LISTED, _of_own(user), withdrawn_reason="")


#: Condition for adapters that are listed for everybody, if they were not withdrawn.
_LISTED = Q(visibility=Visibility.PUBLIC, blocked_reason="", latest_version__isnull=False)


def in_own_namespace(user: User | AnonymousUser | None) -> Q:
    """Condition for rows of namespaces the user owns or belongs to, whatever the token."""
    if user is None or not user.is_authenticated:
        return Q(pk__in=[])
    mine = Namespace.objects.filter(Q(user=user) | Q(memberships__user=user))
    return Q(namespace__in=mine.values("pk"))


def _of_own(user: User | AnonymousUser | None) -> Q:
    """Condition for own adapters. A bound token limits it to what the token is bound to."""
    own = in_own_namespace(user)
    if user is None or not user.is_authenticated or user.access_token is None:
        return own
    return own & user.access_token.covered()


class Named(models.Model):
    """What adapters and packs are called, and who may write them."""

    namespace: models.ForeignKey[Namespace, Namespace]
    name = models.CharField(max_length=MAX_NAME)
    key = models.CharField(max_length=MAX_NAME)
    title = models.CharField(max_length=120, blank=True)

    class Meta:
        """Each has its own table."""

        abstract = True

    def __str__(self) -> str:
        return self.full_name

    @property
    def owner(self) -> str:
        """Name of the namespace."""
        return self.namespace.name

    @property
    def full_name(self) -> str:
        """``owner/name``."""
        return f"{self.namespace.name}/{self.name}"

    @property
    def display_title(self) -> str:
        """The title, or the name if there is none."""
        return self.title or self.name

    def is_writable_by(self, user: User) -> bool:
        """Whether the user may publish versions of it, with the token of the request."""
        token = user.access_token
        is_covered = token is None or self.is_covered_by(token)
        return is_covered and self.namespace.is_writable_by(user)

    def is_covered_by(self, token: AccessToken) -> bool:
        """Whether a token may be used for it; one that is bound to an adapter covers no pack."""
        return token.covers(self.namespace)


class Adapter(Named):
    """``owner/name`` with its card, and columns for lists.

    ``permissions`` are those of its licence (``registry.adapters.licences``).
    ``withdrawn_reason`` is set when the whole adapter was withdrawn. Its name stays taken.
    """

    noun = "adapter"

    namespace = models.ForeignKey(Namespace, on_delete=models.PROTECT, related_name="adapters")
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.STYLE)
    summary = models.CharField(max_length=280, blank=True)
    card = models.TextField(blank=True)
    tags = models.ManyToManyField(Tag, related_name="adapters", blank=True)
    licence = models.CharField(max_length=64, blank=True)
    maturity = models.CharField(max_length=16, choices=Maturity, default=Maturity.GENERAL)
    visibility = models.CharField(max_length=16, choices=Visibility, default=Visibility.PUBLIC)
    access = models.CharField(max_length=16, choices=Access, default=Access.OPEN)
    blocked_reason = models.CharField(max_length=280, blank=True)
    withdrawn_reason = models.CharField(max_length=280, blank=True, default="", db_default="")
    family = models.CharField(max_length=48, blank=True)
    lineage = models.CharField(max_length=64, blank=True)
    # During an update, processes of the previous release write rows without these columns.
    algorithm = models.CharField(max_length=32, blank=True, default="", db_default="")
    parts = models.CharField(max_length=32, blank=True, default="", db_default="")
    trainer = models.CharField(max_length=64, blank=True, default="", db_default="")
    permissions = models.CharField(max_length=64, blank=True, default="", db_default="")
    downloads = models.PositiveBigIntegerField(default=0)
    last_number = models.PositiveIntegerField(default=0, editable=False)
    latest_version = models.ForeignKey(
        "registry.Version", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    published_at = models.DateTimeField(null=True, blank=True)

    objects = AdapterQuerySet.as_manager()

    class Meta:
        """Keyset pages use a date or the downloads, and the id."""

        constraints = [
            models.UniqueConstraint(fields=["namespace", "key"], name="adapter_name_once"),
        ]
        indexes = [
            models.Index(fields=["-published_at", "-id"], name="adapter_by_date"),
            models.Index(fields=["-downloads", "-id"], name="adapter_by_downloads"),
            models.Index(fields=["-updated_at", "-id"], name="adapter_by_update"),
            models.Index(fields=["namespace", "-published_at"], name="adapter_by_owner"),
            models.Index(fields=["kind", "-published_at"], name="adapter_by_kind"),
            models.Index(fields=["family", "-published_at"], name="adapter_by_family"),
            # Two frequent values may have few adapters in common.
            models.Index(fields=["family", "kind", "-published_at"], name="adapter_by_family_kind"),
            models.Index(fields=["lineage", "-published_at"], name="adapter_by_lineage"),
            models.Index(fields=["algorithm", "-published_at"], name="adapter_by_algorithm"),
            models.Index(fields=["maturity", "-published_at"], name="adapter_by_maturity"),
            models.Index(fields=["parts", "-published_at"], name="adapter_by_parts"),
            models.Index(fields=["trainer", "-published_at"], name="adapter_by_trainer"),
            models.Index(fields=["permissions", "-published_at"], name="adapter_by_permissions"),
            models.Index(fields=["licence", "-published_at"], name="adapter_by_licence"),
        ]

    def is_covered_by(self, token: AccessToken) -> bool:
        """Whether a token may be used for it."""
        return token.covers(self.namespace, self)


class AdapterName(models.Model):
    """Every name an adapter ever had within a namespace; old ones redirect."""

    namespace = models.ForeignKey(Namespace, on_delete=models.PROTECT, related_name="adapter_names")
    adapter = models.ForeignKey(Adapter, on_delete=models.PROTECT, related_name="names")
    key = models.CharField(max_length=MAX_NAME)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """A name belongs to one adapter forever."""

        constraints = [
            models.UniqueConstraint(fields=["namespace", "key"], name="adapter_name_for_ever"),
        ]

    def __str__(self) -> str:
        return self.key


class CardHtml(models.Model):
    """HTML of an adapter's card; valid while ``renderer`` and ``sha256`` are current.

    ``sha256`` is the digest of the Markdown. If ``problem`` (a ``CardProblem``) is set, ``html`` is
    empty and pages show the Markdown as plain text.
    """

    adapter = models.OneToOneField(
        Adapter, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    renderer = models.PositiveSmallIntegerField()
    sha256 = models.CharField(max_length=64)
    html = models.TextField(blank=True)
    problem = models.CharField(max_length=16, blank=True)

    class Meta:
        """Its name in the admin."""

        verbose_name = "card HTML"
        verbose_name_plural = "card HTML"

    def __str__(self) -> str:
        return f"{self.adapter_id} by renderer {self.renderer}"
