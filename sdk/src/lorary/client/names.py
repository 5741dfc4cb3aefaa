"""Parses names that users type, and checks paths that a hub returns."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from lorary.client.errors import ReferenceInvalid, SettingInvalid, UnsafePath
from lorary.replacing import StrPath

_NAME = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?\Z")
_MAX_REV = 255
_HASH_DIGITS = frozenset({8, 10, 12, 64})
#: What looks like a hash, with more digits than words of these letters have.
_DIGITS = re.compile(r"(?i)[0-9a-f]{8,}\Z")
_HUB_NAME = re.compile(r"[a-z][a-z0-9-]{1,31}\Z")
#: Words that have another meaning before a colon.
_NO_HUB_NAMES = frozenset({"file", "http", "https", "lorary", "pack"})
_WINDOWS_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\Z")
#: Short names on Windows can stand for names with a leading dot: GIT~1 is .git.
_SHORT_NAME = re.compile(r"[^.~]{1,6}~[0-9]+\Z")
#: Generic names that tools write, optionally followed by a counter or a precision.
_GENERIC = re.compile(
    r"(?i)(?:(?:diffusion_)?pytorch_(?:lora_)?(?:weights|model)|adapter(?:_model|_weights)?|model"
    r"|lora(?:_weights|_model|_adapter)?|weights|checkpoint|output|last|final|default|untitled)"
    r"(?P<rest>(?:[._ -]+(?:[0-9]+|s(?:tep)?s?[0-9]*|e(?:poch)?[0-9]*|b?fp?[0-9]+|float[0-9]+"
    r"|high|low|noise|unet|ema|of))*)\Z"
)
#: What may follow a generic name.
_UNUSUAL = re.compile(r"[^A-Za-z0-9._+]+")
_MAX_MARK = 24
_FORBIDDEN = frozenset('<>:"|?*\\')
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MAX_PATH = 1024
_TAG = re.compile(r"[\w .+/&'-]{1,48}\Z")
#: The namings in which a hub hands out weights; ``original`` is another word for ``comfyui``.
NAMINGS = ("kohya", "peft", "diffusers", "comfyui", "original")
#: The largest ranks to which a hub lowers weights.
RANKS = (4, 8, 16, 32, 64, 128)
MAX_SEGMENT_BYTES = 255  # limit of ext4, APFS and NTFS


@dataclass(frozen=True, slots=True)
class Reference:
    """An adapter, and a version of it: ``owner/name[@rev]``.

    Attributes:
        owner: The namespace.
        name: The adapter's name in the namespace.
        rev: ``v3``, an alias or a 40-hex revision; empty for the latest version.
    """

    owner: str
    name: str
    rev: str = ""

    @classmethod
    def parse(cls, text: str | Reference) -> Reference:
        """Read ``owner/name`` or ``owner/name@rev``.

        Raises:
            ReferenceInvalid: it is neither.
        """
        if isinstance(text, Reference):
            return text
        hub, rest = split_hub(text)
        if hub:
            message = (
                f"“{text[:200]}” names the hub “{hub}”. In a command, write it first: "
                f"{hub}:owner/name, {hub}:pack:owner/name. In Python, use "
                f'lorary.Hub("{hub}"), and “{rest[:200]}” with it.'
            )
            raise ReferenceInvalid(message)
        full_name, at, rev = text.partition("@")
        owner, slash, name = full_name.partition("/")
        if not slash or not is_name(owner) or not is_name(name):
            message = f"“{text[:200]}” is not owner/name or owner/name@version. {_advice(text)}"
            raise ReferenceInvalid(message)
        if at and not _is_rev(rev):
            message = (
                f"“{text[:200]}”: “@” must be followed by a version (v3), an alias or a revision."
            )
            raise ReferenceInvalid(message)
        return cls(owner, name, rev)

    @property
    def full_name(self) -> str:
        """``owner/name``."""
        return f"{self.owner}/{self.name}"

    @property
    def api_path(self) -> str:
        """Path of the adapter below the API's root, quoted."""
        return f"adapters/{quote(self.owner, safe='')}/{quote(self.name, safe='')}"

    @property
    def version_path(self) -> str:
        """Path of the version below the API's root, quoted."""
        return f"{self.api_path}/versions/{quote(self.rev or 'latest', safe='')}"

    def __str__(self) -> str:
        return f"{self.full_name}@{self.rev}" if self.rev else self.full_name


def _is_rev(rev: str) -> bool:
    return 1 <= len(rev) <= _MAX_REV and rev.isprintable() and not set(rev) & set(" @?#\\")


def require_no_version(reference: Reference) -> Reference:
    """Return a reference to an adapter or a pack as a whole.

    Raises:
        ReferenceInvalid: it has a version, which the caller would ignore.
    """
    if reference.rev:
        message = f"“{reference}” is a version. Leave it out: {reference.full_name}."
        raise ReferenceInvalid(message)
    return reference


def as_list(words: str | Iterable[str]) -> list[str]:
    """Return words as a list; a text is one word, and an empty text none."""
    return [words] if words and isinstance(words, str) else list(words)


def generic_rest(stem: str, variant: str = "") -> str | None:
    """Return what follows a generic name, such as ``fp16`` or ``000010``; None for other names.

    Args:
        stem: Name of a file without its suffix.
        variant: The file's variant, empty for the primary file; returned if nothing follows
            the name.
    """
    match = _GENERIC.match(stem)
    if match is None:
        return None
    return _UNUSUAL.sub("-", match["rest"].strip("._ -") or variant)[:_MAX_MARK].strip("-.")


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a namespace or an adapter."""
    return _NAME.match(text) is not None


def is_hub_name(text: str) -> bool:
    """Return whether a text can be the name of a hub: no address, and no other prefix."""
    return _HUB_NAME.match(text) is not None and text not in _NO_HUB_NAMES


def split_hub(text: str) -> tuple[str, str]:
    """Return the name of the hub before a reference, empty if there is none, and the rest.

    ``work:owner/name`` and ``work:pack:owner/name`` are on the hub ``work``.
    """
    name, colon, rest = text.partition(":")
    is_named = bool(colon) and is_hub_name(name) and not rest.startswith("/")
    return (name, rest) if is_named else ("", text)


def is_tag(word: str) -> bool:
    """Return whether a word can be a tag: letters, digits, spaces and a few symbols."""
    return _TAG.match(" ".join(word.casefold().split())) is not None


def saved_name(owner: str, name: str, path: str, variant: str = "") -> str:
    """Return the name of a downloaded file: its own, or the adapter's if its own is generic.

    Args:
        owner: The namespace.
        name: The adapter's name in the namespace.
        path: The file's path in the version.
        variant: The file's variant, empty for the primary file.
    """
    own = path.rpartition("/")[2]
    stem = own.removesuffix(".safetensors")
    rest = generic_rest(stem, variant) if stem != own else None
    if rest is None:
        return own
    return "--".join(part for part in (owner, name, rest) if part) + ".safetensors"


def safe_segment(name: str) -> str:
    """Return a folder name for an owner or an adapter that is valid on every system.

    Windows reserves device names, with any extension. They get a ``_`` before the first dot:
    ``con`` becomes ``con_``, and ``con_`` becomes ``con__``, so that no two names collide.
    """
    stem, dot, rest = name.partition(".")
    return f"{stem}_{dot}{rest}" if _WINDOWS_DEVICE.match(stem.rstrip("_")) else name


def _advice(text: str) -> str:
    """Return what somebody may have meant by a text that is no reference."""
    if _DIGITS.match(text) and len(text) in _HASH_DIGITS:
        return "This looks like a hash. Only lorary find and lorary pull take hashes."
    if _DIGITS.match(text):
        return f"A hash of a file has 8, 10, 12 or 64 hex digits, not {len(text)}."
    if "pack:" in text:
        return (
            "Packs have their own calls and commands, such as Hub.edit_pack and lorary pack edit. "
            "Hub.pull_all and lorary pull take both."
        )
    word = text.partition("@")[0]
    if is_name(word):
        return f"To search for it: lorary search {word}"
    return "A name has up to 96 letters, digits, “.”, “_” and “-”, and no spaces."


def absolute(folder: StrPath | None) -> Path | None:
    """Return the absolute path of a folder that a user names; None stays None."""
    return None if folder is None else normal(Path(folder).expanduser().absolute())


def normal(path: Path) -> Path:
    """Return an absolute path without ``..``, unless links give these another meaning."""
    plain = Path(os.path.normpath(path))
    return plain if plain.resolve() == path.resolve() else path


def check_endpoint(text: str) -> str:
    """Return a hub's address in canonical form: scheme, host, port, path without a trailing slash.

    Raises:
        SettingInvalid: it is not an http or https address.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        msg = f"The hub's address “{text[:200]}” is not a URL."
        raise SettingInvalid(msg) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"The hub's address “{text[:200]}” must begin with http:// or https://."
        raise SettingInvalid(msg)
    if parts.username is not None or parts.query or parts.fragment:
        msg = "The hub's address must not contain a user name, “?” or “#”."
        raise SettingInvalid(msg)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    suffix = "" if port in {None, default} else f":{port}"
    return f"{parts.scheme}://{host}{suffix}{parts.path.rstrip('/')}"


def check_paths(paths: Iterable[str]) -> None:
    """Make sure that files can be written under these names, in one folder, on any system.

    The names come from a hub, which could be hostile or broken.

    Raises:
        UnsafePath: a path is absolute, leaves its folder, contains hidden characters, is a hidden
            file (.git/config, .bashrc), names a device, or collides with another when case
            is ignored.
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        if reason := _path_fault(path):
            message = f"The hub lists a file {path[:200]!r}, which {reason}. Nothing was written."
            raise UnsafePath(message, facts={"path": path[:_MAX_PATH]})
        key = collision_key(path)
        parents = _parents(key)
        others = (files.get(key), folders.get(key), *map(files.get, parents))
        other = next((other for other in others if other is not None), None)
        if other is not None:
            message = f"{_collision(path, other)} Nothing was written."
            raise UnsafePath(message, facts={"path": path[:_MAX_PATH]})
        files[key] = path
        folders.update(dict.fromkeys(parents, path))


def collision_key(path: str) -> str:
    """Return a key that is equal for paths that file systems may treat as equal (Unicode, D145)."""
    decomposed = unicodedata.normalize("NFD", path)
    return unicodedata.normalize("NFD", decomposed.casefold())


def _collision(path: str, other: str) -> str:
    if path == other:
        return f"The hub lists {path[:200]!r} twice."
    return (
        f"The hub lists {other[:200]!r} and {path[:200]!r}, which some file systems cannot store "
        "together."
    )


def _parents(path: str) -> list[str]:
    segments = path.split("/")
    return ["/".join(segments[:end]) for end in range(1, len(segments))]


def _path_fault(path: str) -> str:
    if not 1 <= len(path) <= _MAX_PATH:
        return "is empty or too long"
    if any(unicodedata.category(char) in _INVISIBLE for char in path):
        return "has invisible characters"
    if _FORBIDDEN & set(path):
        return "has a character that some systems forbid"
    for segment in path.split("/"):
        if reason := _segment_fault(segment):
            return reason
    return ""


def _segment_fault(segment: str) -> str:
    if segment in {"", ".", ".."}:
        return "does not stay inside its folder"
    if segment[0] == ".":
        return "begins with a dot"
    if _SHORT_NAME.match(segment):
        return "is a short name on Windows"
    if len(segment.encode()) > MAX_SEGMENT_BYTES:
        return "is too long"
    if segment[0] == " " or segment[-1] in " .":
        return "begins or ends with a space or a dot"
    if _WINDOWS_DEVICE.match(segment.partition(".")[0].rstrip()):
        return "has a device name on Windows"
    return ""
