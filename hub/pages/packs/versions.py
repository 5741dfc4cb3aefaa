"""The owner's pages of a pack's versions: yank, restore, withdraw, render again."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from hub.pages.packs.views import pack_of
from hub.pages.versioned import takedowns
from previews.packs import services as sheets
from registry.accounts.permissions import require_owner_or_operator, require_pack
from registry.errors import Invalid, StateConflict
from registry.models import Pack, User
from registry.packs import selectors as pack_selectors
from registry.packs import states


def _withdraw_all(user: User, pack: Pack, reason: str) -> None:
    states.withdraw_pack(actor=user, pack=pack, reason=reason)


#: Packs on the pages of ``takedowns``.
NOUN = takedowns.Noun(
    names={
        "page": "pack",
        "edit": "pack-edit",
        "yank": "pack-version-yank",
        "withdraw": "pack-version-withdraw",
        "withdraw_all": "pack-withdraw",
    },
    yank=states.yank,
    restore=states.restore,
    withdraw=states.withdraw,
    withdraw_all=_withdraw_all,
    is_pack=True,
)


@require_http_methods(["GET", "HEAD", "POST"])
def yank(request: HttpRequest, owner: str, name: str, version: str) -> HttpResponse:
    """Yank a version, or restore it."""
    pack = pack_of(request, owner, name)
    user = require_pack(request.user, pack)
    found = pack_selectors.exact_version(pack, version)
    return takedowns.yank(request, NOUN, user, pack, found)


@require_http_methods(["GET", "HEAD", "POST"])
def withdraw(request: HttpRequest, owner: str, name: str, version: str = "") -> HttpResponse:
    """Withdraw a version, or a pack with all its versions."""
    pack = pack_of(request, owner, name)
    user = require_owner_or_operator(request.user, pack)
    found = pack_selectors.exact_version(pack, version) if version else None
    return takedowns.withdraw(request, NOUN, user, pack, found)


@require_POST
def render_again(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Render a failed cover sheet again, or draw its contact sheet again."""
    pack = pack_of(request, owner, name)
    user = require_pack(request.user, pack)
    version = pack_selectors.version(pack, request.GET.get("v") or pack_selectors.LATEST)
    try:
        sheets.request(actor=user, version=version, variant=request.GET.get("variant", ""))
        messages.success(request, _("The cover sheet is rendered again."))
    except (Invalid, StateConflict) as error:
        messages.error(request, str(error.detail))
    return redirect(NOUN.place(pack, version) + "#sheets")
