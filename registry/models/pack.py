"""Packs: ready-made looks of adapter versions, with a prompt template and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q

from registry.models.adapter import Named, Tag, in_own_namespace
from registry.models.blob import SHA256, Blob
from registry.models.choices import (
    LookKind,
    Maturity,
    Output,
    PartRole,
    VersionState,
    Visibility,
)
from registry.models.namespace import Namespace
from registry.models.revision import File
from registry.models.search import MAX_WORD
from registry.models.version import Version
from registry.names import MAX_NAME

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from registry.models.user import User


class PackQuerySet(models.QuerySet["Pack"]):
    """Queries limited to what a user may see."""

    def visible_to(self, user: User | AnonymousUser | None) -> PackQuerySet:
        """Packs whose page the user may open (unlisted ones included)."""
        visible = ~Q(visibility=Visibility.PRIVATE) & Q(blocked_reason="")
        return self.filter(visible | _of_own(user))

    def listed_for(self, user: User | AnonymousUser | None) -> PackQuerySet:
        """Packs that lists may show to the user."""
        listed = Q(visibility=Visibility.PUBLIC, blocked_reason="", latest_version__isnull=False)
        return self.filter(listed | _of_own(user), withdrawn_reason="")


def _of_own(user: User | AnonymousUser | None) -> Q:
    """Condition for own packs; a token that is bound to an adapter covers none."""
    own = in_own_namespace(user)
    if user is None or not user.is_authenticated or user.access_token is None:
        return own
    return own & user.access_token.covered_packs()


class Pack(Named):
    """``packs/owner/name`` with its card, and columns for lists.

    ``maturity`` is what the owner chose; people see the highest one of that and the parts'
    (``registry.packs.parts``). ``withdrawn_reason`` is set when the whole pack was withdrawn.
    """

    noun = "pack"

    namespace = models.ForeignKey(Namespace, on_delete=models.PROTECT, related_name="packs")
    kind = models.CharField(max_length=16, choices=LookKind, default=LookKind.STYLE)
    summary = models.CharField(max_length=280, blank=True)
    card = models.TextField(blank=True)
    tags = models.ManyToManyField(Tag, related_name="packs", blank=True)
    maturity = models.CharField(max_length=16, choices=Maturity, default=Maturity.GENERAL)
    visibility = models.CharField(max_length=16, choices=Visibility, default=Visibility.PUBLIC)
    blocked_reason = models.CharField(max_length=280, blank=True)
    withdrawn_reason = models.CharField(max_length=280, blank=True)
    last_number = models.PositiveIntegerField(default=0, editable=False)
    latest_version = models.ForeignKey(
        "registry.PackVersion", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    published_at = models.DateTimeField(null=True, blank=True)

    objects = PackQuerySet.as_manager()

    class Meta:
        """Keyset pages use the date and the id."""

        constraints = [
            models.UniqueConstraint(fields=["namespace", "key"], name="pack_name_once"),
        ]
        indexes = [
            models.Index(fields=["-published_at", "-id"], name="pack_by_date"),
            models.Index(fields=["namespace", "-published_at"], name="pack_by_owner"),
        ]


class PackName(models.Model):
    """Every name a pack ever had within a namespace; old ones redirect."""

    namespace = models.ForeignKey(Namespace, on_delete=models.PROTECT, related_name="pack_names")
    pack = models.ForeignKey(Pack, on_delete=models.PROTECT, related_name="names")
    key = models.CharField(max_length=MAX_NAME)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """A name belongs to one pack forever."""

        constraints = [
            models.UniqueConstraint(fields=["namespace", "key"], name="pack_name_for_ever"),
        ]

    def __str__(self) -> str:
        return self.key


class PackWord(models.Model):
    """A folded word of a pack's name, title, summary or tags (``registry.search.words``)."""

    pack = models.ForeignKey(Pack, on_delete=models.CASCADE, related_name="words")
    word = models.CharField(max_length=MAX_WORD, db_index=True)

    class Meta:
        """Each word once."""

        constraints = [models.UniqueConstraint(fields=["pack", "word"], name="pack_word_once")]

    def __str__(self) -> str:
        return self.word


class PackVersion(models.Model):
    """``v1``, ``v2``, …: a manifest, which never changes (``registry.packs.manifest``).

    ``manifest_sha256`` is the digest of the canonical JSON, whose bytes are ``blob``; ``manifest``
    is the same, for reading without the store. After a withdrawal, the digest alone is left.
    """

    #: Whether the current call published it; not stored.
    is_new = False

    pack = models.ForeignKey(Pack, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=16, choices=VersionState, default=VersionState.PUBLISHED)
    manifest_sha256 = models.CharField(max_length=64)
    manifest = models.JSONField(default=dict)
    blob = models.ForeignKey(
        Blob, on_delete=models.PROTECT, related_name="pack_versions", null=True, blank=True
    )
    notes = models.TextField(blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="pack_versions"
    )
    yanked_reason = models.CharField(max_length=280, blank=True)
    withdrawn_reason = models.CharField(max_length=280, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    published_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Numbers are unique; a version has its bytes until it is withdrawn."""

        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["pack", "number"], name="pack_version_number_once"),
            models.CheckConstraint(name="pack_version_from_one", condition=Q(number__gte=1)),
            models.CheckConstraint(
                name="pack_version_sha256_is_hex", condition=Q(manifest_sha256__regex=SHA256)
            ),
            models.CheckConstraint(
                name="pack_version_has_bytes_or_reason",
                condition=Q(blob__isnull=False, withdrawn_reason="")
                | (Q(state=VersionState.WITHDRAWN, blob__isnull=True) & ~Q(withdrawn_reason="")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pack_id}@{self.name}"

    @property
    def name(self) -> str:
        """``v3``."""
        return f"v{self.number}"


class PackVariant(models.Model):
    """A variant of a version: for one base family, with one kind of output."""

    version = models.ForeignKey(PackVersion, on_delete=models.CASCADE, related_name="variants")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=48)
    family = models.CharField(max_length=48)
    output = models.CharField(max_length=8, choices=Output)

    class Meta:
        """In the manifest's order; a name is unique within a version."""

        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "name"], name="pack_variant_once"),
        ]
        indexes = [models.Index(fields=["family", "output"], name="pack_variant_by_family")]

    def __str__(self) -> str:
        return self.name


class PackPart(models.Model):
    """An adapter's file in a variant. A withdrawal of the adapter's version deletes its bytes.

    ``maturity`` is the adapter's content rating when the pack's version was published.
    """

    variant = models.ForeignKey(PackVariant, on_delete=models.CASCADE, related_name="parts")
    position = models.PositiveSmallIntegerField()
    adapter_version = models.ForeignKey(
        Version, on_delete=models.PROTECT, related_name="pack_parts"
    )
    file = models.ForeignKey(File, on_delete=models.PROTECT, related_name="pack_parts")
    strength = models.FloatField()
    role = models.CharField(max_length=16, choices=PartRole)
    maturity = models.CharField(
        max_length=16, choices=Maturity, default=Maturity.GENERAL, db_default=Maturity.GENERAL
    )

    class Meta:
        """In the manifest's order."""

        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["variant", "position"], name="pack_part_once"),
        ]

    def __str__(self) -> str:
        return f"{self.adapter_version_id} × {self.strength:g}"


class PackAlias(models.Model):
    """A movable name of a version. A removed one keeps its row, for its history, with a null."""

    pack = models.ForeignKey(Pack, on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=96)
    version = models.ForeignKey(
        PackVersion, on_delete=models.PROTECT, related_name="aliases", null=True, blank=True
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        """A name is unique within a pack."""

        verbose_name_plural = "pack aliases"
        constraints = [models.UniqueConstraint(fields=["pack", "name"], name="pack_alias_once")]

    def __str__(self) -> str:
        return self.name


class PackAliasMove(models.Model):
    """History of an alias, append-only; null: there was no alias before, or is none after."""

    alias = models.ForeignKey(PackAlias, on_delete=models.CASCADE, related_name="moves")
    before = models.ForeignKey(
        PackVersion, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    after = models.ForeignKey(
        PackVersion, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Newest first."""

        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.alias_id} → {self.after_id}"
