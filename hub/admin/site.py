"""The admin site: who may open it."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar, cast

from django.contrib import auth
from django.contrib.admin import AdminSite
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _

from hub.pages.errors import page
from registry.accounts import permissions

AnyView = TypeVar("AnyView", bound=Callable[..., HttpResponseBase])


class Site(AdminSite):
    """Opens to operators only, by the hub's own sign-in with its limits and second factor."""

    site_header = site_title = _("Lorary")
    index_title = _("Database")

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether the user is an operator."""
        user = request.user
        return not isinstance(user, AnonymousUser) and permissions.is_operator(user)

    def admin_view(self, view: AnyView, cacheable: bool = False) -> AnyView:  # noqa: FBT001, FBT002 - Django's method
        """Return a view that is absent for others, and counted as pages are."""
        inner = super().admin_view(view, cacheable)

        def guarded(request: HttpRequest, /, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401 - a view's own
            permissions.require_operator(request.user)
            return inner(request, *args, **kwargs)

        return cast("AnyView", page(update_wrapper(guarded, view)))

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:  # noqa: ANN401 - Django's method
        """Redirect to the hub's sign-in."""
        del extra_context
        return redirect_to_login(request.GET.get("next", "/admin/"))

    def logout(self, request: HttpRequest, extra_context: Any = None) -> Any:  # noqa: ANN401 - Django's method
        """Sign out, by the button."""
        del extra_context
        if request.method == "POST":
            auth.logout(request)
        return redirect("home")

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:  # noqa: ANN401 - Django's method
        """Redirect to the hub's page."""
        del request, extra_context
        return redirect("password")


site = Site(name="admin")
