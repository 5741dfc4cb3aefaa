"""A variant of a pack with its files, for programs that load them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.client.progress import OnProgress, silent
from lorary.exports.look import Look, chosen, look_of

if TYPE_CHECKING:
    from lorary.client.hub import Hub
    from lorary.client.names import Reference


_log = logging.getLogger(__name__)


def pull_look(
    hub: Hub, reference: str | Reference, variant: str = "", *, on_progress: OnProgress = silent
) -> tuple[Look, tuple[Path, ...]]:
    """Download a variant of a pack into the cache; warnings name what was yanked.

    Args:
        hub: The hub.
        reference: ``pack:owner/name[@version]``, or without ``pack:``.
        variant: Its name; may be left out if there is only one.
        on_progress: Called for every block.

    Returns:
        The variant, and the file of each part in its order.

    Raises:
        NotFound: there is no such pack, version or variant, or parts of it are gone.
        Invalid: there are several variants, and none was named.
    """
    version = hub.pack_version(reference)
    found = chosen(version, variant)
    name = found.name
    tell_yanked(f"pack {version.pack} {version.name}", version.state, version.reason)
    for part in found.parts:
        tell_yanked(f"{part.adapter} {part.version}", part.state, part.reason)
    pinned = f"{version.pack}@{version.name}"
    pulled = hub.pull_pack(pinned, variant=name, on_progress=on_progress)
    look = look_of(version, name)
    return look, tuple(pulled.files[part.sha256].local_path for part in look.parts)


def tell_yanked(name: str, state: str, reason: str) -> None:
    """Log a warning about a version that was yanked: it works, but should be replaced."""
    if state == "yanked":
        _log.warning("%s was yanked: %s", name, reason or "no reason given")
