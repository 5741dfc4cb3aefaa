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
        """Connect to the catalogue's signals and hooks."""
        # Models can be imported from here on.
        from previews import operator_actions, withdrawals  # noqa: PLC0415 - see above
        from previews.lineages import services as lineages  # noqa: PLC0415 - see above
        from previews.packs import services as packs  # noqa: PLC0415 - see above
        from previews.pictures import thumbnails  # noqa: PLC0415 - see above
        from previews.renders import rerender  # noqa: PLC0415 - see above
        from previews.renders import services as renders  # noqa: PLC0415 - see above
        from previews.renders.selectors import renders_with_pictures  # noqa: PLC0415 - see above
        from previews.reports import services as reports  # noqa: PLC0415 - see above
        from previews.samples.selectors import shown_samples, stored_bytes  # noqa: PLC0415 - see above
        from previews.tryouts import services as tryouts  # noqa: PLC0415 - see above
        from registry import hooks  # noqa: PLC0415 - see above

        def published(*, version_id: int, **_: Any) -> None:  # noqa: ANN401 - a signal's extras
            renders.on_version_published(version_id)
            rerender.on_version_published(version_id)
            reports.on_version_published(version_id)
            lineages.on_version_published(version_id)

        def withdrawn(*, version_id: int, **_: Any) -> None:  # noqa: ANN401 - a signal's extras
            withdrawals.on_version_withdrawn(version_id)

        def pack_published(*, version_id: int, **_: Any) -> None:  # noqa: ANN401 - as above
            packs.on_version_published(version_id)

        def pack_withdrawn(*, version_id: int, **_: Any) -> None:  # noqa: ANN401 - as above
            withdrawals.on_pack_version_withdrawn(version_id)

        def disabled(*, owner: str, **_: Any) -> None:  # noqa: ANN401 - as above
            operator_actions.cancel_all_of(owner)

        def sweep(*, is_dry: bool) -> tuple[int, int]:
            if not is_dry:
                tryouts.expire()
                withdrawals.delete_missed()
                packs.delete_replaced()
            return 0, 0

        hooks.version_published.connect(published, weak=False, dispatch_uid="previews.published")
        hooks.version_withdrawn.connect(withdrawn, weak=False, dispatch_uid="previews.withdrawn")
        hooks.pack_version_published.connect(
            pack_published, weak=False, dispatch_uid="previews.pack_published"
        )
        hooks.pack_version_withdrawn.connect(
            pack_withdrawn, weak=False, dispatch_uid="previews.pack_withdrawn"
        )
        hooks.account_disabled.connect(disabled, weak=False, dispatch_uid="previews.disabled")
        hooks.stored_bytes.add(stored_bytes)
        hooks.pictures[:] = [renders_with_pictures, shown_samples]
        hooks.sweepers.add(sweep)
        hooks.machine_sweepers.add(thumbnails.delete_orphans)
