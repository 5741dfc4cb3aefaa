"""How to use a version with each tool: where its file goes, commands and code, ready to paste."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.translation import gettext as _

from hub.pages.adapters.tabs import FileLine
from hub.templatetags.lorary import signed, strength
from lorary.client.names import saved_name
from previews.render.recipe import MAX_TRIGGERS
from registry.models import Version, Visibility

POSIX, POWERSHELL = "posix", "powershell"
#: A base model that tools with checkpoints of one file cannot load, and the snippets for these.
_WITHOUT_CHECKPOINT = "miniature"
_FOR_CHECKPOINTS = frozenset({"comfyui_file", "a1111", "comfyui", "webui"})


@dataclass(frozen=True, slots=True)
class Snippet:
    """A snippet for a tool.

    Attributes:
        tool: Its id.
        title: Name of the tool.
        text: What is copied: a path, a part of a prompt, code or a command.
        powershell: The command in PowerShell if it differs, otherwise "".
        note: What else to do; "" for nothing.
        is_place: Whether it is about putting the file into a tool's folder.
    """

    tool: str
    title: str
    text: str
    powershell: str = ""
    note: str = ""
    is_place: bool = False


def shell_of(request: HttpRequest) -> str:
    """Return the shell of the visitor's platform: ``powershell`` on Windows, or ``posix``."""
    is_windows = "Windows" in request.headers.get("User-Agent", "")
    return POWERSHELL if is_windows else POSIX


def snippets_of(
    version: Version, primary: FileLine | None, base_url: str, partner: FileLine | None = None
) -> list[Snippet]:
    """Return the snippets of a version, the most used tools first.

    Args:
        primary: Its primary file; without one there are only commands.
    """
    pinned = f"{version.adapter.full_name}@{version.name}"
    setup = Snippet(
        "endpoint",
        _("Set up lorary for this hub (once)"),
        f"export LORARY_ENDPOINT={base_url}",
        f'$env:LORARY_ENDPOINT = "{base_url}"',
    )
    found = [
        setup,
        Snippet("lorary", _("lorary, command line"), f"lorary pull {pinned}"),
        Snippet("python", _("lorary, Python"), f'path = lorary.pull("{pinned}")'),
    ]
    if primary is None:
        return found
    urls = [base_url + file.url for file in (primary, partner) if file is not None]
    return [
        *_places(version, primary, pinned, partner),
        *found,
        *_pulls(pinned, is_pair=partner is not None),
        *_by_other_doors(version, primary, base_url, partner),
        _curl(version, urls),
    ]


def usable_snippets(
    version: Version, primary: FileLine | None, base_url: str, partner: FileLine | None = None
) -> list[Snippet]:
    """Return the snippets of a version, without tools that cannot load its base model."""
    found = snippets_of(version, primary, base_url, partner)
    if version.family != _WITHOUT_CHECKPOINT:
        return found
    return [one for one in found if one.tool not in _FOR_CHECKPOINTS]


def _places(
    version: Version, primary: FileLine, pinned: str, partner: FileLine | None
) -> list[Snippet]:
    """Return where the file goes in each tool, and what makes the tool use it."""
    dial = strength(version.dial)
    adapter = version.adapter
    name = saved_name(adapter.owner, adapter.name, primary.path)
    if partner is not None:
        other = saved_name(adapter.owner, adapter.name, partner.path, partner.variant)
        names = f"{name} {other}"
        note = _("Put both files into models/loras. Load one in each “Load LoRA” node.")
        return [
            Snippet("comfyui_file", "ComfyUI", names, note=note, is_place=True),
            Snippet("diffusers", "diffusers", _both(primary, partner, pinned), is_place=True),
        ]
    comfy = _("Put the file there. Choose it in a “Load LoRA” node, strength %(dial)s.")
    webui = _("Put this into the prompt, and the file into models/Lora as %(name)s.")
    return [
        Snippet(
            "comfyui_file",
            "ComfyUI",
            f"models/loras/{name}",
            note=comfy % {"dial": signed(version.dial)},
            is_place=True,
        ),
        Snippet(
            "a1111",
            _("A1111 and Forge"),
            f"<lora:{name.removesuffix('.safetensors')}:{dial}>{_words_after(version)}",
            note=webui % {"name": name},
            is_place=True,
        ),
        Snippet(
            "diffusers",
            "diffusers",
            f'pipe.load_lora_weights(lorary.pull("{pinned}"), adapter_name="mine"); '
            f'pipe.set_adapters("mine", {dial})',
            note=_(
                "Run “import lorary” first. The code downloads the file and verifies its digest."
            ),
            is_place=True,
        ),
    ]


def _words_after(version: Version) -> str:
    """Return the trigger words as the end of a prompt, as many as previews use."""
    words = ", ".join(version.trigger_words[:MAX_TRIGGERS])
    return f" {words}" if words else ""


def _pulls(pinned: str, *, is_pair: bool) -> list[Snippet]:
    """Return the commands that put the files into the folder of a tool."""
    tools = [("comfyui", _("lorary, into ComfyUI"), "ComfyUI/models/loras")]
    if not is_pair:
        folder = "stable-diffusion-webui/models/Lora"
        tools.append(("webui", _("lorary, into A1111 and Forge"), folder))
    return [
        Snippet(
            tool,
            title,
            f"lorary pull {pinned} --to {folder}",
            f"lorary pull {pinned} --to {folder.replace('/', chr(92))}",
        )
        for tool, title, folder in tools
    ]


def _by_other_doors(
    version: Version, primary: FileLine, base_url: str, partner: FileLine | None
) -> list[Snippet]:
    """Return snippets for clients of other hubs (``docs/clients.md``)."""
    name = version.adapter.full_name
    is_private = version.adapter.visibility == Visibility.PRIVATE
    token = "HF_TOKEN=$LORARY_TOKEN " if is_private else ""
    windows_token = "$env:HF_TOKEN = $env:LORARY_TOKEN; " if is_private else ""
    pull = f"hf download {name} --revision {version.name} --local-dir {version.adapter.name}"
    found = [
        Snippet(
            "hf",
            "Hugging Face",
            f"HF_ENDPOINT={base_url} {token}{pull}",
            f'$env:HF_ENDPOINT = "{base_url}"; {windows_token}{pull}',
        )
    ]
    if partner is None:
        arguments = f'"{name}", weight_name="{primary.path}", revision="{version.name}"'
        title = _("diffusers with HF_ENDPOINT")
        found.append(Snippet("diffusers_hf", title, f"pipe.load_lora_weights({arguments})"))
    by_hash = f"{base_url}/api/v1/model-versions/by-hash/{primary.sha256}"
    found.append(
        Snippet(
            "civitai",
            _("Civitai-compatible API"),
            f"curl -fsS{_authorization(version, POSIX)} {by_hash}",
            f"curl.exe -fsS{_authorization(version, POWERSHELL)} {by_hash}",
        )
    )
    return found


def _both(primary: FileLine, partner: FileLine, pinned: str) -> str:
    """Return the code that loads both files of a pair in diffusers, each into its transformer."""
    beside = posixpath.relpath(partner.path, posixpath.dirname(primary.path) or ".")
    return (
        f'path = lorary.pull("{pinned}"); pipe.load_lora_weights(path); '
        f'pipe.load_lora_weights(path.parent / "{beside}", load_into_transformer_2=True)'
    )


def _curl(version: Version, urls: Sequence[str]) -> Snippet:
    """Return the download by curl; in Windows PowerShell 5, ``curl`` is another command."""
    one = len(urls) == 1
    flags, files = ("-fLOJ", urls[0]) if one else ("-fLJ", " ".join(f"-O {url}" for url in urls))
    posix, powershell = (
        f"{program} {flags}{_authorization(version, shell)} {files}"
        for program, shell in (("curl", POSIX), ("curl.exe", POWERSHELL))
    )
    return Snippet("curl", "curl", posix, powershell)


def _authorization(version: Version, shell: str) -> str:
    """Return the option of curl with the token, which private adapters need."""
    if version.adapter.visibility != Visibility.PRIVATE:
        return ""
    token = "$LORARY_TOKEN" if shell == POSIX else "$env:LORARY_TOKEN"
    return f' -H "Authorization: Bearer {token}"'
