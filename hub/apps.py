"""Django application of the pages, the API and the protocols."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from hub import celery, setting_checks
from hub.monitoring import tracing
from registry import hooks


class HubConfig(AppConfig):
    """Registers the system checks and makes the Celery application the current one."""

    name = "hub"
    label = "hub"
    verbose_name = _("Hub")

    def ready(self) -> None:
        """Register what every process needs, whichever command started it."""
        tracing.require_packages()
        from hub.protocols.huggingface.xet import staging  # noqa: PLC0415 - models are ready now

        setting_checks.register_all()
        celery.app.set_default()
        hooks.sweepers.add(staging.sweep)
