"""Django application of the catalogue."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RegistryConfig(AppConfig):
    """Name and label of the catalogue."""

    name = "registry"
    label = "registry"
    verbose_name = _("Registry")
