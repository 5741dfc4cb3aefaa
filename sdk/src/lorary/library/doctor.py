"""Checks whether the client can work: settings, cache, hub, token and clock."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import lorary
from lorary.client.config import home_of
from lorary.client.errors import LoraryError, TargetUnusable, Unauthenticated
from lorary.client.http.retries import Again
from lorary.client.http.session import Request, Session
from lorary.client.models import Account
from lorary.client.transfers.cache import Cache
from lorary.client.transfers.cached_files import CachedFiles
from lorary.client.transfers.folders import existing
from lorary.environment import is_cache_off, is_offline
from lorary.library.hubs import Hubs
from lorary.library.layouts import LAYOUTS
from lorary.library.lockfile import Lock
from lorary.library.locking import hub_of_lock
from lorary.library.project import PROJECT, Project
from lorary.library.settings import CHECKS, setting
from lorary.replacing import require_writable
from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_MOST_SKEW_S = 60
_LEAST_FREE_BYTES = 5 * 10**9
_SOON = timedelta(days=7)

State = Literal["ok", "warning", "error", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """The result of a check.

    Attributes:
        name: What was checked.
        state: ``skipped``: it cannot be checked, because something else is wrong or off.
        message: What was found, and what to do.
        error: The error, if there is one.
    """

    name: str
    state: State
    message: str
    error: LoraryError | None = None


def examine(endpoint: str | None = None) -> Iterator[Check]:
    """Yield the result of each check; nothing is changed.

    Args:
        endpoint: Address of the hub; by default that of the project in this folder, or in use.
    """
    python = f"Python {platform.python_version()} on {platform.system()}"
    yield Check("version", "ok", f"lorary {lorary.__version__}, {python}")
    for check in (_settings, _home, _cache, _folder):
        yield from _caught(check)
    try:
        hubs = Hubs(endpoint)
        hub = _hub_of_project(hubs)
    except LoraryError as error:
        yield Check("hub", "error", error.detail, error)
        return
    with hubs:
        yield from _hub(hubs, hub)


def _hub_of_project(hubs: Hubs) -> str:
    """Return the hub that `lorary sync` asks in this folder; empty for the one in use."""
    folder = Path.cwd()
    if hubs.is_given or not (folder / PROJECT).exists():
        return ""
    project = Project.load(folder)
    return project.hub or hub_of_lock(Lock.load(project.lock_path) or Lock(), hubs)


def _caught(check: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """Yield the results of a check; an error is one."""
    try:
        yield from check()
    except LoraryError as error:
        yield Check(check.__name__.strip("_"), "error", error.detail, error)


def _settings() -> Iterator[Check]:
    found = [setting(key) for key in CHECKS]
    listed = ", ".join(f"{one.key} {one.value}" for one in found if one.value)
    yield Check("settings", "ok", listed)


def _home() -> Iterator[Check]:
    home = home_of()
    _require_home(home)
    yield Check("home", "ok", str(home))


def _require_home(folder: Path) -> None:
    """Raise TargetUnusable if no file can be created in a folder, or in its parent."""
    place = existing(folder)
    try:
        require_writable(place)
    except OSError as error:
        msg = f"{place} cannot be written to: {error.strerror}. Set LORARY_HOME to another folder."
        raise TargetUnusable(msg) from error


def _cache() -> Iterator[Check]:
    cache = Cache(home_of() / "cache")
    if is_cache_off():
        yield Check("cache", "skipped", "LORARY_CACHE is off")
        return
    _require_home(cache.root)
    files = CachedFiles(cache).all
    unfinished = sum(not one.is_whole for one in files)
    free = shutil.disk_usage(existing(cache.root)).free
    used = sum(one.size_bytes for one in files)
    message = (
        f"{cache.root}: {len(files):,} file{'' if len(files) == 1 else 's'} "
        f"({unfinished:,} unfinished), {count_bytes(used)}; "
        f"{count_bytes(free)} is free"
    )
    if free < _LEAST_FREE_BYTES:
        message += ". `lorary cache prune` makes room"
        yield Check("cache", "warning", message)
    else:
        yield Check("cache", "ok", message)


def _folder() -> Iterator[Check]:
    layout = setting("layout").value
    if not layout:
        yield Check("folder", "skipped", "no layout is set; `lorary pull` writes to the cache")
        return
    folder = Path(setting("root").value or ".", LAYOUTS[layout]).absolute()
    if folder.is_dir() and not os.access(folder, os.W_OK):
        msg = f"{folder} cannot be written to."
        raise TargetUnusable(msg)
    state: State = "ok" if folder.is_dir() else "warning"
    yield Check("folder", state, f"{folder}{'' if state == 'ok' else ' does not exist yet'}")


def _hub(hubs: Hubs, hub: str) -> Iterator[Check]:
    """Yield the checks of the hub, and of what its answer tells: clock and token."""
    if is_offline():
        reason = "offline (--offline or LORARY_OFFLINE)"
        yield from (Check(name, "skipped", reason) for name in ("hub", "clock", "token"))
        return
    try:
        session = hubs.session(hub)
    except LoraryError as error:  # the token is none
        yield Check("token", "error", error.detail, error)
        return
    request = Request("GET", f"{session.api_root}/adapters?limit=1")
    begun = time.monotonic()
    try:
        date = _answered(session, request)
    except (LoraryError, Again) as failure:  # once: a check does not wait
        fault = failure.error if isinstance(failure, Again) else failure
        yield Check("hub", "error", f"{session.endpoint}: {fault.detail}", fault)
        yield from (
            Check(name, "skipped", "the hub does not answer") for name in ("clock", "token")
        )
        return
    took_ms = (time.monotonic() - begun) * 1000
    yield Check("hub", "ok", f"{session.endpoint} answers in {took_ms:.0f} ms")
    yield _clock(date)
    yield _token(session)


def _answered(session: Session, request: Request) -> datetime | None:
    """Return the date of the hub's answer. A hub that refuses the token has answered, too."""
    try:
        return session.attempt(request, _date_of)
    except Unauthenticated:
        with closing(Session(session.endpoint)) as anonymous, suppress(Unauthenticated):
            return anonymous.attempt(request, _date_of)
    return None  # a hub for members only


def _date_of(response: BaseHTTPResponse) -> datetime | None:
    response.read(1024 * 1024)
    with suppress(TypeError, ValueError):
        return parsedate_to_datetime(response.headers.get("Date") or "")
    return None


def _clock(date: datetime | None) -> Check:
    if date is None:
        return Check("clock", "skipped", "the hub sends no date")
    skew_s = abs((datetime.now(timezone.utc) - _in_utc(date)).total_seconds())
    if skew_s > _MOST_SKEW_S:
        message = f"{skew_s:,.0f} seconds from the hub's: set the time of this computer"
        return Check("clock", "warning", message)
    return Check("clock", "ok", "same as the hub's")


def _in_utc(time: datetime) -> datetime:
    """Return a time with a zone; UTC if it has none."""
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def _token(session: Session) -> Check:
    if not session.has_token:
        advice = session.token_unsent or "sign in with `lorary login`"
        message = f"none: only public adapters can be read; {advice}".rstrip(".")
        return Check("token", "warning", message)
    try:
        account = Account.read(session.json("GET", "me"))
    except LoraryError as error:
        return Check("token", "error", error.detail, error)
    scopes = "all scopes" if account.scopes is None else ", ".join(account.scopes)
    message = f"of {account.name} ({scopes})"
    if account.expires_at:
        try:
            expires = _in_utc(datetime.fromisoformat(account.expires_at.replace("Z", "+00:00")))
        except ValueError:
            return Check("token", "warning", f"{message}, expires “{account.expires_at[:100]}”")
        message += f", expires {expires:%Y-%m-%d}"
        if expires - datetime.now(timezone.utc) < _SOON:
            return Check("token", "warning", f"{message}: create another one")
    return Check("token", "ok", message)
