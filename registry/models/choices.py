"""Closed lists of values of the catalogue."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class NamespaceKind(models.TextChoices):
    """Kind of owner."""

    USER = "user", _("User")
    ORGANISATION = "organisation", _("Organisation")


class Role(models.TextChoices):
    """What a member may do in an organisation."""

    READ = "read", _("Read")
    WRITE = "write", _("Write")
    ADMIN = "admin", _("Admin")


#: Roles whose members may publish.
WRITING_ROLES = (Role.WRITE, Role.ADMIN)


class Kind(models.TextChoices):
    """What an adapter teaches."""

    STYLE = "style", _("Style")
    CHARACTER = "character", _("Character")
    CONCEPT = "concept", _("Concept")
    CLOTHING = "clothing", _("Clothing")
    POSE = "pose", _("Pose")
    OBJECT = "object", _("Object")
    LIGHTING = "lighting", _("Lighting")
    TOOL = "tool", _("Tool")
    OTHER = "other", _("Other")


class LookKind(models.TextChoices):
    """What the look of a pack is about."""

    STYLE = "style", _("Style")
    LIGHTING = "lighting", _("Lighting")
    CHARACTER = "character", _("Character")
    SCENE = "scene", _("Scene")
    DETAIL = "detail", _("Detail")
    OTHER = "other", _("Other")


class PartRole(models.TextChoices):
    """What a part of a pack contributes to the look."""

    STYLE = "style", _("Style")
    LIGHTING = "lighting", _("Lighting")
    CHARACTER = "character", _("Character")
    DETAIL = "detail", _("Detail")


class Output(models.TextChoices):
    """What a base model or a variant of a pack makes; sorted by value, pictures come first."""

    IMAGE = "image", _("Image")
    VIDEO = "video", _("Video")


class Visibility(models.TextChoices):
    """Who can find and see an adapter or a pack."""

    PUBLIC = "public", _("Public")
    UNLISTED = "unlisted", _("Unlisted")
    PRIVATE = "private", _("Private")

    @property
    def rank(self) -> int:
        """How many can see it: 0 for private."""
        return len(Visibility) - 1 - list(Visibility).index(self)


class Access(models.TextChoices):
    """Who may download the files."""

    OPEN = "open", _("Open")
    GATED_AUTO = "gated-auto", _("Gated, granted at once")
    GATED_MANUAL = "gated-manual", _("Gated, granted by the owner")


class Maturity(models.TextChoices):
    """How the owner rates the content, from the lowest level to the highest."""

    GENERAL = "general", _("General")
    SUGGESTIVE = "suggestive", _("Suggestive")
    MATURE = "mature", _("Mature")
    EXPLICIT = "explicit", _("Explicit")

    @property
    def rank(self) -> int:
        """Position among the levels, 0 for the lowest."""
        return list(Maturity).index(self)

    @property
    def is_for_all(self) -> bool:
        """Whether such pictures are shown to users who have not chosen otherwise."""
        return self.rank <= Maturity.SUGGESTIVE.rank

    @property
    def up_to(self) -> list[Maturity]:
        """This level and those below it."""
        return list(Maturity)[: self.rank + 1]


class VersionState(models.TextChoices):
    """State of a version; only drafts can be discarded."""

    DRAFT = "draft", _("Draft")
    PUBLISHED = "published", _("Published")
    YANKED = "yanked", _("Yanked")
    WITHDRAWN = "withdrawn", _("Withdrawn")


#: States of public versions: everyone who can see the adapter can see them, with bytes and
#: pictures.
OUT_STATES = (VersionState.PUBLISHED, VersionState.YANKED)


class FileRole(models.TextChoices):
    """What a file in a manifest is for."""

    WEIGHTS = "weights", _("Weights")
    CONFIG = "config", _("Config")
    CARD = "card", _("Card")
    SAMPLE = "sample", _("Sample")
    TRAINING = "training", _("Training")
    OTHER = "other", _("Other")


class CardProblem(models.TextChoices):
    """Why a card is shown as plain text (``registry.cards.markdown``)."""

    MARKS = "marks", _("This card is shown as plain text: it has too many formatting characters.")
    DEEP = (
        "deep",
        _("This card is shown as plain text: its lists and quotes are nested too deeply."),
    )
    LONG = "long", _("This card is shown as plain text: formatted, it would be too long.")
    SLOW = "slow", _("This card is shown as plain text: formatting it takes too long.")


class UploadState(models.TextChoices):
    """State of an upload."""

    RECEIVING = "receiving", _("Receiving")
    CHECKING = "checking", _("Checking")
    ACCEPTED = "accepted", _("Accepted")
    REFUSED = "refused", _("Refused")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")


class Severity(models.TextChoices):
    """Severity of a finding; an error refuses the file."""

    ERROR = "error", _("Error")
    WARNING = "warning", _("Warning")
    INFO = "info", _("Info")


class HashKind(models.TextChoices):
    """Kinds of hashes by which users look up weights (``registry.scan.hashes``)."""

    SHA256 = "sha256", "SHA-256"
    AUTOV1 = "autov1", "AutoV1"
    AUTOV2 = "autov2", "AutoV2"
    AUTOV3 = "autov3", "AutoV3"
    DATA_SHA256 = "data_sha256", _("SHA-256 after the header")
    TENSORS = "tensors", _("Tensors in any order")
    WEIGHTS_F16 = "weights_f16", _("Weights as fp16")
    WEIGHTS_BF16 = "weights_bf16", _("Weights as bf16")
    CRC32 = "crc32", "CRC-32"
    BLAKE3 = "blake3", "BLAKE3"


class Relation(models.TextChoices):
    """How the weights of two files are related (``lorary.algebra.recognition.relating``)."""

    SAME_WEIGHTS = "same_weights", _("Same weights")
    NUMBER_FORMAT = "number_format", _("Other number format")
    RENAMED = "renamed", _("Other key format")
    STRENGTH = "strength", _("Other strength")
    RESIZED = "resized", _("Resized")
    PART = "part", _("Part of the layers")
    SAME_RUN = "same_run", _("Same training run")
    RELATED = "related", _("Similar weights")


class RelationDirection(models.TextChoices):
    """Which of two related files was made from the other."""

    FROM = "from", _("made from the other")
    TO = "to", _("the other was made from it")


class JobState(models.TextChoices):
    """State of a job row."""

    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


#: States of jobs that wait or run.
OPEN_JOB_STATES = (JobState.QUEUED, JobState.RUNNING)
