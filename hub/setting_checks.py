"""Django system checks of the settings, each with an id and a hint.

They run before every management command, and thus before a hub starts. ``manage.py doctor`` also
checks storage, broker, workers and rows. An id such as ``lorary.E001`` stops the start,
``lorary.W001`` is a warning; numbers of settings are fixed. Other values are refused when they are
read (``hub/config.py``, ``hub/databases.py``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core import checks

from hub.config import Config, moved_to
from lorary.anatomy.claims.lineages import LineageError, load_lineages
from registry.database.guards import AUDIT_DAYS
from registry.storage import parse_location

Finding: TypeAlias = "tuple[str, str] | None"  # message, hint

#: Commands that must start fast run only the checks with this tag, and therefore import no pages.
TAG = "lorary"

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MIB, GIB = 2**20, 2**30
#: Characters of a token that cannot be guessed.
MIN_TOKEN = 20


def _data(config: Config) -> Finding:
    if os.access(config.data, os.W_OK | os.X_OK):
        return None
    return f"{config.data} cannot be written", "Use a directory that the hub can write to."


def _broker_url(config: Config) -> Finding:
    if urlsplit(config.broker_url).scheme in {"", "redis", "rediss", "amqp", "amqps"}:
        return None
    return "unsupported broker", "Use redis:// or amqp://, or leave it unset."


def _cache_url(config: Config) -> Finding:
    if urlsplit(config.cache_url).scheme in {"", "redis", "rediss"}:
        return None
    return "unsupported cache", "Use redis://, or leave it unset."


def _storage(config: Config) -> Finding:
    try:
        parse_location(config.storage)
    except ValueError as error:
        return f"{config.storage!r} is not a valid storage address", str(error)
    return None


def _part_bytes(config: Config) -> Finding:
    """Check the size of parts: buckets need at least 5 MiB, a local disk does not."""
    is_bucket = config.storage.startswith("s3:")
    return _within("part_bytes", 5 * MIB if is_bucket else MIB // 16, 5 * GIB)(config)


def _secret_key(config: Config) -> Finding:
    if len(config.secret_key) >= 40:
        return None
    return (
        "the key is shorter than 40 characters",
        "Leave it unset: the hub then generates and stores one.",
    )


def _metrics_token(config: Config) -> Finding:
    if not config.metrics_token or len(config.metrics_token) >= MIN_TOKEN:
        return None
    return (
        f"the token is shorter than {MIN_TOKEN} characters",
        "Use a random one, such as that of `openssl rand -hex 32`, or leave it unset.",
    )


def _base_url(config: Config) -> Finding:
    parts = urlsplit(config.base_url)
    if not config.base_url or (parts.scheme in {"http", "https"} and parts.netloc):
        return None
    return (
        f"{config.base_url!r} is not a valid address",
        "Use the public address, such as https://hub.example.",
    )


def _allowed_hosts(config: Config) -> Finding:
    if "*" not in config.allowed_hosts:
        return None
    return (
        "any Host header is accepted",
        "List the hosts, or leave it unset to use that of LORARY_BASE_URL.",
    )


def _trust_proxy(config: Config) -> Finding:
    if not config.trust_proxy or config.base_url:
        return None
    return "a proxy is trusted but no address is set", "Set LORARY_BASE_URL as well."


def _debug(config: Config) -> Finding:
    if not config.debug or urlsplit(config.base_url).hostname in LOOPBACK | {None}:
        return None
    return "errors show source code and settings to everyone", "Unset LORARY_DEBUG."


def _bases(config: Config) -> Finding:
    if config.bases.is_file():
        return None
    return (
        f"{config.bases} does not exist: nothing is rendered",
        "Set it to a bases file (docs/settings.md).",
    )


def _lineages(config: Config) -> Finding:
    try:
        load_lineages(config.lineages)
    except LineageError as error:
        return str(
            error
        ), "Set it to a JSON file as described in docs/settings.md, or leave it unset."
    return None


def _accel(config: Config) -> Finding:
    if not config.accel or (config.accel.startswith("/") and config.accel.endswith("/")):
        return None
    return f"{config.accel!r} is not a location", "Use nginx's internal location, such as /blobs/."


def _storage_in_use(config: Config) -> Finding:
    """Refuse a store that the files were moved away from."""
    place = moved_to(config.data)
    if (finding := _storage(config)) is not None or not place:
        return finding
    try:
        if is_same_store(place, config.storage):
            return None
    except ValueError as error:
        return (
            f"storage_url in {config.data} has no valid address: {error}",
            "Correct or delete the file.",
        )
    return (
        f"it is {config.storage}, but the files were moved to {place}",
        "Set it to the new address. If that is wrong, delete storage_url in LORARY_DATA.",
    )


def is_same_store(first: str, second: str) -> bool:
    """Whether two URLs name the same store."""
    one, other = parse_location(first), parse_location(second)
    if isinstance(one, Path) or isinstance(other, Path):
        both = [place.resolve() for place in (one, other) if isinstance(place, Path)]
        return len(both) == 2 and both[0] == both[1]
    return (one.endpoint, one.bucket, one.prefix) == (other.endpoint, other.bucket, other.prefix)


def _security_contact(config: Config) -> Finding:
    contact = config.security_contact
    is_address = urlsplit(contact).scheme in {"https", "mailto", "tel"}
    is_mail = "@" in contact and ":" not in contact
    if not contact or ((is_address or is_mail) and contact.isprintable() and " " not in contact):
        return None
    return (
        f"{contact!r} is not an address that reports can be sent to",
        "Use an e-mail address or a URL with https:, mailto: or tel:.",
    )


def _within(field: str, least: int, most: int) -> Callable[[Config], Finding]:
    def check(config: Config) -> Finding:
        value: int = getattr(config, field)
        if least <= value <= most:
            return None
        return f"{value} is out of range", f"Use a value from {least} to {most}."

    return check


def _audit_days(config: Config) -> Finding:
    """Refuse fewer days than the database keeps events, whatever the setting says."""
    return None if not config.audit_days else _within("audit_days", AUDIT_DAYS, 36_500)(config)


CHECKS: dict[str, tuple[str, Callable[[Config], Finding]]] = {
    "DATA": ("E001", _data),
    "DATABASE_POOL": ("E070", _within("database_pool", 0, 100)),
    "BROKER_URL": ("E003", _broker_url),
    "CACHE_URL": ("E004", _cache_url),
    "STORAGE": ("E005", _storage_in_use),
    "SECRET_KEY": ("E006", _secret_key),
    "BASE_URL": ("E007", _base_url),
    "METRICS_TOKEN": ("E071", _metrics_token),
    "ALLOWED_HOSTS": ("W008", _allowed_hosts),
    "TRUST_PROXY": ("W009", _trust_proxy),
    "DEBUG": ("W010", _debug),
    "BASES": ("W015", _bases),
    "LINEAGES": ("E025", _lineages),
    "ACCEL": ("E016", _accel),
    "SECURITY_CONTACT": ("E072", _security_contact),
    "MAX_FILE_BYTES": ("E017", _within("max_file_bytes", MIB, 1024 * GIB)),
    # The format itself ends at 100 MB.
    "MAX_HEADER_BYTES": ("E018", _within("max_header_bytes", MIB // 16, 100_000_000)),
    "MAX_HASHES": ("E040", _within("max_hashes", 1, 10_000)),
    "MAX_COUNTED": ("E054", _within("max_counted", 100, 100_000)),
    "UPLOAD_PART_BYTES": ("E019", _part_bytes),
    "QUOTA_BYTES": ("E020", _within("quota_bytes", 0, 2**62)),
    "UPLOAD_DAYS": ("E021", _within("upload_days", 1, 365)),
    "UPLOAD_LOG_DAYS": ("E030", _within("upload_log_days", 1, 36_500)),
    "AUDIT_DAYS": ("E080", _audit_days),
    "AUDIT_ADDRESS_DAYS": ("E081", _within("audit_address_days", 0, 36_500)),
    "GRACE_DAYS": ("E022", _within("grace_days", 0, 365)),
    "THUMBNAIL_BYTES": ("E055", _within("thumbnail_bytes", 0, 2**62)),
    "DERIVED_BYTES": ("E060", _within("derived_bytes", 0, 1024 * GIB)),
    "DERIVED_TOTAL_BYTES": ("E064", _within("derived_total_bytes", 0, 2**62)),
    "DERIVED_PER_HOUR": ("E061", _within("derived_per_hour", 0, 100_000)),
    "DERIVED_FORMS": ("E062", _within("derived_forms", 1, 1000)),
    "DERIVED_DAYS": ("E063", _within("derived_days", 1, 3650)),
    "JOB_LEASE_S": ("E023", _within("job_lease_s", 2, 3600)),
    "XET_BYTES": ("E029", _within("xet_bytes", 128 * MIB, 2**62)),
    "TOKEN_DAYS": ("E037", _within("token_days", 0, 3650)),
    "ANONYMOUS_PER_MINUTE": ("E082", _within("anonymous_per_minute", 0, 1_000_000)),
    "PAGES_PER_MINUTE": ("E041", _within("pages_per_minute", 0, 1_000_000)),
    "DRAWN_PER_MINUTE": ("E042", _within("drawn_per_minute", 0, 1_000_000)),
    "XET_RATIO": ("E050", _within("xet_ratio", 1, 2**20)),
    "STRANGER_HEADER_BYTES": ("E051", _within("stranger_header_bytes", MIB // 16, 100_000_000)),
    "INSPECTIONS": ("E052", _within("inspections", 1, 1000)),
    "WRITES_PER_MINUTE": ("E053", _within("writes_per_minute", 0, 1_000_000)),
    "TRYOUTS_OPEN": ("E026", _within("tryouts_open", 1, 100)),
    "SAMPLES_PER_DAY": ("E083", _within("samples_per_day", 1, 1_000_000)),
    "TRYOUTS_PER_DAY": ("E027", _within("tryouts_per_day", 1, 100_000)),
    "TRYOUT_DAYS": ("E028", _within("tryout_days", 1, 365)),
    "TRY_STRANGERS": ("E056", _within("try_strangers", 0, 10_000)),
    "MIN_BODY_RATE": ("E046", _within("min_body_rate", 1, MIB)),
}


def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **_kwargs: object
) -> list[checks.CheckMessage]:
    """Return errors and warnings about the settings of this process."""
    del app_configs
    config: Config = settings.LORARY
    found: list[checks.CheckMessage] = []
    for name, (number, check) in CHECKS.items():
        if (finding := check(config)) is not None:
            kind = checks.Error if number.startswith("E") else checks.Warning
            message, hint = finding
            found.append(kind(f"LORARY_{name}: {message}", hint=hint, id=f"lorary.{number}"))
    for name in config.unknown:
        close = get_close_matches(name, config.known, 1)
        meant = f"Did you mean LORARY_{close[0]}?" if close else "Unset it."
        hint = f"{meant} docs/settings.md lists all settings."
        found.append(checks.Warning(f"LORARY_{name} is not a setting", hint=hint, id="lorary.W024"))
    return found


def register_all() -> None:
    """Register the checks with Django."""
    checks.register(check_settings, TAG)
