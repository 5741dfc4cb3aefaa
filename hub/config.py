"""All settings of a hub, as one frozen object: ``django.conf.settings.LORARY``."""

from __future__ import annotations

import logging
import os
import re
import secrets
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy

from registry.local_files import flush, make_folder

# Typed reading of ``LORARY_*`` environment variables.
#
# An invalid value stops the start with a message that has the variable's name, the value and the
# accepted values. Nothing is guessed: ``LORARY_DEBUG=maybe`` is an error, not false.

PREFIX = "LORARY_"
TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})
UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
#: Proxies in a row.
MAX_HOPS = 10
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return the number of bytes of ``20GiB``, ``512 MB``, ``1.5g`` or ``1048576``.

    Raises:
        ValueError: The text is not a size, or its unit is unknown.
    """
    match = SIZE.fullmatch(text.strip())
    if match is None or match[2].lower() not in UNITS:
        message = f"{text!r} is not a size such as 20GiB, 500MB or 1048576"
        raise ValueError(message)
    return int(float(match[1]) * UNITS[match[2].lower()])


def parse_quota(text: str) -> int | None:
    """Return the bytes of a size, ``sys.maxsize`` for ``none``, None for ``default``.

    Raises:
        ValueError: as ``parse_size``.
    """
    word = text.strip().lower()
    if word in {"none", "default"}:
        return sys.maxsize if word == "none" else None
    return parse_size(text)


class Env:
    """Typed access to the environment variables of a process.

    Attributes:
        known: Names read so far, without prefix; other variables with the prefix are typos.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.known: set[str] = set()

    def text(self, name: str, default: str = "") -> str:
        """Return the variable, or the default if it is unset or empty."""
        self.known.add(name)
        return self._environ.get(PREFIX + name, "").strip() or default

    def secret(self, name: str) -> str:
        """Return ``NAME``, or the content of the file that ``NAME_FILE`` points to."""
        value, path = self.text(name), self.text(f"{name}_FILE")
        if value and path:
            raise _bad(name, "both it and its _FILE form are set", "set one of them")
        if not path:
            return value
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise _bad(name, f"its _FILE form fails: {error}", "name a readable file") from error

    def choice(self, name: str, default: str, choices: Iterable[str]) -> str:
        """Return one of the choices; case does not matter."""
        value = self.text(name, default)
        for choice in choices:
            if choice.lower() == value.lower():
                return choice
        raise _bad(name, f"{value!r} is not supported", f"use one of {', '.join(choices)}")

    def time_zone(self, name: str) -> str:
        """Return the name of a time zone."""
        value = self.text(name, "UTC")
        try:
            return ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            hint = "use a name such as UTC or Europe/Paris"
            raise _bad(name, f"{value!r} is not a time zone", hint) from error

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean; see ``TRUE`` and ``FALSE``."""
        value = self.text(name).lower()
        if not value:
            return default
        if value not in TRUE | FALSE:
            raise _bad(
                name, f"{value!r} is neither yes nor no", "use one of 1 0 true false yes no on off"
            )
        return value in TRUE

    def hops(self, name: str) -> int:
        """Return a number of proxies; ``true`` means one, ``false`` none."""
        value = self.text(name)
        if not value.isdecimal():
            return int(self.flag(name, default=False))
        if int(value) > MAX_HOPS:
            raise _bad(name, f"{value} proxies are too many", f"use a number up to {MAX_HOPS}")
        return int(value)

    def integer(self, name: str, default: int) -> int:
        """Return a whole number."""
        value = self.text(name)
        try:
            return int(value) if value else default
        except ValueError as error:
            raise _bad(name, f"{value!r} is not a whole number", "use digits only") from error

    def size(self, name: str, default: str) -> int:
        """Return a number of bytes."""
        try:
            return parse_size(self.text(name, default))
        except ValueError as error:
            raise _bad(name, str(error), "use a size such as 20GiB") from error

    def limit(self, name: str, default: str) -> int:
        """Return a number of bytes; 0 means no limit, and so does ``none``."""
        return 0 if self.text(name, default).lower() == "none" else self.size(name, default)

    def path(self, name: str, default: Path) -> Path:
        """Return an absolute path; a relative one is resolved in the working directory."""
        value = self.text(name)
        return Path(value).expanduser().absolute() if value else default

    def names(self, name: str) -> tuple[str, ...]:
        """Return the items of a comma-separated list."""
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())

    def unknown(self, *, besides: frozenset[str] = frozenset()) -> list[str]:
        """Return the variables with the prefix that no setting reads."""
        names = (key.removeprefix(PREFIX) for key in self._environ if key.startswith(PREFIX))
        return sorted(name for name in names if name not in self.known | besides)


def _bad(name: str, found: str, hint: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{PREFIX}{name}: {found}; {hint}")


# Read by the SDK and by the tests, not by the hub.
FOREIGN = frozenset({"ENDPOINT", "TOKEN", "HOME", "REFERENCE"})
FOR_TESTS = "TEST_"

LANGUAGES = {"en": gettext_lazy("English")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The settings of a hub. ``docs/settings.md`` explains each field.

    Sizes are in bytes, times in the unit that the name ends with.
    """

    data: Path
    database_url: str = field(repr=False)
    database_replica_url: str = field(repr=False)
    database_pool: int
    broker_url: str = field(repr=False)
    cache_url: str = field(repr=False)
    storage: str
    secret_key: str = field(repr=False)
    base_url: str
    allowed_hosts: tuple[str, ...]
    trust_proxy: int
    debug: bool
    log_level: str
    log_format: str
    metrics_token: str = field(repr=False)
    language: str
    time_zone: str
    signup: bool
    staff_totp: bool
    security_contact: str
    search_engines: bool
    token_days: int
    bases: Path
    lineages: Path | None
    accel: str
    max_file_bytes: int
    max_header_bytes: int
    stranger_header_bytes: int
    inspections: int
    max_hashes: int
    max_counted: int
    part_bytes: int
    quota_bytes: int
    upload_days: int
    upload_log_days: int
    audit_days: int
    audit_address_days: int
    grace_days: int
    thumbnail_bytes: int
    derived_bytes: int
    derived_total_bytes: int
    derived_per_hour: int
    derived_forms: int
    derived_days: int
    job_lease_s: int
    xet_bytes: int
    anonymous_per_minute: int
    pages_per_minute: int
    drawn_per_minute: int
    xet_ratio: int
    writes_per_minute: int
    tryouts_open: int
    tryouts_per_day: int
    samples_per_day: int
    tryout_days: int
    try_strangers: int
    min_body_rate: int
    unknown: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()

    @property
    def is_https(self) -> bool:
        """Whether the public address uses TLS."""
        return urlsplit(self.base_url).scheme == "https"


def load(env: Env, root: Path) -> Config:
    """Return the configuration from the environment.

    Args:
        root: Folder of the checkout, for defaults.

    Raises:
        ImproperlyConfigured: A value is invalid.
    """
    data = env.path("DATA", root / "var")
    base_url = env.text("BASE_URL").rstrip("/")
    values = Config(
        data=data,
        database_url=env.secret("DATABASE_URL"),
        database_replica_url=env.secret("DATABASE_REPLICA_URL"),
        database_pool=env.integer("DATABASE_POOL", 6),
        broker_url=env.secret("BROKER_URL"),
        cache_url=env.secret("CACHE_URL"),
        storage=env.text("STORAGE", moved_to(data) or (data / "files").as_uri()),
        secret_key=env.secret("SECRET_KEY") or _kept_secret(data),
        base_url=base_url,
        allowed_hosts=env.names("ALLOWED_HOSTS") or _hosts_of(base_url),
        trust_proxy=env.hops("TRUST_PROXY"),
        debug=env.flag("DEBUG", default=False),
        log_level=env.choice("LOG_LEVEL", "INFO", logging.getLevelNamesMapping()),
        log_format=env.choice("LOG_FORMAT", "text", ("text", "json")),
        metrics_token=env.secret("METRICS_TOKEN"),
        language=env.choice("LANGUAGE", "en", LANGUAGES),
        time_zone=env.time_zone("TIME_ZONE"),
        signup=env.flag("SIGNUP", default=True),
        staff_totp=env.flag("STAFF_TOTP", default=False),
        security_contact=env.text("SECURITY_CONTACT"),
        search_engines=env.flag("SEARCH_ENGINES", default=True),
        token_days=env.integer("TOKEN_DAYS", 90),
        bases=env.path("BASES", root / "previews" / "bases.toml"),
        lineages=env.path("LINEAGES", root) if env.text("LINEAGES") else None,
        accel=env.text("ACCEL"),
        max_file_bytes=env.size("MAX_FILE_BYTES", "8GiB"),
        max_header_bytes=env.size("MAX_HEADER_BYTES", "16MiB"),
        stranger_header_bytes=env.size("STRANGER_HEADER_BYTES", "4MiB"),
        inspections=env.integer("INSPECTIONS", 4),
        max_hashes=env.integer("MAX_HASHES", 2000),
        max_counted=env.integer("MAX_COUNTED", 1000),
        part_bytes=env.size("UPLOAD_PART_BYTES", "16MiB"),
        quota_bytes=env.limit("QUOTA_BYTES", "50GB"),
        upload_days=env.integer("UPLOAD_DAYS", 7),
        upload_log_days=env.integer("UPLOAD_LOG_DAYS", 90),
        audit_days=env.integer("AUDIT_DAYS", 400),
        audit_address_days=env.integer("AUDIT_ADDRESS_DAYS", 90),
        grace_days=env.integer("GRACE_DAYS", 7),
        thumbnail_bytes=env.size("THUMBNAIL_BYTES", "4GiB"),
        derived_bytes=env.size("DERIVED_BYTES", "4GiB"),
        derived_total_bytes=env.size("DERIVED_TOTAL_BYTES", "20GiB"),
        derived_per_hour=env.integer("DERIVED_PER_HOUR", 60),
        derived_forms=env.integer("DERIVED_FORMS", 24),
        derived_days=env.integer("DERIVED_DAYS", 30),
        job_lease_s=env.integer("JOB_LEASE_S", 30),
        xet_bytes=env.size("XET_BYTES", "32GiB"),
        anonymous_per_minute=env.integer("ANONYMOUS_PER_MINUTE", 1800),
        pages_per_minute=env.integer("PAGES_PER_MINUTE", 1200),
        drawn_per_minute=env.integer("DRAWN_PER_MINUTE", 120),
        xet_ratio=env.integer("XET_RATIO", 32),
        writes_per_minute=env.integer("WRITES_PER_MINUTE", 3000),
        tryouts_open=env.integer("TRYOUTS_OPEN", 3),
        tryouts_per_day=env.integer("TRYOUTS_PER_DAY", 100),
        samples_per_day=env.integer("SAMPLES_PER_DAY", 2000),
        tryout_days=env.integer("TRYOUT_DAYS", 7),
        try_strangers=env.integer("TRY_STRANGERS", 20),
        min_body_rate=env.size("MIN_BODY_RATE", "1KiB"),
    )
    unknown = [name for name in env.unknown(besides=FOREIGN) if not name.startswith(FOR_TESTS)]
    return replace(values, unknown=tuple(unknown), known=frozenset(env.known))


def prepare(data: Path) -> None:
    """Create the folders that every process of a hub needs."""
    for part in ("", "broker", "broker/messages", "broker/taken", "broker/control"):
        make_folder(data / part)


def _hosts_of(base_url: str) -> tuple[str, ...]:
    host = urlsplit(base_url).hostname
    return ("localhost", "127.0.0.1", "[::1]", *((host,) if host else ()))


def _kept_secret(data: Path) -> str:
    """Return the key stored in the data directory; the first start creates it.

    The complete file is linked into place, so two processes that start together get the same key.
    """
    path = data / "secret_key"
    if not path.exists():
        make_folder(data)
        draft = data / f".secret_key.{os.getpid()}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(secrets.token_urlsafe(50))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was faster: its key is used
        finally:
            draft.unlink()
    return path.read_text(encoding="utf-8").strip()


def stored_key(data: Path) -> str:
    """Return the key in the data directory, "" if there is none; LORARY_SECRET_KEY wins over it."""
    try:
        return (data / "secret_key").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


_FILE = "storage_url"


def moved_to(data: Path) -> str:
    """Return the URL of the store that the files were moved to; "" if they were not moved.

    ``manage.py storage move`` writes it to ``<data>/storage_url`` as its last step. From then on it
    is the default of ``LORARY_STORAGE``, and a hub with another value does not start.
    """
    try:
        return (data / _FILE).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def save_move(data: Path, url: str) -> None:
    """Write the URL of the new store, atomically."""
    draft = data / f".{_FILE}.{os.getpid()}"
    with draft.open("w", encoding="utf-8") as handle:
        handle.write(f"{url}\n")
        handle.flush()
        os.fsync(handle.fileno())
    draft.replace(data / _FILE)
    flush(data)
