"""Django application of the site and its doors."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from hub import celery, setting_checks
from hub.protocols.huggingface.xet import staging
from registry import signals


class HubConfig(AppConfig):
    """Registers the system checks and makes the Celery application the current one."""

    name = "hub"
    label = "hub"
    verbose_name = _("Hub")

    def ready(self) -> None:
        """Bind what every process needs, whichever command started it."""
        setting_checks.register_all()
        celery.app.set_default()
        signals.sweeping.connect(_sweep_xet, weak=False, dispatch_uid="hub.xet")


def _sweep_xet(*, is_dry: bool = False, **_named: object) -> staging.Size:
    """Remove what uploads of Hub clients left; return how much that is."""
    return staging.sweep(is_dry=is_dry)
