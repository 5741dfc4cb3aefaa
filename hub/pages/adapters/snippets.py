"""Commands and code to use a version with each tool, ready to paste."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from hub.pages.adapters.tabs import FileLine
from hub.templatetags.lorary import strength
from lorary.client.names import generic_rest
from registry.models import Version, Visibility


@dataclass(frozen=True, slots=True)
class Snippet:
    """A snippet for a tool; ``tool`` is its id."""

    tool: str
    title: str
    text: str


def snippets_of(
    version: Version, primary: FileLine | None, base_url: str, partner: FileLine | None = None
) -> list[Snippet]:
    """Return the snippets of a version.

    Args:
        primary: Its primary file; without one there are only commands.
    """
    pinned = f"{version.adapter.full_name}@{version.name}"
    here = f"export LORARY_ENDPOINT={base_url}"
    found = [
        Snippet("endpoint", _("Set up lorary for this hub (once)"), here),
        Snippet("lorary", _("lorary, command line"), f"lorary pull {pinned}"),
        Snippet("python", _("lorary, Python"), f'path = lorary.pull("{pinned}")'),
    ]
    if primary is not None:
        urls = [base_url + file.url for file in (primary, partner) if file is not None]
        found += _for_weights(version, primary, pinned, partner)
        found += _by_other_doors(version, primary, base_url, partner)
        found.append(Snippet("curl", "curl", _curl(version, urls)))
    return found


def _for_weights(
    version: Version, primary: FileLine, pinned: str, partner: FileLine | None
) -> list[Snippet]:
    comfy = Snippet("comfyui", "ComfyUI", f"lorary pull {pinned} --to ComfyUI/models/loras")
    if partner is not None:
        return [Snippet("diffusers", "diffusers", _both(primary, partner, pinned)), comfy]
    stem = primary.path.rpartition("/")[2].removesuffix(".safetensors")
    if generic_rest(stem) is not None:  # as `lorary pull --to` writes it
        stem = f"{version.adapter.owner}--{version.adapter.name}"
    words = "".join(f" {word}" for word in version.trigger_words[:1])
    return [
        Snippet("diffusers", "diffusers", f'pipe.load_lora_weights(lorary.pull("{pinned}"))'),
        comfy,
        Snippet("a1111", _("A1111 and Forge"), f"<lora:{stem}:{strength(version.dial)}>{words}"),
    ]


def _by_other_doors(
    version: Version, primary: FileLine, base_url: str, partner: FileLine | None
) -> list[Snippet]:
    """Return snippets for clients of other hubs (``docs/clients.md``)."""
    name = version.adapter.full_name
    is_private = version.adapter.visibility == Visibility.PRIVATE
    token = "HF_TOKEN=$LORARY_TOKEN " if is_private else ""
    pull = f"hf download {name} --revision {version.name} --local-dir {version.adapter.name}"
    found = [Snippet("hf", "Hugging Face", f"HF_ENDPOINT={base_url} {token}{pull}")]
    if partner is None:
        arguments = f'"{name}", weight_name="{primary.path}", revision="{version.name}"'
        title = _("diffusers with HF_ENDPOINT")
        found.append(Snippet("diffusers_hf", title, f"pipe.load_lora_weights({arguments})"))
    by_hash = f"{base_url}/api/v1/model-versions/by-hash/{primary.sha256}"
    who = '-H "Authorization: Bearer $LORARY_TOKEN" ' if is_private else ""
    found.append(Snippet("civitai", _("Civitai's API"), f"curl -fsS {who}{by_hash}"))
    return found


def _both(primary: FileLine, partner: FileLine, pinned: str) -> str:
    """Return the code that loads both files of a pair in diffusers, each into its transformer."""
    beside = posixpath.relpath(partner.path, posixpath.dirname(primary.path) or ".")
    return (
        f'path = lorary.pull("{pinned}"); pipe.load_lora_weights(path); '
        f'pipe.load_lora_weights(path.parent / "{beside}", load_into_transformer_2=True)'
    )


def _curl(version: Version, urls: Sequence[str]) -> str:
    is_private = version.adapter.visibility == Visibility.PRIVATE
    token = ' -H "Authorization: Bearer $LORARY_TOKEN"' if is_private else ""
    if len(urls) == 1:
        return f"curl -fLOJ{token} {urls[0]}"
    return f"curl -fLJ{token} {' '.join(f'-O {url}' for url in urls)}"
