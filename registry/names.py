"""Rules for names and paths, and for characters that no text may contain.

Owner and adapter names follow the Hugging Face Hub: at most 96 characters of
``[A-Za-z0-9._-]``, no ``--`` or ``..``, no leading or trailing ``.`` or ``-``, no ``.git``
suffix. They are unique regardless of case: ``key_of`` gives the key. A new name
must not be a Windows device name, because adapters become folders; an owner's must not be reserved.
Older names that break these rules keep working.

Aliases have 1 to 96 of the same characters, in one or more parts separated by ``/``, like
branches (``feat/rain``). A part begins and ends with a letter, a digit or ``_`` and has no
``..``. They are case-sensitive, but two must not differ only in case. An alias must not look like
another way to name a version (``main``, ``latest``, ``HEAD``, ``v3``, a revision), begin with
``refs/`` like full names in git, or end with ``/history`` like an API address.

Paths are POSIX, relative, and safe to create on Windows as well.
Source: huggingface_hub ``validate_repo_id``; MS-FSCC reserved names.
"""

from __future__ import annotations

import re
import unicodedata

from django.utils.translation import gettext as _

from registry.errors import NameInvalid, PathInvalid

MAX_NAME = 96
MAX_PATH = 255
MAX_DEPTH = 8
#: Owner of the adapters that `manage.py demo` publishes.
DEMO_OWNER = "lorary"

#: First path segments that the site uses or may use, and names that could be used to impersonate
#: this or another hub; new namespaces must not have them.
RESERVED_NAMES = frozenset(
    {
        "about", "abuse", "account", "accounts", "admin", "administrator", "api", "assets",
        "autov2", "blake3", "blog", "browse", "civitai", "collections", "compare", "contact",
        "creators", "datasets", "docs", "download", "downloads", "events",
        "favicon.ico", "feeds", "health", "healthz", "help", "hf", "home", "hub", "huggingface",
        "images", "inspect", "join", "jobs", "legal", "login", "logout", "md5", "media",
        "metrics", "mix", "mixer", "model-versions", "models", "moderation", "moderator", "new",
        "news", "notifications", "oauth", "official", "operator", "organisations",
        "organizations", "pack", "packs", "password", "postmaster", "privacy", "publish",
        "renders", "resolve", "robots.txt", "root", "search", "security", "settings", "sha1",
        "sha256", "signin", "signout", "signup", "sitemap.xml", "spaces", "staff", "static",
        "status", "styleguide", "support", "system", "takedowns", "tags", "terms", "tokens",
        "try", "uploads", "users", "v1", "webmaster", "well-known", "workers", "xet",
    }
)  # fmt: skip

_NAME = re.compile(r"[A-Za-z0-9._-]{1,1024}\Z")
_ALIAS_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_ALIAS = re.compile(rf"(?=.{{1,96}}\Z){_ALIAS_PART}(?:/{_ALIAS_PART}){{0,96}}\Z")
_ALIAS_KEPT = frozenset({"main", "latest", "head"})
_LIKE_A_VERSION = re.compile(r"v[0-9]{1,1024}\Z|[0-9a-f]{40}\Z", re.IGNORECASE)
_WINDOWS_DEVICE = re.compile(
    r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])[ ]{0,1024}(\..{0,1024})?\Z"
)
_SHORT_NAME = re.compile(r"[^.~]{1,6}~[0-9]{1,1024}\Z")  # GIT~1 is .git there
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_FORBIDDEN_IN_PATH = set('<>:"|?*\\')


def has_control(text: str) -> bool:
    """Return whether a text has invisible characters other than tabs and line breaks."""
    return any(char not in "\n\r\t" and unicodedata.category(char) in {"Cc", "Cs"} for char in text)


def key_of(name: str) -> str:
    """Return the key by which names are compared for uniqueness.

    PostgreSQL refuses texts with NUL, also in a look-up. No valid name has it or its substitute.
    """
    return name.replace("\0", "\N{REPLACEMENT CHARACTER}").casefold()


def check_name(name: str) -> str:
    """Return ``name`` if it is valid for an existing object.

    Raises:
        NameInvalid: with the rule that was broken.
    """
    if reason := _name_fault(name):
        raise NameInvalid(reason, name=name[:MAX_NAME])
    return name


def check_new_name(name: str, *, is_namespace: bool = False) -> str:
    """Return ``name`` if a new adapter or, with ``is_namespace``, a new namespace may have it.

    Raises:
        NameInvalid: with the rule that was broken.
    """
    reason = ""
    if is_device(check_name(name)):
        reason = _("“%(name)s” is a device name on Windows; choose another name.")
    elif is_namespace and key_of(name) in RESERVED_NAMES:
        reason = _("“%(name)s” is reserved on this hub; choose another name.")
    if reason:
        raise NameInvalid(reason % {"name": name}, name=name)
    return name


def is_device(name: str) -> bool:
    """Whether Windows reserves a name for a device, with any extension and in any case."""
    return _WINDOWS_DEVICE.match(name) is not None


def _name_fault(name: str) -> str:
    if not 1 <= len(name) <= MAX_NAME:
        return _("A name must have 1 to %(limit)d characters.") % {"limit": MAX_NAME}
    if not _NAME.match(name):
        return _("A name can contain only letters, digits, “.”, “_” and “-”.")
    if "--" in name or ".." in name:
        return _("A name must not contain “--” or “..”.")
    if name[0] in ".-" or name[-1] in ".-":
        return _("A name must not begin or end with “.” or “-”.")
    if name.casefold().endswith(".git"):
        return _("A name must not end in “.git”.")
    return ""


def check_alias(name: str) -> str:
    """Return ``name`` if an owner may use it for an alias.

    Raises:
        NameInvalid: with the rule that was broken.
    """
    reason = ""
    if key_of(name) == "main":
        reason = _("“main” is moved by publishing and by commits. Choose another name.")
    elif key_of(name) in _ALIAS_KEPT:
        reason = _("“%(name)s” is reserved and cannot be moved. Choose another name.") % {
            "name": name
        }
    elif _LIKE_A_VERSION.match(name):
        reason = _("“%(name)s” looks like a version or a revision, which cannot be moved.") % {
            "name": name[:MAX_NAME]
        }
    elif key_of(name).startswith("refs/") or key_of(name).endswith("/history"):
        reason = _("An alias must not begin with “refs/” or end with “/history”.")
    elif not _ALIAS.match(name) or ".." in name:
        reason = _(
            "An alias must have 1 to %(limit)d letters, digits, “.”, “_” and “-”, begin and end "
            "with a letter, a digit or “_”, and not contain “..”. It can have parts "
            "separated by “/”, as in “feat/rain”."
        ) % {"limit": MAX_NAME}
    if reason:
        raise NameInvalid(reason, name=name[:MAX_NAME])
    return name


def check_path(path: str) -> str:
    """Return ``path`` (NFC) if all systems can store it and it stays inside its folder.

    Raises:
        PathInvalid: with the rule that was broken.
    """
    normal = unicodedata.normalize("NFC", path)
    reason = _path_fault(normal)
    if reason:
        raise PathInvalid(reason, path=path[:MAX_PATH])
    return normal


def _path_fault(path: str) -> str:
    if not 1 <= len(path.encode("utf-8", "surrogatepass")) <= MAX_PATH:
        return _("A file name must have 1 to %(limit)d bytes.") % {"limit": MAX_PATH}
    if any(unicodedata.category(char) in _INVISIBLE for char in path):
        return _("A file name must not contain invisible characters.")
    segments = path.split("/")
    if len(segments) > MAX_DEPTH:
        return _("A path can have at most %(limit)d folders.") % {"limit": MAX_DEPTH}
    for segment in segments:
        if reason := _segment_fault(segment):
            return reason
    return ""


def _segment_fault(segment: str) -> str:
    if segment in {"", ".", ".."}:
        return _("A path must stay inside its folder: no “..”, no empty parts, no leading “/”.")
    if _FORBIDDEN_IN_PATH & set(segment):
        return _("A file name must not contain < > : \" | ? * \\.")  # fmt: skip
    if segment[-1] in " ." or segment[0] == " ":
        return _("A file name must not begin with a space, or end with a space or a dot.")
    if is_device(segment):
        return _("“%(name)s” is a device name on Windows; rename it.") % {"name": segment}
    if _SHORT_NAME.match(segment):
        text = _("“%(name)s” is a short name that Windows can use for another file; rename it.")
        return text % {"name": segment}
    if segment[0] == ".":
        return _("A file name must not begin with a dot.")
    return ""
