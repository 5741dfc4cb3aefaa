"""The page on how to use adapters of this hub, with commands for each tool."""

from __future__ import annotations

from collections.abc import Mapping

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from hub.pages import links
from hub.pages.adapters.snippets import shell_of, snippets_of
from hub.pages.adapters.tabs import FileLine, files_of, partner_of
from hub.pages.help import client
from hub.templatetags.lorary import strength
from registry.adapters import selectors as adapter_selectors
from registry.models import Access, Adapter, Namespace, Version
from registry.names import DEMO_OWNER

#: Number of newest adapters of the demo among which to find one that anyone can pull.
NEWEST = 10

_DIFFUSERS = """\
import torch
from diffusers import DiffusionPipeline
from huggingface_hub import hf_hub_download

path = hf_hub_download("{name}", "{path}", revision="{version}", endpoint="{hub}")
pipe = DiffusionPipeline.from_pretrained("./base", torch_dtype=torch.float32)
pipe.load_lora_weights(path, adapter_name="mine")
pipe.set_adapters("mine", {dial})"""
_ANNOUNCE = """\
A="Authorization: Bearer $LORARY_TOKEN"; J="Content-Type: application/json"; H={hub}/api/v1
SIZE=$(wc -c < noir.safetensors)
ID=$(curl -fsS -H "$A" -H "$J" -d '{{"path": "noir.safetensors", "size": '"$SIZE"'}}' $H/uploads |
  sed 's/{{"id":"\\([^"]*\\).*/\\1/')"""
_SEND = """\
curl -fsS -H "$A" -T noir.safetensors $H/uploads/$ID/content
curl -fsS -H "$A" $H/uploads/$ID"""
_PUBLISH = """\
curl -fsS -H "$A" -H "$J" -d '{{"name": "noir", "kind": "style"}}' $H/adapters
curl -fsS -H "$A" -H "$J" -d '{{"uploads": ["'$ID'"]}}' $H/adapters/{you}/noir/versions"""

#: Commands that are not about an adapter's files, or differ from those on its page.
_COMMANDS = {
    "install": "pip install {client}",
    "login": "lorary login --endpoint {hub}",
    "pull": "lorary pull {name}",
    "pack": "lorary pull pack:owner/name --to ComfyUI/models/loras",
    "init": "lorary lock --init --layout comfyui --root ComfyUI",
    "sync": "lorary sync",
    "resolve": "lorary resolve workflow.json --dir ComfyUI/models/loras",
    "scan": "lorary scan ComfyUI/models/loras",
    "webui": "lorary pull {pinned} --to stable-diffusion-webui/models/Lora",
    "hf_endpoint": "export HF_ENDPOINT={hub}",
    "push": 'lorary push noir.safetensors --to {you}/noir --trigger "film noir"',
    "hf_push": "HF_ENDPOINT={hub} HF_TOKEN=$LORARY_TOKEN hf upload {you}/noir noir.safetensors",
    "announce": _ANNOUNCE,
    "send": _SEND,
    "publish": _PUBLISH,
    "versions": "lorary versions {name}",
    "latest": "lorary pull {name}@latest",
    "alias": "lorary alias {you}/noir stable v1",
    "info": "lorary info {pinned}",
    "pipe": _DIFFUSERS,
    "private": "lorary push noir.safetensors --to {you}/sketches --private",
    "token": "export LORARY_TOKEN=lor_…",
    "hf_token": "export HF_TOKEN=lor_…",
}
#: The same in PowerShell, of those that differ.
_POWERSHELL = {
    "webui": "lorary pull {pinned} --to stable-diffusion-webui\\models\\Lora",
    "hf_endpoint": '$env:HF_ENDPOINT = "{hub}"',
    "hf_push": (
        '$env:HF_ENDPOINT = "{hub}"; $env:HF_TOKEN = $env:LORARY_TOKEN; '
        "hf upload {you}/noir noir.safetensors"
    ),
    "token": '$env:LORARY_TOKEN = "lor_…"',
    "hf_token": '$env:HF_TOKEN = "lor_…"',
}


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """Show how to pull, push and name adapters, with an adapter of this hub as the example."""
    hub = links.address(request)
    you = request.user.get_username() or "you"
    version, primary = _example()
    snippets = snippets_of(version, primary, hub)
    facts = _facts(version, primary, hub, you)
    context = {
        "adapter": version.adapter,
        "commands": {one.tool: one.text for one in snippets} | _filled(_COMMANDS, facts),
        "windows": {one.tool: one.powershell for one in snippets} | _filled(_POWERSHELL, facts),
        "shell": shell_of(request),
        "is_real": bool(version.pk),
        "family": version.family,
    }
    return render(request, "pages/use.html", context)


def _facts(version: Version, primary: FileLine, hub: str, you: str) -> dict[str, str]:
    name = version.adapter.full_name
    return {
        "hub": hub,
        "client": hub + reverse("client", args=[client.wheel().name]),
        "you": you,
        "name": name,
        "version": version.name,
        "pinned": f"{name}@{version.name}",
        "path": primary.path,
        "dial": strength(version.dial),
    }


def _filled(texts: Mapping[str, str], facts: Mapping[str, str]) -> dict[str, str]:
    return {tool: text.format_map(facts) for tool, text in texts.items()}


def _example() -> tuple[Version, FileLine]:
    """Return a version of the demo that anyone can pull, or an invented one.

    An adapter of a user is no example: commands on a page of the hub look like a recommendation.
    """
    query = adapter_selectors.Query(owner=DEMO_OWNER)
    for adapter in adapter_selectors.search(None, query, limit=NEWEST).results:
        version = adapter.latest_version
        if version is None or adapter.access != Access.OPEN:
            continue
        version.adapter = adapter  # has its namespace, which would be another query
        lines = files_of(version, version.files)
        primary = next((line for line in lines if line.is_primary), None)
        if primary is not None and partner_of(lines) is None:
            return version, primary
    adapter = Adapter(namespace=Namespace(name="owner"), name="name")
    version = Version(adapter=adapter, number=1)
    path = "name.safetensors"
    url = links.download(version, path)
    return version, FileLine(path, "", "", "", 0, "SHA256", is_primary=True, url=url)
