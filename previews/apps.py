"""Django application of the previews."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PreviewsConfig(AppConfig):
    """Name and label of the previews."""

    name = "previews"
    label = "previews"
    verbose_name = _("Previews")

    def ready(self) -> None:
        """Listen to the catalogue; models exist only from here on."""
        from previews.services import derivatives, rerendering, tryouts  # noqa: PLC0415 - needs apps
        from previews.services.renders import heard_of_publication  # noqa: PLC0415 - the same
        from registry.signals import sweeping, version_published  # noqa: PLC0415 - beside them

        def heard(*, version_id: int, **_: Any) -> None:  # noqa: ANN401 - a signal's extras
            heard_of_publication(version_id)
            rerendering.heard_of_publication(version_id)

        version_published.connect(heard, weak=False, dispatch_uid="previews.request")

        def swept(**_: Any) -> None:  # noqa: ANN401 - a signal's extras
            tryouts.expire()
            derivatives.drop_orphans()

        sweeping.connect(swept, weak=False, dispatch_uid="previews.expire")
