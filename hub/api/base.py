"""Base views, inputs and shapes that several endpoints share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, NoReturn, TypeVar, cast
from urllib.parse import urlencode

from django.contrib.auth.models import AnonymousUser
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hub.api.bodies import RawParser, discard_rest
from registry.accounts import permissions
from registry.adapters import selectors as adapter_selectors
from registry.adapters.selectors import MAX_RESULTS_PER_PAGE
from registry.errors import CursorInvalid, NotFound
from registry.models import Severity, User, Version
from registry.versions import selectors as version_selectors

#: The longest list of choices, that of base models, fits.
MAX_LISTED = 96
MAX_SHOWN_CHARS = 80


class Choice(serializers.ChoiceField):
    """A ``ChoiceField`` for input, with an error message of limited length."""

    default_error_messages = {
        "invalid_choice": gettext_lazy("“{input}” is not one of: {choices}."),
    }

    def fail(self, key: str, **values: Any) -> NoReturn:  # noqa: ANN401 - DRF's signature
        """Refuse a value, with at most ``MAX_LISTED`` choices in the message.

        Raises:
            serializers.ValidationError: always.
        """
        if key == "invalid_choice":
            listed = [str(choice) for choice in islice(self.choices, MAX_LISTED)]
            more = ["…"] if len(self.choices) > MAX_LISTED else []
            values = {"input": _cut(str(values["input"])), "choices": ", ".join(listed + more)}
        super().fail(key, **values)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 1]}…"


S = TypeVar("S", bound="serializers.BaseSerializer[Any]")


class Input(serializers.Serializer[Any]):
    """Input of a request; unknown fields are refused."""

    unknown_field = gettext_lazy("There is no such field.")

    def to_internal_value(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Check the names, then the values."""
        if isinstance(data, dict):
            unknown = [name for name in data if name not in self.fields]
            if unknown:
                raise serializers.ValidationError(
                    {name[:80]: [self.unknown_field] for name in unknown}
                )
        return cast("dict[str, Any]", super().to_internal_value(data))


class Endpoint(APIView):
    """Base of the API's views. Errors become problems; services check permissions on objects.

    Attributes:
        is_open: Whether anonymous clients may use unsafe methods.
    """

    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    is_open = False

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - DRF's signature
        """Check authentication and scope before the body is read.

        Raises:
            NotFound: the URL has a NUL, which PostgreSQL cannot search for.
            Unauthenticated, ScopeMissing: see ``permissions.require_scope``.
        """
        super().initial(request, *args, **kwargs)
        if any("\0" in value for value in kwargs.values() if isinstance(value, str)):
            raise NotFound
        is_read = request.method in SAFE_METHODS or self.is_open
        if request.auth is not None or not is_read:
            permissions.require_scope(self.viewer, "read" if is_read else "write")

    def handle_exception(self, exc: Exception) -> Response:
        """Discard the rest of the body, then answer."""
        discard_rest(self.request)
        return super().handle_exception(exc)

    @property
    def actor(self) -> User:
        """Return the user. It may be anonymous: selectors and services check that."""
        return cast("User", self.request.user)

    @property
    def viewer(self) -> User | AnonymousUser:
        """Return the user, who may be anonymous."""
        return self.request.user

    def signed_in(self) -> User:
        """Return the signed-in user.

        Raises:
            Unauthenticated: the user is anonymous.
        """
        return permissions.require_user(self.viewer)

    def body(self, kind: type[S], *, is_partial: bool = False) -> dict[str, Any]:
        """Return the validated body."""
        return validated(kind, self.request.data, is_partial=is_partial)

    def query(self, kind: type[Query]) -> dict[str, Any]:
        """Return the validated query string."""
        sent = self.request.query_params
        lists = {name: sent.getlist(name) for name in kind.repeated if name in sent}
        return validated(kind, {**sent.dict(), **lists})

    def answer(
        self,
        kind: type[S],
        thing: object,
        *,
        status: int = 200,
        **more: Any,  # noqa: ANN401 - a serializer's context
    ) -> Response:
        """Return a response with a serialized object."""
        context = {"request": self.request, **more}
        return Response(kind(thing, context=context).data, status=status)


class VersionEndpoint(Endpoint):
    """Base of views about one version."""

    def version(self, owner: str, name: str, version: str) -> Version:
        """Return the version in the URL."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        return version_selectors.get(self.viewer, adapter, version)

    def exact(self, owner: str, name: str, version: str) -> Version:
        """Return the version in the URL; refuse names that can move."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        return version_selectors.exact(self.viewer, adapter, version)


class RawEndpoint(Endpoint):
    """An endpoint with a raw body of any size, which is read as a stream."""

    parser_classes = [RawParser]


def validated(kind: type[S], data: object, *, is_partial: bool = False) -> dict[str, Any]:
    """Return validated input. Raises serializers.ValidationError: with all errors."""
    reader = kind(data=data, partial=is_partial)
    reader.is_valid(raise_exception=True)
    return dict(reader.validated_data)


def serialized(
    kind: type[S], things: Iterable[object], context: Mapping[str, Any] | None = None
) -> list[Any]:
    """Return serialized objects."""
    return list(kind(things, many=True, context=dict(context or {})).data)


def absolute(context: Mapping[str, Any], path: str) -> str:
    """Return an absolute URL for a serializer."""
    request: Request = context["request"]
    return request.build_absolute_uri(path)


class Link(serializers.URLField):
    """The absolute URL of a path that is made from the object; null without one."""

    def __init__(self, path: Callable[[Any], str | None], **options: Any) -> None:  # noqa: ANN401 - DRF's
        self._path = path
        super().__init__(source="*", read_only=True, **options)

    def to_representation(self, value: object) -> str | None:  # type: ignore[override]  # null
        """Return the URL."""
        path = self._path(value)
        return absolute(self.context, path) if path else None


class ApiNotFound(APIView):
    """Answers unknown URLs below ``/api/`` with a problem instead of the site's page."""

    @extend_schema(exclude=True)
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - DRF's signature
        """Answer all methods alike."""
        self.http_method_names = []
        return super().dispatch(request, *args, **kwargs)

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401 - DRF's signature
        """Raise NotFound."""
        del request, args, kwargs
        raise NotFound(_("There is no such endpoint; see /api/docs."))


class FindingOut(serializers.Serializer[Any]):
    """One result of a check."""

    code = serializers.CharField()
    severity = serializers.ChoiceField(choices=Severity.choices)
    message = serializers.CharField()
    evidence = serializers.DictField()


class ProgressOut(serializers.Serializer[Any]):
    """Progress of work, in its own unit."""

    done = serializers.IntegerField()
    total = serializers.IntegerField()


M = TypeVar("M", bound="Model")

DEFAULT_PAGE = 24


class Query(Input):
    """Input from a query string; ``repeated`` are its parameters with several values."""

    repeated: ClassVar[tuple[str, ...]] = ()

    unknown_field = gettext_lazy("There is no such parameter.")


class TextParameter(serializers.CharField):
    """A text in a query string, empty if it is left out."""

    def __init__(self, max_length: int, help_text: str = "") -> None:
        super().__init__(default="", allow_blank=True, max_length=max_length, help_text=help_text)


class ChoiceParameter(Choice):
    """One of several values in a query string, empty if it is left out."""

    def __init__(self, choices: Sequence[Any], help_text: str = "") -> None:
        super().__init__(choices=choices, default="", allow_blank=True, help_text=help_text)


class PageQuery(Query):
    """Pagination parameters."""

    cursor = TextParameter(200, "Use the URL in `next` of the previous page.")
    limit = serializers.IntegerField(
        default=DEFAULT_PAGE,
        min_value=1,
        max_value=MAX_RESULTS_PER_PAGE,
        help_text=f"Results per page, 1 to {MAX_RESULTS_PER_PAGE}; default: {DEFAULT_PAGE}.",
    )


def paging(
    name: str,
    kind: type[serializers.BaseSerializer[Any]],
    **more: serializers.Field[Any, Any, Any, Any],
) -> serializers.Serializer[Any]:
    """Return the serializer of a page, for the API document; ``more`` are further fields."""
    fields = {
        "results": kind(many=True),
        "next": serializers.URLField(allow_null=True, help_text="URL of the next page."),
        **more,
    }
    return inline_serializer(f"{name}Page", fields)


def page_of(
    rows: QuerySet[M], *, key: str = "pk", cursor: str = "", limit: int = DEFAULT_PAGE
) -> tuple[list[M], str]:
    """Return rows in descending order of a unique number, and the next cursor ("" at the end).

    Raises:
        CursorInvalid: the cursor is not a number.
    """
    if cursor:
        if not cursor.isdecimal() or not cursor.isascii() or len(cursor) > 18:
            raise CursorInvalid(_("Start again from the first page."))
        rows = rows.filter(**{f"{key}__lt": int(cursor)})
    found = list(rows.order_by(f"-{key}")[: limit + 1])
    more = len(found) > limit
    return found[:limit], str(getattr(found[limit - 1], key)) if more else ""


def paged(
    view: Endpoint,
    results: Sequence[Any],
    cursor: str,
    **more: Any,  # noqa: ANN401 - JSON
) -> Response:
    """Return a page; ``next`` keeps the other query parameters, ``more`` are further fields."""
    query = {**view.request.query_params.dict(), "cursor": cursor}
    place = f"{view.request.path}?{urlencode(query)}"
    following = view.request.build_absolute_uri(place) if cursor else None
    return Response({"results": results, "next": following, **more})
