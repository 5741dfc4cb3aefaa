"""Django application of the previews."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PreviewsConfig(AppConfig):
    """Name and label of the previews."""

    name = "previews"
    label = "previews"
    verbose_name = _("Previews")
