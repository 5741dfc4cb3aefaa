"""Pages that list, create, move and remove aliases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from django import forms
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.pages.forms import accept_faults
from registry.errors import LoraryError
from registry.models import Adapter, Pack, User
from registry.names import MAX_NAME

#: Number of moves on the page; the API lists all.
MOVES = 100


@dataclass(frozen=True, slots=True)
class Target:
    """What an alias points to: a version, or a revision without one.

    Attributes:
        name: The version; empty without one.
        state: Label of a state other than published.
        revision: The commit.
        message: Message of the commit.
    """

    name: str = ""
    state: str = ""
    revision: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """An alias on the page.

    Attributes:
        seen: What the form sends back, so that an alias that was moved meanwhile stays.
        is_fixed: Whether owners cannot move it.
        instead: Version that Hugging Face clients get for it, if that is another one.
    """

    name: str
    target: Target
    seen: str
    since: datetime | None
    by: str
    is_fixed: bool = False
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A move in the history; None: there was no alias before, or is none after."""

    when: datetime
    alias: str
    before: Target | None
    after: Target | None
    by: str


class Aliases(ABC):
    """The aliases of an adapter or of a pack.

    ``names`` are the URL names of the pages: ``page``, ``aliases``, ``alias_remove``.
    """

    names: ClassVar[Mapping[str, str]]
    is_pack: ClassVar[bool] = False
    thing: Adapter | Pack

    @abstractmethod
    def require(self, user: User | AnonymousUser) -> User:
        """Return the user, who must be allowed to change them."""

    @abstractmethod
    def choices(self) -> list[tuple[str, str]]:
        """Return name and label of the versions that an alias can point to, newest first."""

    @abstractmethod
    def rows(self) -> Sequence[Row]:
        """Return the aliases by name."""

    @abstractmethod
    def row(self, name: str) -> Row:
        """Return one alias. Raises NotFound: there is none."""

    @abstractmethod
    def history(self) -> Sequence[Step]:
        """Return the last ``MOVES`` moves, newest first."""

    @abstractmethod
    def point(self, user: User, name: str, to: str, seen: str) -> None:
        """Create or move an alias that points where it was seen; empty: there was none."""

    @abstractmethod
    def remove(self, user: User, name: str) -> None:
        """Remove an alias."""


class AliasForm(forms.Form):
    """Name and target of an alias."""

    name = forms.CharField(
        label=gettext_lazy("Alias"),
        max_length=MAX_NAME,
        help_text=gettext_lazy("For example “stable”. Use letters, digits, “-”, “_” and “.”."),
    )
    to = forms.ChoiceField(label=gettext_lazy("Points to"))
    #: Target when the page was rendered; empty if there was no alias.
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=MAX_NAME)

    def __init__(self, data: QueryDict | None, choices: list[tuple[str, str]]) -> None:
        super().__init__(data)
        field = self.fields["to"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
        field.choices = choices


def index(request: HttpRequest, aliases: Aliases) -> HttpResponse:
    """List aliases and their moves; create or move one."""
    thing, user = aliases.thing, request.user
    form = AliasForm(request.POST if request.method == "POST" else None, aliases.choices())
    status = 200
    if request.method == "POST":
        owner, status = aliases.require(user), 400
        if form.is_valid() and _move(owner, aliases, form):
            values = {"name": form.cleaned_data["name"], "version": form.cleaned_data["to"]}
            messages.success(request, _("“%(name)s” now points to %(version)s.") % values)
            return redirect(aliases.names["aliases"], thing.owner, thing.name)
    context = {
        "noun": aliases, "thing": thing, "form": form,
        "rows": aliases.rows(), "steps": aliases.history(),
        "is_writable": user.is_authenticated and thing.namespace.is_writable_by(user),
    }  # fmt: skip
    return render(request, "versioned/aliases.html", context, status=status)


def _move(user: User, aliases: Aliases, form: AliasForm) -> bool:
    """Move an alias; errors are added to the form."""
    data = form.cleaned_data
    try:
        aliases.point(user, data["name"], data["to"], data["seen"])
    except LoraryError as error:
        accept_faults(form, {}, str(error.detail))
        return False
    return True


def remove(request: HttpRequest, aliases: Aliases, name: str) -> HttpResponse:
    """Confirm, then remove an alias."""
    thing, user = aliases.thing, aliases.require(request.user)
    row = aliases.row(name)
    if request.method == "POST":
        aliases.remove(user, name)
        messages.success(request, _("“%(name)s” was removed.") % {"name": name})
        return redirect(aliases.names["aliases"], thing.owner, thing.name)
    context = {"noun": aliases, "thing": thing, "row": row}
    return render(request, "versioned/alias_remove.html", context)
