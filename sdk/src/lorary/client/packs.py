"""Packs: ready-made looks of adapter versions, with a prompt template and settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import quote

from lorary.client.errors import BadAnswer, Unreachable
from lorary.client.http.json_answers import Record
from lorary.client.models import JSON, RATINGS, File, check_rating, check_reason
from lorary.client.names import Reference, as_list, require_no_version
from lorary.client.notebooks.results import Results, require_limit
from lorary.client.notebooks.tiles import Tile, cover_of, previews_of
from lorary.client.transfers.cache import not_cached
from lorary.client.transfers.details import naming_family

if TYPE_CHECKING:
    from lorary.client.http.session import Session
    from lorary.client.transfers.cache import Cache

#: What stands before the name of a pack where adapters are meant otherwise.
PREFIX = "pack:"
#: Ending of the file that describes a pulled pack.
DESCRIPTION = ".pack.json"
#: What stands for the subject in a prompt template.
PLACEHOLDER = "{prompt}"
#: States of parts that can be downloaded.
AT_HAND = frozenset({"available", "yanked"})
_PAGE = 100


@dataclass(frozen=True, slots=True)
class PackPart:
    """An adapter's file in a variant; ``state`` is available, yanked, withdrawn or private."""

    adapter: str
    version: str
    file: str
    sha256: str
    size_bytes: int
    strength: float
    role: str
    trigger_words: tuple[str, ...]
    state: str
    reason: str
    file_variant: str = ""  # the file's variant, such as fp16; empty for the primary file
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_at_hand(self) -> bool:
        """Whether it can be downloaded."""
        return self.state in AT_HAND

    def as_file(self) -> File:
        """Return the file as one of its version; where it can be downloaded is not known."""
        return File(
            path=self.file,
            role="weights",
            variant=self.file_variant,
            size_bytes=self.size_bytes,
            sha256=self.sha256,
            is_primary=not self.file_variant,
            download_url="",
        )

    @classmethod
    def read(cls, value: object) -> PackPart:
        """Read a part of a variant."""
        record = Record(value, "part")
        strength = record.number("strength")
        return record.into(
            cls,
            sha256=record.hexadecimal("sha256", 64),
            size_bytes=record.whole("size"),
            strength=1.0 if strength is None else strength,
        )


@dataclass(frozen=True, slots=True)
class PackVariant:
    """A variant: for one family of base models, with one kind of output (image or video).

    ``settings`` are its own, null where it leaves one to the base model; ``rendered_with`` are
    those that the hub renders it with.
    """

    name: str
    family: str
    output: str
    prompt: str
    negative: str
    settings: Mapping[str, object]
    tested_with: Mapping[str, object]
    rendered_with: Mapping[str, object]
    parts: tuple[PackPart, ...]
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> PackVariant:
        """Read a variant of a version."""
        record = Record(value, "variant")
        return record.into(cls, parts=tuple(map(PackPart.read, record.items("parts"))))

    def prompt_for(self, subject: str) -> str:
        """Return the prompt for a subject."""
        return self.prompt.replace(PLACEHOLDER, subject)


@dataclass(frozen=True, slots=True)
class PackVersion:
    """A version of a pack; it never changes, but its parts may have gone."""

    pack: str
    name: str
    state: str
    reason: str
    manifest: Mapping[str, object]
    manifest_sha256: str
    notes: str
    variants: tuple[PackVariant, ...]
    url: str
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> PackVersion:
        """Read a version. Raises BadAnswer: the manifest has another digest."""
        record = Record(value, "version of a pack")
        found = record.into(
            cls,
            name=record.text("version"),
            manifest_sha256=record.hexadecimal("manifest_sha256", 64),
            variants=tuple(map(PackVariant.read, record.items("variants"))),
        )
        if found.manifest and digest_of(found.manifest) != found.manifest_sha256:
            msg = f"The manifest of {found.pack} {found.name} does not have the expected sha256."
            raise BadAnswer(msg)
        return found

    def tile(self) -> Tile:
        """Return what a notebook shows of it."""
        state = "" if self.state == "published" else f"{self.state} {self.reason}".strip()
        rows = [
            f"{one.name}: {part.adapter}@{part.version} × {part.strength:g}"
            for one in self.variants[:4]
            for part in one.parts[:5]
        ]
        previews = (one.data.get("previews") for one in self.variants)
        images = [
            image
            for sheet in previews
            if isinstance(sheet, Mapping) and isinstance(found := sheet.get("images"), list)
            for image in found
        ]
        name = f"{PREFIX}{self.pack}@{self.name}"
        return Tile(name, self.url, self.notes, (state, *rows), (), tuple(previews_of(images)))

    def _repr_html_(self) -> str:
        return self.tile().html()


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack as lists show it; ``card`` and ``aliases`` only when asked for alone."""

    full_name: str
    title: str
    kind: str
    summary: str
    tags: tuple[str, ...]
    maturity: str
    visibility: str
    latest_version: str
    url: str
    card: str = ""
    aliases: Mapping[str, object] = field(default_factory=dict)
    data: JSON = field(default_factory=dict, repr=False, compare=False)

    @property
    def variants(self) -> tuple[tuple[str, str, str], ...]:
        """Name, family and output of each variant of the latest version."""
        rows = (Record(row, "variant") for row in Record(self.data, "pack").items("variants"))
        return tuple((row.text("name"), row.text("family"), row.text("output")) for row in rows)

    @classmethod
    def read(cls, value: object) -> Pack:
        """Read a PACK."""
        return Record(value, "pack").into(cls)

    def tile(self) -> Tile:
        """Return what a notebook shows of it."""
        pictures, note = cover_of(self.data, self.full_name)
        variants = (f"{name}: {family}, {output}" for name, family, output in self.variants)
        facts = (self.kind, self.latest_version, *islice(variants, 8))
        return Tile(
            f"{PREFIX}{self.full_name}", self.url, self.title, facts, self.tags, pictures, note
        )

    def _repr_html_(self) -> str:
        return self.tile().html()


def digest_of(manifest: Mapping[str, object]) -> str:
    """Return the sha256 of a manifest's canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def parse(text: str | Reference) -> Reference:
    """Read ``owner/name[@version]``, with ``pack:`` before it or not.

    Raises:
        ReferenceInvalid: it is neither.
    """
    return Reference.parse(text.removeprefix(PREFIX) if isinstance(text, str) else text)


def path_of(reference: Reference) -> str:
    """Return the path of a pack below the API's root, quoted."""
    return f"packs/{quote(reference.owner, safe='')}/{quote(reference.name, safe='')}"


def read_version(session: Session, reference: Reference) -> PackVersion:
    """Return a version of a pack; without a rev, the latest."""
    return PackVersion.read(session.json("GET", version_path_of(reference)))


def read_or_recall(session: Session, cache: Cache, reference: Reference) -> PackVersion:
    """Return a version; if the hub is unreachable, what the cache knows of it.

    Raises:
        Unreachable: the name may have moved since, or this version was never pulled here.
    """
    try:
        return read_version(session, reference)
    except Unreachable as failure:
        try:
            version = PackVersion.read(cache.recall_pack(session.endpoint, reference))
        except BadAnswer:
            names = cache.remembered("pack-versions", session.endpoint, reference)
            raise not_cached(failure, session.endpoint, reference, names) from failure
        return version


def version_path_of(reference: Reference) -> str:
    """Return the path of a version below the API's root, quoted."""
    return f"{path_of(reference)}/versions/{quote(reference.rev or 'latest', safe='')}"


def _with_list(fields: Mapping[str, str | Sequence[str]]) -> Mapping[str, object]:
    """Return fields with a list of tags."""
    return {**fields, "tags": as_list(fields["tags"])} if "tags" in fields else fields


class Packing:
    """Methods of `Hub` for packs. References are ``owner/name[@version]``."""

    _session: Session
    _cache: Cache

    def packs(  # noqa: PLR0913 - the filters of the list, by keyword
        self,
        query: str = "",
        *,
        owner: str = "",
        kind: str = "",
        tag: str = "",
        family: str = "",
        output: str = "",
        max_rating: str = "",
        limit: int | None = None,
    ) -> Results[Pack]:
        """Return an iterator over packs, newest first; pages are requested as they are needed.

        Args:
            query: Words of name, title, summary or tags that must all occur.
            owner: A namespace.
            kind: style, lighting, character, scene, detail or other.
            tag: A tag.
            family: Base-model family of a variant, such as ``sdxl``.
            output: ``image`` or ``video``, of that variant.
            max_rating: Highest content rating of the pack and its parts, as for `Hub.search`.
            limit: Maximum number; None for all.
        """
        require_limit(limit)
        if max_rating:
            check_rating(max_rating, "max_rating")
        parameters = {
            "q": query, "owner": owner, "kind": kind, "tag": tag, "family": family,
            "output": output, "limit": _PAGE if limit is None else min(max(limit, 1), _PAGE),
        }  # fmt: skip
        if max_rating:
            # The hub knows the rating that the owner chose; that of parts may be higher by now.
            parameters["q"] = f"rating:<={max_rating} {query}".rstrip()

        def every_pack() -> Iterator[Pack]:
            with naming_family(family):
                yield from map(Pack.read, self._session.items("packs", parameters))

        found: Iterable[Pack] = every_pack()
        if max_rating:
            allowed = RATINGS[: RATINGS.index(max_rating) + 1]
            found = (pack for pack in found if pack.maturity in allowed)
        return Results(islice(found, limit))

    def pack(self, pack: str | Reference) -> Pack:
        """Return a pack with its card and aliases."""
        return Pack.read(self._session.json("GET", path_of(parse(pack))))

    def pack_version(self, reference: str | Reference) -> PackVersion:
        """Return one version with its variants and parts; the latest without a version."""
        return read_or_recall(self._session, self._cache, parse(reference))

    def create_pack(self, /, pack: str | Reference, **fields: str | Sequence[str]) -> Pack:
        """Create a pack without versions.

        Args:
            pack: ``owner/name``.
            **fields: Any of title, kind, summary, card, tags, maturity, visibility. A text as
                ``tags`` is one tag.

        Raises:
            NameTaken, NameInvalid: the name is in use, or is invalid.
            Invalid: a field has an invalid value.
        """
        name = require_no_version(parse(pack))
        data = {"owner": name.owner, "name": name.name, **_with_list(fields)}
        return Pack.read(self._session.json("POST", "packs", data=data))

    def edit_pack(self, /, pack: str | Reference, **fields: str | Sequence[str]) -> Pack:
        """Change fields of a pack, as `create_pack` takes them, or its ``name``.

        Raises:
            ReferenceInvalid: this is a version.
        """
        path = path_of(require_no_version(parse(pack)))
        return Pack.read(self._session.json("PATCH", path, data=_with_list(fields)))

    def publish_pack(
        self, pack: str | Reference, manifest: Mapping[str, object], *, notes: str = ""
    ) -> PackVersion:
        """Publish a manifest as the next version; the same one again returns its version.

        Raises:
            Invalid: the manifest has faults; ``facts["fields"]`` names them by JSON path.
        """
        path = f"{path_of(parse(pack))}/versions"
        data = {"manifest": manifest, "notes": notes}
        return PackVersion.read(self._session.json("POST", path, data=data, is_repeatable=True))

    def yank_pack(self, reference: str | Reference, reason: str) -> PackVersion:
        """Yank a version: it stays available, but is no longer offered by default.

        Args:
            reference: ``owner/name@v3``; aliases are refused.
            reason: One sentence, which everybody can read.

        Raises:
            Invalid: the reference is an alias, or the reason is empty.
            StateConflict: it was withdrawn.
        """
        check_reason(reason)
        return self._take_down(reference, "yank", reason)

    def restore_pack(self, reference: str | Reference) -> PackVersion:
        """Restore a yanked version; see `yank_pack`."""
        path = f"{version_path_of(parse(reference))}/yank"
        return PackVersion.read(self._session.json("DELETE", path))

    def withdraw_pack_version(self, reference: str | Reference, reason: str) -> PackVersion:
        """Withdraw a version permanently: its manifest is deleted; see `yank_pack`."""
        return self._take_down(reference, "withdraw", reason)

    def withdraw_pack(self, pack: str | Reference, reason: str) -> Pack:
        """Withdraw a pack and all its versions permanently; its name stays reserved.

        Raises:
            ReferenceInvalid: this is a version, for which there is `withdraw_pack_version`.
        """
        path = f"{path_of(require_no_version(parse(pack)))}/withdraw"
        data = {"reason": reason}
        return Pack.read(self._session.json("POST", path, data=data, is_repeatable=True))

    def _take_down(self, reference: str | Reference, verb: str, reason: str) -> PackVersion:
        path = f"{version_path_of(parse(reference))}/{verb}"
        data = {"reason": reason}
        return PackVersion.read(self._session.json("POST", path, data=data, is_repeatable=True))
