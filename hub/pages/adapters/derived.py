"""“For your tool”: a version's weights in another naming, of a smaller rank, without metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from hub.http.callers import address_of
from hub.http.cross_site import protect_sessions
from hub.http.derived_addresses import address_in
from hub.http.problems import status_of
from hub.pages import links
from hub.templatetags.lorary import size
from lorary.algebra.naming.targets import TARGETS
from registry.derived import selectors, services
from registry.derived.options import RANKS, Wanted
from registry.derived.selectors import Derived, Source
from registry.errors import Invalid, LoraryError, RateLimited, StateConflict, TooLarge
from registry.models import File, FileRole, Version

#: Errors that are shown at the form.
_SHOWN = (Invalid, RateLimited, StateConflict, TooLarge)
#: Seconds between two requests for the state of a file that is being made.
POLL_S = 1

_TOOLS = {
    "comfyui": ("ComfyUI", gettext_lazy("The names of the original model.")),
    "kohya": (
        "A1111, Forge, kohya",
        gettext_lazy("Flat names (lora_unet_…), also for sd-scripts and musubi-tuner."),
    ),
    "diffusers": (
        "diffusers",
        gettext_lazy("For load_lora_weights, InvokeAI and SD.Next."),
    ),
    "peft": (
        "PEFT",
        gettext_lazy(
            "For PeftModel.from_pretrained, with adapter_config.json if it adapts one model."
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Tool:
    """A choice of the form: the tool whose names a file has."""

    naming: str
    title: str
    note: str
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class ToolForm:
    """The form: what can be made from a version's weights.

    Attributes:
        ranks: Value and label of the sizes, the file's own first.
        paths: Weights files to choose from; empty if there is only one.
        reason: Why no other tool can be chosen; empty if one can.
    """

    action: str
    tools: tuple[Tool, ...]
    ranks: tuple[tuple[int, str], ...]
    is_strippable: bool
    paths: tuple[str, ...]
    reason: str


def form_of(version: Version, manifest: Sequence[File]) -> ToolForm | None:
    """Return the form for a version with this manifest; None if nothing can be made. No query."""
    primary = next((file for file in manifest if file.is_primary), None)
    if primary is None:
        return None
    source = selectors.source_in(version, primary, list(manifest))
    options, limits = source.options, settings.LORARY
    most = min(limits.derived_bytes, limits.derived_total_bytes)
    is_offered = limits.derived_per_hour and primary.size_bytes <= most
    if not (options.any and is_offered):
        return None
    weights = [file.path for file in manifest if file.role == FileRole.WEIGHTS]
    adapter = version.adapter
    return ToolForm(
        reverse("version-derived", args=[adapter.owner, adapter.name, version.name]),
        tuple(_tools(source)),
        tuple(_sizes(source)),
        options.is_strippable,
        tuple(weights) if len(weights) > 1 else (),
        "" if options.namings else options.reason,
    )


def _tools(source: Source) -> Iterator[Tool]:
    options = source.options
    if not options.held:
        yield Tool("", _("As uploaded"), _("The names that the file has."), is_held=True)
    for naming, (title, note) in _TOOLS.items():
        if naming == options.held:
            yield Tool("", title, _("As uploaded: the file has these names."), is_held=True)
        elif naming in options.namings:
            yield Tool(naming, title, str(note))
        elif naming in options.lora_namings:
            yield Tool(naming, title, _("Only as a LoRA: choose a rank below."))


def _sizes(source: Source) -> Iterator[tuple[int, str]]:
    options, bytes_now = source.options, source.file.size_bytes
    if options.is_approximated:
        yield 0, _("as uploaded (%(size)s)") % {"size": size(bytes_now)}
        for rank in reversed(options.ranks):
            yield rank, _("as a LoRA of rank %(rank)d, not exact") % {"rank": rank}
        return
    if not options.ranks:
        return
    facts = {"rank": options.rank, "size": size(bytes_now)}
    yield 0, _("rank %(rank)d, as uploaded (%(size)s)") % facts
    for rank in reversed(options.ranks):
        facts = {"rank": rank, "size": size(bytes_now * rank // options.rank)}
        yield rank, _("at most rank %(rank)d (about %(size)s)") % facts


class SentForm(forms.Form):
    """What the form sends."""

    path = forms.CharField(required=False, max_length=255)
    naming = forms.ChoiceField(required=False, choices=[(name, name) for name in TARGETS])
    max_rank = forms.TypedChoiceField(
        required=False, choices=[(rank, rank) for rank in (0, *RANKS)], coerce=int, empty_value="0"
    )
    strip = forms.BooleanField(required=False)


@never_cache
@protect_sessions
@require_POST
def begin(request: HttpRequest, owner: str, name: str, version: str) -> HttpResponse:
    """Request a file; a script gets the panel, others are sent to its page."""
    form = SentForm(request.POST)
    if not form.is_valid():
        faults = [str(fault) for found in form.errors.values() for fault in found]
        raise Invalid(" ".join(faults), fields=form.errors)
    sent = form.cleaned_data
    source = selectors.source_of(request.user, owner, name, version, sent["path"])
    wanted = Wanted(sent["naming"], int(sent["max_rank"]), sent["strip"])
    try:
        found = services.request(
            actor=request.user, source=source, wanted=wanted, address=address_of(request)
        )
    except _SHOWN as error:
        return _refused(request, source, error)
    if "HX-Request" in request.headers:
        return render(request, "adapter/derived.html", _context(request, found))
    if found.row is None:
        return redirect(links.download(source.version, source.file.path))
    return redirect(address_in("version-derived-one", found))


def _refused(request: HttpRequest, source: Source, error: LoraryError) -> HttpResponse:
    if "HX-Request" not in request.headers:
        raise error
    context = {"refusal": str(error.detail), "source": source}
    response = render(request, "adapter/derived.html", context, status=status_of(error))
    if (wait := error.facts.get("retry_after")) is not None:
        response.headers["Retry-After"] = str(wait)
    return response


@never_cache
@require_safe
def show(request: HttpRequest, owner: str, name: str, version: str, variant: str) -> HttpResponse:
    """Show a derived file: its progress, its download, or why it cannot be made."""
    path = request.GET.get("path", "")
    source = selectors.source_of(request.user, owner, name, version, path)
    found = selectors.get(source, variant)
    is_part = "HX-Request" in request.headers
    template = "adapter/derived.html" if is_part else "adapter/derived_page.html"
    return render(request, template, _context(request, found))


def _context(request: HttpRequest, found: Derived) -> dict[str, Any]:
    version = found.source.version
    certificate = found.row.certificate if found.row else {}
    return {
        "found": found,
        "adapter": version.adapter,
        "version": version,
        "tool": _TOOLS[found.wanted.naming][0] if found.wanted.naming else "",
        "url": _download(found) if found.is_ready else "",
        "size_bytes": found.served.blob.size_bytes if found.is_ready else None,
        "config_url": address_in("api-derived-config", found) if found.config else "",
        "state_url": address_in("version-derived-one", found) if found.row else "",
        "poll_s": POLL_S if found.is_open else None,
        "proofs": list(proofs_of(certificate)),
        "command": _command(found),
    }


def _download(found: Derived) -> str:
    if found.row is None:
        return links.download(found.source.version, found.source.file.path)
    return address_in("api-derived-file", found)


def _command(found: Derived) -> str:
    """Return the command that downloads the same file."""
    version, wanted = found.source.version, found.wanted
    words = [f"lorary pull {version.adapter.full_name}@{version.name}"]
    words += [f"--naming {wanted.naming}"] if wanted.naming else []
    words += [f"--max-rank {wanted.max_rank}"] if wanted.max_rank else []
    words += ["--strip"] if wanted.is_stripped else []
    return " ".join(words)


def proofs_of(certificate: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a certificate says, in sentences."""
    if approximation := certificate.get("approximation"):
        yield _proof_of_lora(approximation)
    if conversion := certificate.get("conversion"):
        # A LoRA that only approximates the file was renamed too, but is not the file bit for bit.
        yield from _proofs_of_names(conversion | {"renamed": 0} if approximation else conversion)
    if resize := certificate.get("resize"):
        text = ngettext(
            "%(n)d module was reduced to rank %(rank)d; %(share)s%% of the energy is kept.",
            "%(n)d modules were reduced to rank %(rank)d; together they keep %(share)s%% of the "
            "energy.",
            resize["resized"],
        )
        share = f"{100 * resize['energy_kept']:.4g}"
        yield text % {"n": resize["resized"], "rank": resize["max_rank"], "share": share}
    if strip := certificate.get("strip"):
        text = ngettext(
            "%(n)d metadata key about the training was left out; the tensors are the same bytes.",
            "%(n)d metadata keys about the training were left out; the tensors are the same bytes.",
            len(strip["removed"]),
        )
        yield text % {"n": len(strip["removed"])}


def _proof_of_lora(approximation: Mapping[str, Any]) -> str:
    """Return what a LoRA that was made from LoHa or LoKr loses."""
    text = ngettext(
        "Not exact: %(n)d module became a LoRA of at most rank %(rank)d, which keeps %(share)s%% "
        "of the energy and differs by %(error)s%% of its size.",
        "Not exact: %(n)d modules became a LoRA of at most rank %(rank)d. Together they keep "
        "%(share)s%% of the energy; the worst one differs by %(error)s%% of its size.",
        approximation["modules"],
    )
    return text % {
        "n": approximation["modules"],
        "rank": approximation["max_rank"],
        "share": f"{100 * approximation['energy_kept']:.4g}",
        "error": f"{100 * approximation['max_relative_error']:.3g}",
    }


def _proofs_of_names(conversion: Mapping[str, Any]) -> Iterator[str]:
    if renamed := conversion["renamed"]:
        text = ngettext(
            "%(n)d module renamed, bit for bit.",
            "%(n)d modules renamed, bit for bit.",
            renamed,
        )
        yield text % {"n": renamed}
    if changed := conversion["split"] + conversion["fused"]:
        text = ngettext(
            "%(n)d split or fused module differs by at most %(error)s of its size.",
            "%(n)d split and fused modules differ by at most %(error)s of their size.",
            changed,
        )
        error = f"{conversion['max_relative_error']:.0e}".replace("e-0", "e-")
        yield text % {"n": changed, "error": error}
