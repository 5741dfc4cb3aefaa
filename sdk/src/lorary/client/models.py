"""The objects that a hub returns, as immutable values.

Each value keeps its JSON in ``data``, so that fields of a newer hub are not lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lorary.client.errors import Invalid
from lorary.client.http.json_answers import Record, findings_of
from lorary.client.notebooks.tiles import Tile, cover_of, previews_of

if TYPE_CHECKING:
    from lorary.anatomy import Finding

JSON = Mapping[str, Any]
#: Content ratings, from the lowest to the highest.
RATINGS = ("general", "suggestive", "mature", "explicit")
#: Who can see an adapter or a pack.
VISIBILITIES = ("public", "unlisted", "private")


def rating_fault(rating: str) -> str:
    """Return a sentence if a text is no content rating; empty if it is one."""
    if rating in RATINGS:
        return ""
    return f"“{rating[:100]}” is not a content rating. Choose one: {', '.join(RATINGS)}."


def check_rating(rating: str, field_name: str = "rating") -> None:
    """Refuse a text that is no content rating.

    Raises:
        Invalid: it is none.
    """
    if fault := rating_fault(rating):
        raise Invalid(fault, facts={"fields": {field_name: [fault]}})


def check_reason(reason: str) -> None:
    """Refuse an empty reason: earlier hubs took it for the wish to restore a yanked version.

    Raises:
        Invalid: it is empty.
    """
    if not reason.strip():
        fault = "Enter a reason. `restore` offers a yanked version again."
        raise Invalid(fault, facts={"fields": {"reason": [fault]}})


@dataclass(frozen=True, slots=True)
class Account:
    """The owner of a token; ``scopes`` is None if all are allowed.

    ``bound_to`` is the owner or adapter that the token is limited to, ``expires_at`` the time at
    which it expires (ISO 8601); empty means no limit. ``namespaces`` are the users and
    organisations for which it may create adapters; None if the hub is too old to list them.
    """

    name: str
    kind: str
    display_name: str
    url: str
    quota_bytes: int
    used_bytes: int
    scopes: tuple[str, ...] | None
    bound_to: str = ""
    expires_at: str = ""
    namespaces: tuple[str, ...] | None = None
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Account:
        """Read the response of ``GET me``."""
        record = Record(value, "account")
        scopes = None if record.data.get("scopes") is None else record.texts("scopes")
        known = None if record.data.get("namespaces") is None else record.texts("namespaces")
        return record.into(cls, scopes=scopes, namespaces=known)

    @property
    def bound_adapter(self) -> str:
        """The adapter that the token is limited to, ``owner/name``; empty if it is not."""
        return self.bound_to if "/" in self.bound_to else ""

    def may_publish_to(self, namespace: str) -> bool | None:
        """Return whether it may publish for a user or an organisation; None if not known."""
        if self.namespaces is None:
            return True if namespace.casefold() == self.name.casefold() else None
        return namespace.casefold() in {name.casefold() for name in self.namespaces}


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter of the catalogue; ``aliases`` and ``card`` are set only by `Hub.info`."""

    full_name: str
    title: str
    kind: str
    summary: str
    tags: tuple[str, ...]
    licence: str
    visibility: str
    family: str
    downloads: int
    latest_version: str
    trigger_words: tuple[str, ...]
    url: str
    card: str = ""
    aliases: Mapping[str, object] = field(default_factory=dict)
    maturity: str = ""
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Adapter:
        """Read an ADAPTER."""
        record = Record(value, "adapter")
        full_name = record.text("full_name") or f"{record.text('owner')}/{record.text('name')}"
        return record.into(cls, full_name=full_name)

    @property
    def is_empty(self) -> bool:
        """Whether it never had a version that the caller can see; only `Hub.info` tells."""
        return not self.latest_version and self.data.get("versions") == []

    def tile(self) -> Tile:
        """Return what a notebook shows of it."""
        pictures, note = cover_of(self.data, self.full_name)
        facts = (self.kind, self.family, self.latest_version, self.licence)
        return Tile(self.full_name, self.url, self.title, facts, self.trigger_words, pictures, note)

    def _repr_html_(self) -> str:
        return self.tile().html()


@dataclass(frozen=True, slots=True)
class File:
    """A file of a version.

    Attributes:
        path: Its path in the version; it is not validated: see `names.check_paths`.
        hashes: Kind (``autov2``, ``blake3``, …) to the hash that the hub computed; ``sha256`` is a
            field of its own. Empty for files of other kinds than weights.
    """

    path: str
    role: str
    variant: str
    size_bytes: int
    sha256: str
    is_primary: bool
    download_url: str
    hashes: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_weights(self) -> bool:
        """Whether it is an adapter rather than a companion such as README.md or a sample."""
        return self.role == "weights"

    @classmethod
    def read(cls, value: object) -> File:
        """Read a FILE."""
        record = Record(value, "file")
        return record.into(
            cls,
            size_bytes=record.whole("size"),
            sha256=record.hexadecimal("sha256", 64),
            is_primary=record.data.get("primary") is True,
        )


@dataclass(frozen=True, slots=True)
class Image:
    """A rendered picture."""

    url: str
    prompt: str
    seed: int
    strength: float | None
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Image:
        """Read an image of PREVIEWS."""
        return Record(value, "image").into(cls)


@dataclass(frozen=True, slots=True)
class Previews:
    """The previews of a version.

    Attributes:
        state: ``ready``, ``failed``, ``running``, ``queued``, ``waiting`` (no worker of the hub
            renders this base model now), or ``none``.
        reason: Why it is in this state, such as what it waits for; may be empty.
    """

    state: str
    reason: str
    done: int
    total: int
    images: tuple[Image, ...]
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Previews:
        """Read PREVIEWS; null and absent mean none."""
        record = Record({} if value is None else value, "previews")
        progress = Record(record.mapping("progress"), "progress")
        return record.into(
            cls,
            state=record.text("state") or "none",
            done=progress.whole("done"),
            total=progress.whole("total"),
            images=tuple(Image.read(image) for image in record.items("images")),
        )


@dataclass(frozen=True, slots=True)
class Version:
    """A version with its files."""

    adapter: str
    name: str
    label: str
    state: str
    revision: str
    notes: str
    family: str
    lineage: str
    rank: int | None
    algorithm: str
    trigger_words: tuple[str, ...]
    files: tuple[File, ...]
    findings: tuple[Finding, ...]
    previews: Previews
    url: str
    published_at: str
    optional_trigger_words: tuple[str, ...] = ()
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Version:
        """Read a VERSION, in its short or its full form."""
        record = Record(value, "version")
        return record.into(
            cls,
            name=record.text("version"),
            revision=record.hexadecimal("revision", 40),
            rank=None if record.data.get("rank") is None else record.whole("rank"),
            files=tuple(File.read(file) for file in record.items("files")),
            findings=findings_of(record.data.get("findings")),
            previews=Previews.read(record.data.get("previews")),
        )

    @property
    def reason(self) -> str:
        """Why it was yanked or withdrawn."""
        return str(self.data.get("reason") or "")

    @property
    def recommended_strength(self) -> float | None:
        """The strength that its author recommends; None if there is none."""
        return self.strength("recommended")

    def strength(self, key: str) -> float | None:
        """Return the ``recommended``, ``min`` or ``max`` strength; None if it is not set."""
        return Record(Record(self.data, "version").mapping("strength"), "strength").number(key)

    def tile(self) -> Tile:
        """Return what a notebook shows of it."""
        rank = "" if self.rank is None else f"rank {self.rank}"
        state = "" if self.state == "published" else f"{self.state} {self.reason}".strip()
        facts = (self.label, self.family, self.lineage, self.algorithm, rank, state)
        pictures = tuple(previews_of(self.previews.data.get("images")))
        name = f"{self.adapter}@{self.name}"
        return Tile(name, self.url, self.notes, facts, self.trigger_words, pictures)

    def _repr_html_(self) -> str:
        return self.tile().html()


def found_file(version: Version, file: File, facts: Mapping[str, object]) -> dict[str, object]:
    """Return a file that was found, as JSON values: its place, and why it was found.

    Args:
        facts: What the search says about it.
    """
    return {
        "adapter": version.adapter,
        "version": version.name,
        "state": version.state,
        "path": file.path,
        "sha256": file.sha256,
        **facts,
        "url": version.url,
    }


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an upload that has arrived."""

    number: int
    size_bytes: int
    sha256: str
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Part:
        """Read a part of UPLOAD."""
        record = Record(value, "part")
        return record.into(cls, size_bytes=record.whole("size"))


@dataclass(frozen=True, slots=True)
class Holder:
    """The version that uses the bytes of an upload."""

    adapter: str
    name: str
    state: str
    url: str
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Holder:
        """Read the version of an UPLOAD."""
        record = Record(value, "version")
        return record.into(cls, name=record.text("version"))


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is being uploaded or checked.

    Attributes:
        parts: The parts that have arrived; () in a list, which omits them.
        received_bytes: Bytes that the hub has and that need not be sent again.
        done: Number of bytes, out of ``total``, that the checks have read.
        expires_at: When it expires unless it is finished.
        version: Your first version with these bytes since the upload was announced; None if there
            is none, or if the hub does not report it.
        adapter: Your adapter with these bytes, also in a revision without a version, such as a
            README.md that was committed alone; empty if there is none.
    """

    id: str
    path: str
    size_bytes: int
    sha256: str
    state: str
    part_bytes: int
    parts: tuple[Part, ...]
    findings: tuple[Finding, ...]
    done: int
    total: int
    urls: Mapping[str, object]
    received_bytes: int = 0
    created_at: str = ""
    expires_at: str = ""
    version: Holder | None = None
    adapter: str = ""
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Upload:
        """Read an UPLOAD."""
        record = Record(value, "upload")
        progress = Record(record.mapping("progress"), "progress")
        return record.into(
            cls,
            id=str(record.data.get("id", "")),
            size_bytes=record.whole("size"),
            part_bytes=record.whole("part_size"),
            parts=tuple(Part.read(part) for part in record.items("parts")),
            findings=findings_of(record.data.get("findings")),
            done=progress.whole("done"),
            total=progress.whole("total"),
            received_bytes=record.whole("received"),
            version=Holder.read(held) if (held := record.data.get("version")) else None,
        )


@dataclass(frozen=True, slots=True)
class Token:
    """An access token; ``secret`` is set only when it is created.

    Times are ISO 8601. ``bound_to`` is the owner or adapter that the token is limited to. An empty
    value means no limit, or never.
    """

    id: int
    name: str
    scopes: tuple[str, ...]
    secret: str
    prefix: str = ""
    bound_to: str = ""
    created_at: str = ""
    last_used_at: str = ""
    expires_at: str = ""
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Token:
        """Read a token."""
        record = Record(value, "token")
        return record.into(cls, secret=record.text("token"))


@dataclass(frozen=True, slots=True)
class Look:
    """What a hub reports about a file from its first bytes.

    Attributes:
        anatomy: The document without its findings (`docs/anatomy.md`); None if the header was
            refused.
        findings: Results of the checks; the reason if the header was refused.
        data: The whole document.
    """

    anatomy: Mapping[str, object] | None
    findings: tuple[Finding, ...]
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Look:
        """Read the response of ``POST inspect``."""
        record = Record(value, "inspection")
        error = record.mapping("error")
        if error:
            finding = {**error, "severity": "error", "evidence": {"at": error.get("at")}}
            return cls(None, findings_of([finding]), record.data)
        anatomy = {key: part for key, part in record.data.items() if key != "findings"}
        return cls(anatomy, findings_of(record.data.get("findings")), record.data)
