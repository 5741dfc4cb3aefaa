"""Addresses below ``/api/`` that do not exist."""

from __future__ import annotations

from typing import Any, NoReturn

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.views import APIView

from registry.errors import NotFound

__all__ = ["Nowhere"]


class Nowhere(APIView):
    """A problem instead of the site's page."""

    @extend_schema(exclude=True)
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - DRF's signature
        """Answer every method alike."""
        self.http_method_names = []
        return super().dispatch(request, *args, **kwargs)

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401 - DRF's signature
        """Say that there is nothing.

        Raises:
            NotFound: always.
        """
        del request, args, kwargs
        raise NotFound(_("There is nothing at this address; see /api/docs."))
