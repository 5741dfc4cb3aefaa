"""One version in the words of each tool, ready to paste."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from hub.templatetags.lorary import strength
from registry.models import Visibility

if TYPE_CHECKING:
    from hub.pages.details import FileLine
    from registry.models import Version

__all__ = ["Snippet", "snippets_of"]


@dataclass(frozen=True, slots=True)
class Snippet:
    """A tool and the line it takes."""

    title: str
    text: str


def snippets_of(version: Version, primary: FileLine | None, root: str) -> list[Snippet]:
    """Return what to paste where.

    Args:
        version: What to use.
        primary: Its weights file; without one there is only the command line.
        root: Address of this hub, with its slash.
    """
    base_url = root.rstrip("/")
    pinned = f"{version.adapter.full_name}@{version.name}"
    found = [
        Snippet(_("lorary, command line"), f"lorary pull {pinned}"),
        Snippet(_("lorary, Python"), f'path = lorary.pull("{pinned}")'),
    ]
    if primary is not None:
        found += _for_weights(version, primary, pinned, base_url + primary.url)
    found.append(Snippet(_("Point lorary at this hub, once"), f"export LORARY_ENDPOINT={base_url}"))
    return found


def _for_weights(version: Version, primary: FileLine, pinned: str, url: str) -> list[Snippet]:
    stem = primary.path.rpartition("/")[2].removesuffix(".safetensors")
    words = "".join(f" {word}" for word in version.trigger_words[:1])
    is_private = version.adapter.visibility == Visibility.PRIVATE
    token = ' -H "Authorization: Bearer $LORARY_TOKEN"' if is_private else ""
    return [
        Snippet("diffusers", f'pipe.load_lora_weights(lorary.pull("{pinned}"))'),
        Snippet("ComfyUI", f"lorary pull {pinned} --to ComfyUI/models/loras"),
        Snippet(_("A1111 and Forge"), f"<lora:{stem}:{strength(version.dial)}>{words}"),
        Snippet("curl", f"curl -fLOJ{token} {url}"),
    ]
