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
        from previews.selectors.samples import kept_bytes  # noqa: PLC0415 - needs apps
        from previews.services import (  # noqa: PLC0415 - the same
            derivatives,
            rerender,
            tryouts,
            withdrawals,
        )
        from previews.services.renders import on_version_published  # noqa: PLC0415 - the same
        from registry import signals  # noqa: PLC0415 - beside them

        def heard(*, version_id: int, **_: Any) -> None:  # noqa: ANN401 - a signal's extras
            on_version_published(version_id)
            rerender.on_version_published(version_id)

        signals.version_published.connect(heard, weak=False, dispatch_uid="previews.request")

        def withdrawn(*, version_id: int, **_: Any) -> None:  # noqa: ANN401 - a signal's extras
            withdrawals.on_version_withdrawn(version_id)

        signals.version_withdrawn.connect(withdrawn, weak=False, dispatch_uid="previews.let_go")

        def swept(*, is_dry: bool = False, **_: Any) -> None:  # noqa: ANN401 - a signal's extras
            if is_dry:
                return
            tryouts.expire()
            withdrawals.let_go_of_missed()
            derivatives.drop_orphans()

        def weighed(*, namespace: Any, **_: Any) -> int:  # noqa: ANN401 - a signal's extras
            return kept_bytes(namespace)

        signals.weighing.connect(weighed, weak=False, dispatch_uid="previews.weigh")
        signals.sweeping.connect(swept, weak=False, dispatch_uid="previews.expire")
