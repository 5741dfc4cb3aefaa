"""Read-only lists of rows. They stay fast on large tables.

A list reads one page of rows with what they refer to, and counts at most ``COUNTED`` rows. A date
hierarchy reads the whole table, so only small tables have one; others filter by date. Digests are
searched exactly, which uses their index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.apps import apps
from django.contrib import messages
from django.contrib.admin import AdminSite, ModelAdmin, ShowFacets
from django.contrib.admin.helpers import ActionForm
from django.core.paginator import Paginator
from django.db.models import DateTimeField, Field, ForeignKey, Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy, ngettext

from registry.errors import LoraryError
from registry.models import Adapter, Pack, User
from registry.versions.latest import MAX_REASON

#: Largest number of rows that a list counts.
COUNTED = 10_000
#: Largest number of rows that one action changes.
CHANGED = 500
#: Columns that are not shown: secrets, their digests, and rights that this hub does not use.
HIDDEN = frozenset(
    {
        "device_digest", "digest", "groups", "password", "storage_key", "user_digest",
        "user_permissions",
    }
)  # fmt: skip
#: Largest number of columns of a list that was not described.
_COLUMNS = 7
#: Columns that are searched, if a list was not described; digests and ids exactly.
_WORDS = ("name", "key", "subject", "path", "title", "label", "value")
_EXACT = ("sha256", "commit", "digest_value")
#: Objects that are called by their owner, which their text reads.
_NAMED = (Adapter, Pack)


class LimitedPaginator(Paginator):  # type: ignore[type-arg] # no subscript at run time
    """Counts at most ``COUNTED`` rows; further pages are reached by searches and filters."""

    @cached_property
    def count(self) -> int:
        """The number of rows, at most ``COUNTED``."""
        rows = self.object_list
        return rows.order_by()[:COUNTED].count() if isinstance(rows, QuerySet) else len(rows)


class Rows(ModelAdmin):  # type: ignore[type-arg] # no subscript at run time
    """Rows that only services change."""

    ordering = ("-pk",)
    paginator = LimitedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = list_max_show_all = 50

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Whether the address of a list may filter by a column: by none that is not shown."""
        names = set(lookup.split("__"))
        shown = self.fields or names
        columns = names & {field.name for field in self.opts.fields} - {"id"}
        is_shown = columns.isdisjoint(HIDDEN) and columns.issubset(shown)
        return is_shown and super().lookup_allowed(lookup, value, request)

    def get_list_display(self, request: HttpRequest) -> list[Any] | tuple[Any, ...]:
        """Return the columns: those of the class, or the first ones of the table."""
        del request
        if tuple(self.list_display) != ("__str__",):
            return self.list_display
        return [field.name for field in self.opts.fields if _is_column(field)][:_COLUMNS]

    def get_list_filter(self, request: HttpRequest) -> list[Any] | tuple[Any, ...]:
        """Return the filters: those of the class, or choices, flags and dates."""
        del request
        return self.list_filter or [one.name for one in self.opts.fields if _is_filter(one)]

    def get_search_fields(self, request: HttpRequest) -> list[str] | tuple[str, ...]:
        """Return what is searched: that of the class, or names and digests."""
        del request
        return self.search_fields or _searched({one.name for one in self.opts.fields} - HIDDEN)

    def get_list_select_related(self, request: HttpRequest) -> list[str]:
        """Return the objects in the columns, which are read together with the rows."""
        return _related(self.model, self.opts.fields, self.get_list_display(request))

    def get_exclude(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        """Return the columns that no page shows."""
        del request, obj
        fields = (*self.opts.fields, *self.opts.many_to_many)
        return sorted({field.name for field in fields} & HIDDEN)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the site lists the app; the site itself lets operators in only."""
        return self.admin_site.has_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Whether the user may see the rows."""
        del obj
        return self.admin_site.has_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """No: services create rows."""
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """No: services change rows."""
        del request, obj
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """No: services delete rows."""
        del request, obj
        return False


class ReasonForm(ActionForm):
    """The action of a list, with a reason for those that need one."""

    reason = forms.CharField(label=gettext_lazy("Reason:"), max_length=MAX_REASON, required=False)


def each(request: HttpRequest, rows: QuerySet[Any], change: Callable[[User, Any], object]) -> None:
    """Change the selected rows one by one, and say how many; a refusal does not stop the others.

    Args:
        request: The request of an operator.
        rows: The selected rows.
        change: A call of a service, with the operator and a row.
    """
    user, done = request.user, 0
    if not isinstance(user, User):
        return
    for row in rows[:CHANGED]:
        try:
            done += change(user, row) is not False
        except LoraryError as error:
            messages.error(request, f"{row}: {error.detail}")
    text = ngettext("%(n)d row was changed.", "%(n)d rows were changed.", done)
    messages.success(request, text % {"n": done})


def register_others(site: AdminSite) -> None:
    """Register the models of the hub that have no list of their own."""
    for app in ("registry", "previews"):
        for model in apps.get_app_config(app).get_models():
            if not site.is_registered(model):
                site.register(model, Rows)


def reason_of(request: HttpRequest) -> str:
    """Return the reason that was typed beside the action."""
    return str(request.POST.get("reason", ""))


def _is_column(field: Field[Any, Any]) -> bool:
    kinds = {"JSONField", "TextField", "BinaryField"}
    return field.name not in HIDDEN and field.get_internal_type() not in kinds


def _is_filter(field: Field[Any, Any]) -> bool:
    is_date = isinstance(field, DateTimeField)
    return is_date or bool(field.choices) or field.get_internal_type() == "BooleanField"


def _searched(names: set[str]) -> list[str]:
    words = [f"{name}__istartswith" for name in _WORDS if name in names]
    return [*words, *(f"{name}__exact" for name in _EXACT if name in names)]


def _related(
    model: type[Model], fields: Sequence[Field[Any, Any]], columns: Sequence[Any]
) -> list[str]:
    """Return what a list reads together with its rows: the objects in its columns."""
    found = ["namespace"] if issubclass(model, _NAMED) else []
    for field in fields:
        if isinstance(field, ForeignKey) and field.name in columns:
            found.append(field.name)
            if issubclass(field.related_model, _NAMED):
                found.append(f"{field.name}__namespace")
    return found
