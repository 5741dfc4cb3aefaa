"""The page of an adapter."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from hub.http.middleware import REVALIDATE, is_anonymous
from hub.pages import links
from hub.pages.adapters import tabs
from hub.pages.adapters.anatomy_panel import anatomy_of
from hub.pages.adapters.base_model_panel import verdict_of
from hub.pages.adapters.derived import form_of
from hub.pages.adapters.licence_panel import licence_panel
from hub.pages.adapters.relatives_panel import relatives_of
from hub.pages.adapters.snippets import shell_of, usable_snippets
from hub.pages.adapters.versions import adapter_gone
from hub.pages.comparison import views as comparison
from hub.pages.labels import facts_line, family_label, recommendation
from hub.pages.pictures.gallery import FIRST, gallery_of
from hub.pages.pictures.media import is_public
from hub.pages.pictures.previews import previews_context
from hub.pages.pictures.reports import report_context
from hub.pages.versioned.takedowns import may_withdraw
from previews.lineages.selectors import measured_of, with_measured
from registry.accounts.permissions import is_operator
from registry.adapters import selectors as adapter_selectors
from registry.aliases import selectors as alias_selectors
from registry.blobs.selectors import energies_of
from registry.cards import markdown
from registry.errors import Blocked, NotFound
from registry.lineages import selectors as lineages
from registry.models import Adapter, Pack, Version, VersionState
from registry.versions import selectors as version_selectors


@require_safe
def show(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show an adapter, or the tombstone of a withdrawn version or adapter.

    The name of a pack redirects to the pack if there is no adapter with this name.
    """
    try:
        adapter = adapter_selectors.get(request.user, owner, name)
    except NotFound as error:
        packs = adapter_selectors.named(Pack.objects.visible_to(request.user), owner, name)
        if isinstance(error, Blocked) or not packs.exists():
            raise
        return redirect("pack", owner, name)
    wanted = request.GET.get("v", "")
    listing = list(version_selectors.listing(request.user, adapter))
    version = (
        version_selectors.get(request.user, adapter, wanted or version_selectors.LATEST)
        if listing
        else None
    )
    if adapter.withdrawn_reason and (version is None or not wanted):
        return adapter_gone(request, adapter)
    context = _about(request, adapter, listing)
    if version is None:
        context["previews"] = previews_context(request, adapter, None)["previews"]
        return render(request, "adapter/page.html", context)
    context |= _of_version(request, adapter, version, listing)
    if version.state == VersionState.WITHDRAWN:
        context |= {"asked": wanted, "gone": version, "family": version.family}
        return render(request, "adapter/version_withdrawn.html", context, status=410)
    response = render(request, "adapter/page.html", context)
    if is_public(version) and is_anonymous(request):
        response.headers["Cache-Control"] = REVALIDATE
    return response


def _about(request: HttpRequest, adapter: Adapter, listing: list[Version]) -> dict[str, Any]:
    """Return the context that all versions share."""
    return {
        "adapter": adapter,
        "licence": licence_panel(adapter.licence),
        "tags": list(adapter.tags.values_list("name", flat=True)),
        "card": markdown.card_of(adapter),
        "facts": facts_line(adapter, None),
        "is_writable": _is_writable(request, adapter),
        "may_withdraw": may_withdraw(request.user, adapter),
        "may_block": request.user.is_authenticated and is_operator(request.user),
        "named": alias_selectors.by_version(adapter, listing),
        "versions": listing,
        "version_links": listing,
    }


def _is_writable(request: HttpRequest, adapter: Adapter) -> bool:
    user = request.user
    is_own = user.is_authenticated and adapter.namespace.is_writable_by(user)
    return bool(is_own and not adapter.withdrawn_reason)


def _of_version(
    request: HttpRequest, adapter: Adapter, version: Version, listing: list[Version]
) -> dict[str, Any]:
    """Return the context of one version."""
    files = list(version.files)
    primary = next((file for file in files if file.is_primary), None)
    document = version_selectors.document_of(version, primary)
    lines = tabs.files_of(version, files)
    writable = _is_writable(request, adapter)
    found = version_selectors.findings_of(version, primary, is_owner=True)
    shown_findings = found if writable else version_selectors.public_of(found)
    remarks, hidden = tabs.remarks_of(shown_findings), len(found) - len(shown_findings)
    finding_count = None if hidden and not remarks else len(remarks)
    counts = {"files": len(lines), "versions": None, "findings": finding_count}
    chosen = next((line for line in lines if line.is_primary), None)
    partner = tabs.partner_of(lines)
    shown = previews_context(request, adapter, version, primary)
    return {
        "version": version,
        "explicit_version": bool(request.GET.get("v")),
        "is_public": is_public(version),
        "compare_url": comparison.path_of(adapter, version, listing),
        "facts": facts_line(adapter, version),
        "files": lines,
        "relatives": relatives_of(request.user, version, files),
        "primary": chosen,
        "partner": partner,
        "tool_form": form_of(version, files),
        "snippets": usable_snippets(version, chosen, links.address(request), partner),
        "facts_of_use": _facts_of_use(version),
        "shell": shell_of(request),
        "verdict": verdict_of(
            version, with_measured(lineages.with_known(document), measured_of(version))
        ),
        "anatomy": anatomy_of(document, energies_of(primary.blob if primary else None)),
        "findings": remarks,
        "hidden_findings": hidden,
        "tabs": tabs.tabs_of(request.GET.get("tab", ""), counts),
        "gallery": gallery_of(request, adapter, version, shown["covering"], first=FIRST),
        **report_context(adapter, version, shown["previews"]),
        **shown,
    }


def _facts_of_use(version: Version) -> str:
    """Return the base model and the recommended strength, which every tool needs."""
    base = family_label(version.family) if version.family else _("base model not known")
    return " · ".join(part for part in (base, recommendation(version)) if part)
