"""Django application of the pages, the API and the protocols."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from hub import celery, setting_checks
from hub.protocols.huggingface.xet import staging
from registry import hooks


class HubConfig(AppConfig):
    """Registers the system checks and makes the Celery application the current one."""

    name = "hub"
    label = "hub"
    verbose_name = _("Hub")

    def ready(self) -> None:
        """Register what every process needs, whichever command started it."""
        setting_checks.register_all()
        celery.app.set_default()
        signals.sweeping.connect(_sweep_xet, weak=False, dispatch_uid="hub.xet")


def _sweep_xet(*, is_dry: bool = False, **_named: object) -> staging.Size:
    """Delete leftover Xet uploads of Hub clients; return their number and size."""
    return staging.sweep(is_dry=is_dry)
