"""Settings that are remembered, and where their values come from.

```
an option  >  the environment  >  lorary.toml of this folder  >  lorary config  >  the default
```

The hub that ``lorary.toml`` names counts only for its own lock and files: a token is never sent to
an address because a folder names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from lorary.client.accounts import keyrings
from lorary.client.config import (
    DEFAULT_ENDPOINT,
    VARIABLES,
    Credentials,
    endpoint_of,
    from_environment,
    home_of,
)
from lorary.client.errors import SettingInvalid
from lorary.client.names import normal
from lorary.library.layouts import LAYOUTS
from lorary.library.project import PROJECT, Project, read_toml
from lorary.limits import JOBS, MAX_JOBS

_DEFAULT = "default"
_DEFAULTS = MappingProxyType({"hub": DEFAULT_ENDPOINT, "jobs": str(JOBS), "keyring": "off"})


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of a setting.

    Attributes:
        key: ``hub``, ``layout``, ``root``, ``jobs`` or ``keyring``.
        value: Its value; empty if there is none.
        source: The environment variable, the file, or ``default``.
    """

    key: str
    value: str
    source: str


def _layout(text: str) -> str:
    if text not in LAYOUTS:
        msg = f"The layout “{text[:100]}” is unknown. Use {', '.join(LAYOUTS)}."
        raise SettingInvalid(msg)
    return text


def _root(text: str) -> str:
    try:
        return str(normal(Path(text).expanduser().absolute()))
    except RuntimeError as error:
        msg = f"The root “{text[:100]}” cannot be used: {error}"
        raise SettingInvalid(msg) from error


def _jobs(text: str) -> str:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_JOBS:
        msg = f"“{text[:100]}” is not a number of jobs from 1 to {MAX_JOBS}."
        raise SettingInvalid(msg)
    return text


def _hub(text: str) -> str:
    return endpoint_of(home_of(), text)


def _keyring(text: str) -> str:
    if text not in {"on", "off"}:
        msg = f"“{text[:100]}” is neither “on” nor “off”."
        raise SettingInvalid(msg)
    return text


#: Key to the function that returns a value in canonical form.
CHECKS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"hub": _hub, "layout": _layout, "root": _root, "jobs": _jobs, "keyring": _keyring}
)


def setting(key: str) -> Setting:
    """Return the value of a setting where no option is given.

    Args:
        key: One of `CHECKS`.

    Raises:
        SettingInvalid: the value cannot be used.
        ProjectInvalid: ``lorary.toml`` cannot be used.
    """
    if text := from_environment(key):
        return _checked(key, text, VARIABLES[key])
    if found := _of_project(key):
        return found
    credentials = Credentials.load(home_of())
    if text := credentials.setting(key):
        return _checked(key, text, str(credentials.path))
    return Setting(key, _DEFAULTS.get(key, ""), _DEFAULT)


def _checked(key: str, text: str, source: str) -> Setting:
    try:
        return Setting(key, CHECKS[key](text), source)
    except SettingInvalid as error:
        msg = f"{source}: {error.detail}"
        raise SettingInvalid(msg) from error


def _of_project(key: str) -> Setting | None:
    """Return what ``lorary.toml`` of this folder says of layout or root; None if nothing."""
    folder = Path.cwd()
    place = folder / PROJECT
    if key not in {"layout", "root"} or not place.is_file() or key not in read_toml(place):
        return None
    project = Project.load(folder)
    return Setting(key, project.layout if key == "layout" else str(project.root), str(place))


def remember(key: str, value: str) -> Setting:
    """Store the value of a setting; an empty one removes it. Return what counts now.

    Raises:
        SettingInvalid: the value cannot be used, or the file cannot be written.
    """
    checked = CHECKS[key](value) if value else ""
    if (key, checked) == ("keyring", "on"):
        keyrings.require()
    with Credentials.changing(home_of()) as credentials:
        credentials.set(key, checked)
    return setting(key)
