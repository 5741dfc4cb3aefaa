"""Creating, deleting and renaming repositories, their visibility, branches and tags."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from hub.protocols.huggingface.endpoint import answer, endpoint
from hub.protocols.huggingface.inputs import json_of, text_of
from hub.protocols.huggingface.refusals import REPO_NOT_FOUND, REVISION_NOT_FOUND, Refused
from hub.protocols.huggingface.repos.refs import adapter_of, revision_of
from registry.accounts import permissions
from registry.adapters import selectors as adapter_selectors
from registry.adapters import services as adapters
from registry.aliases import selectors as alias_selectors
from registry.aliases import services as aliases
from registry.cards import services as cards
from registry.errors import Conflict, Forbidden, Gone, Invalid, Moved, NameTaken, NotFound
from registry.models import Access, Adapter, Namespace, User, Version, Visibility
from registry.names import check_name, key_of
from registry.versions import selectors as version_selectors
from registry.versions import withdraw

_VERSION = re.compile(r"v[0-9]{1,1024}\Z")
_GATES = {False: Access.OPEN, "auto": Access.GATED_AUTO, "manual": Access.GATED_MANUAL}


@endpoint("POST")
def create(request: HttpRequest) -> JsonResponse:
    """Create an adapter; 409 with its URL if it exists, which clients may accept."""
    body, user = json_of(request), permissions.require_user(request.user)
    _require_model(body)
    name, owner = text_of(body, "name"), _namespace(user, body)
    permissions.require_namespace(user, owner)
    try:
        made = adapters.create(
            actor=user, owner=owner, name=name, **_card(body, {"visibility": Visibility.PUBLIC})
        )
    except NameTaken as error:
        there = _existing(user, owner, name)
        raise Refused(error, body={"url": _url(request, there)}) from error
    return answer({"url": _url(request, made), "name": made.full_name, "id": made.full_name})


@endpoint("DELETE")
def delete(request: HttpRequest) -> JsonResponse:
    """Withdraw an adapter: its files are deleted, its name and a tombstone stay."""
    body, user = json_of(request), permissions.require_user(request.user)
    _require_model(body)
    adapter = adapter_of(request, _namespace(user, body).name, text_of(body, "name"))
    withdraw.withdraw_adapter(actor=user, adapter=adapter, reason=_("Deleted by its owner."))
    return answer({})


@endpoint("POST")
def move(request: HttpRequest) -> JsonResponse:
    """Rename an adapter; the old name redirects.

    Raises:
        Forbidden: the owner would change.
    """
    body, user = json_of(request), permissions.require_user(request.user)
    _require_model(body)
    owner, name = _parts(text_of(body, "fromRepo"))
    new_owner, new_name = _parts(text_of(body, "toRepo"))
    adapter = adapter_of(request, owner, name)
    permissions.require_adapter(user, adapter)
    if key_of(new_owner) != adapter.namespace.key:
        raise Forbidden(
            _("Adapters cannot move to another owner on this hub; only the name can change.")
        )
    adapters.rename(actor=user, adapter=adapter, name=new_name)
    return answer({"url": _url(request, adapter)})


@endpoint("PUT")
def settings(request: HttpRequest, owner: str, name: str) -> JsonResponse:
    """Change visibility and access of an adapter."""
    adapter = adapter_of(request, owner, name)
    user, card = permissions.require_adapter(request.user, adapter), _card(json_of(request), {})
    if card:
        cards.edit_adapter(actor=user, adapter=adapter, **card)
    return answer({"visibility": adapter.visibility, "private": _is_private(adapter)})


@endpoint("POST", "DELETE")
def tag(request: HttpRequest, owner: str, name: str, ref: str) -> JsonResponse:
    """Create a tag at a revision, or delete one."""
    adapter = adapter_of(request, owner, name)
    if request.method == "DELETE":
        _remove(request, adapter, ref, is_branch=False)
    else:
        _make(request, adapter, text_of(json_of(request), "tag"), at=ref, is_branch=False)
    return answer({})


@endpoint("POST", "DELETE")
def branch(request: HttpRequest, owner: str, name: str, ref: str) -> JsonResponse:
    """Create a branch at a revision, by default ``main``, or delete one."""
    adapter = adapter_of(request, owner, name)
    if request.method == "DELETE":
        _remove(request, adapter, ref, is_branch=True)
    else:
        body = json_of(request) if request.body else {}
        start = text_of(body, "startingPoint", "main")
        _make(request, adapter, ref, at=start, is_branch=True)
    return answer({})


def _make(request: HttpRequest, adapter: Adapter, name: str, *, at: str, is_branch: bool) -> None:
    """Create an alias for a revision; ``vN`` is accepted if it is that version already."""
    user = permissions.require_adapter(request.user, adapter)
    to = revision_of(adapter, at)
    version = _version(adapter, name)
    if version is None:
        aliases.point(
            actor=user, adapter=adapter, name=name, to=to, expected=None, is_branch=is_branch
        )
    elif version.revision_id != to.pk:
        text = _(
            "“%(name)s” is a version of “%(adapter)s” with another revision, and cannot be moved."
        )
        raise Conflict(text % {"name": name, "adapter": adapter.full_name}, alias=name)


def _version(adapter: Adapter, name: str) -> Version | None:
    """Return the published version with a name such as ``v3``, None if there is none."""
    try:
        return version_selectors.get(None, adapter, name) if _VERSION.match(name) else None
    except NotFound:
        return None


def _remove(request: HttpRequest, adapter: Adapter, name: str, *, is_branch: bool) -> None:
    """Delete a branch or a tag."""
    user = permissions.require_adapter(request.user, adapter)
    found = alias_selectors.listing(adapter).filter(name=name).first()
    if found is not None and found.is_branch != is_branch and name != "main":
        text = _("“%(name)s” is a branch.") if found.is_branch else _("“%(name)s” is a tag.")
        raise Refused(NotFound(text % {"name": name[:96]}), REVISION_NOT_FOUND)
    try:
        aliases.remove(actor=user, adapter=adapter, name=name)
    except NotFound as error:
        raise Refused(error, REVISION_NOT_FOUND) from error


def _require_model(body: dict[str, Any]) -> None:
    if text_of(body, "type", "model") != "model":
        raise Invalid(_("This hub has only models, no datasets or spaces."))


def _namespace(user: User, body: dict[str, Any]) -> Namespace:
    """Return the owner in a body, by default the user."""
    name = text_of(body, "organization", "")
    if not name:
        return user.namespace
    try:
        return adapter_selectors.namespace(name)
    except Moved as moved:
        return adapter_selectors.namespace(str(moved.facts["full_name"]))
    except NotFound as error:
        text = _("You cannot publish under “%(name)s”.")
        raise Forbidden(text % {"name": name[:96]}, owner=name[:96]) from error


def _existing(user: User, owner: Namespace, name: str) -> Adapter:
    """Return the adapter with a current or former name."""
    try:
        found = adapter_selectors.get(user, owner.name, name)
    except Moved as moved:
        found = adapter_selectors.get(user, *_parts(str(moved.facts["full_name"])))
    if found.withdrawn_reason:
        text = _("“%(name)s” was deleted, and its name cannot be reused. Choose another one.")
        raise Gone(text % {"name": found.full_name}, adapter=found.full_name)
    return found


def _card(body: dict[str, Any], card: dict[str, Any]) -> dict[str, Any]:
    """Return the card with visibility and access from a body."""
    if (is_private := body.get("private")) is not None:
        if not isinstance(is_private, bool):
            raise Invalid(_("“private” must be true or false."))
        card["visibility"] = Visibility.PRIVATE if is_private else Visibility.PUBLIC
    if visibility := text_of(body, "visibility", ""):
        card["visibility"] = visibility
    if (gate := body.get("gated")) is not None:
        if not isinstance(gate, bool | str) or gate not in _GATES:
            raise Invalid(_("“gated” must be false, “auto” or “manual”."))
        card["access"] = _GATES[gate]
    return card


def _parts(full_name: str) -> tuple[str, str]:
    owner, slash, name = full_name.partition("/")
    if not slash:
        raise Refused(NotFound(_("A model is named “owner/name” on this hub.")), REPO_NOT_FOUND)
    check_name(name)
    return owner, name


def _url(request: HttpRequest, adapter: Adapter) -> str:
    return request.build_absolute_uri(reverse("adapter", args=[adapter.owner, adapter.name]))


def _is_private(adapter: Adapter) -> bool:
    return adapter.visibility == Visibility.PRIVATE
