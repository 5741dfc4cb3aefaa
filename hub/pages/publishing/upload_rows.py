"""Rows of the page of uploads: progress, expiry and next step of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from hub.pages.adapters.tabs import Remark, remarks_of
from hub.templatetags.lorary import size
from hub.upload_progress import checked_bytes
from registry.accounts import quotas
from registry.models import Adapter, Namespace, Upload, UploadState, User, Version
from registry.scan import checks
from registry.scan.ignored_paths import ARCHIVES, PICKLES
from registry.uploads import receive
from registry.uploads import selectors as upload_selectors
from registry.uploads import services as uploads

#: Format of days on the pages.
DAY = "j M Y"


@dataclass(frozen=True, slots=True)
class UploadRow:
    """An upload on a page.

    Attributes:
        upload: The upload.
        state: Label of its state.
        text: A sentence with the next step.
        percent: Percentage of received bytes, or of checked ones during the checks; None if it has
            ended.
        remarks: Findings of the checks.
        version: The version with the file.
        adapter: The adapter with the file, if no version has it.
        go_on: URL of the next step; empty if there is none.
        can_cancel: Whether it can be cancelled.
    """

    upload: Upload
    state: str
    text: str
    percent: int | None = None
    remarks: Sequence[Remark] = ()
    version: Version | None = None
    adapter: Adapter | None = None
    go_on: str = ""
    can_cancel: bool = False

    @property
    def is_loud(self) -> bool:
        """Whether it failed."""
        return self.upload.state_now in {UploadState.REFUSED, UploadState.EXPIRED}

    @property
    def is_checking(self) -> bool:
        """Whether it is being checked, so that the page refreshes itself."""
        return self.upload.state == UploadState.CHECKING

    @property
    def is_waiting(self) -> bool:
        """Whether bytes are missing."""
        return self.upload.state_now == UploadState.RECEIVING


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of uploads.

    Attributes:
        room: Text about the used quota; empty without a quota.
        pickles: Suffixes of files that are refused because of their name, separated by spaces.
    """

    file_bytes: int
    part_bytes: int
    open_uploads: int
    days: int
    room: str = ""
    pickles: str = " ".join(sorted(PICKLES | ARCHIVES))


def limits(namespace: Namespace | None = None) -> Limits:
    """Return the limits of uploads to a namespace."""
    room = ""
    quota = quotas.limit_of(namespace) if namespace is not None else None
    if namespace is not None and quota is not None:
        facts = {"used": size(quotas.used_by(namespace)), "quota": size(quota)}
        room = _("%(used)s of %(quota)s used") % facts
    conf = settings.LORARY
    return Limits(
        conf.max_file_bytes, conf.part_bytes, uploads.MAX_OPEN_UPLOADS, conf.upload_days, room
    )


def upload_row(user: User, upload: Upload) -> UploadRow:
    """Return the row of a user's upload."""
    rows = upload_selectors.with_kept(upload_selectors.overview(user))
    return upload_rows_of(user, [rows.get(pk=upload.pk)])[0]


def upload_rows_of(user: User, rows: Sequence[Upload]) -> list[UploadRow]:
    """Return the rows of uploads from ``registry.uploads.selectors.with_kept``."""
    (versions, adapters), checked = upload_selectors.holders(user, rows), checked_bytes(rows)
    return [
        _upload_row(row, versions.get(row.pk), adapters.get(row.pk), checked.get(row.pk, 0))
        for row in rows
    ]


def _upload_row(
    upload: Upload, version: Version | None, adapter: Adapter | None, checked: int
) -> UploadRow:
    word = str(UploadState(upload.state_now).label)
    remarks = remarks_of(upload.findings.all())
    if upload.state_now == UploadState.RECEIVING:
        return _receiving(upload, word)
    if upload.state == UploadState.CHECKING:
        text = _("The file has arrived and is being checked.")
        return UploadRow(upload, word, text, _percent(checked, upload), can_cancel=True)
    if upload.state == UploadState.ACCEPTED:
        return _accepted(upload, word, version or adapter, remarks)
    if upload.state == UploadState.CANCELLED and version is not None:
        text = _("It was part of %(version)s, which was withdrawn.")
        return UploadRow(
            upload, _("Withdrawn"), text % {"version": _named(version)}, version=version
        )
    return UploadRow(upload, word, receive.sentence(upload), remarks=remarks)


def _named(version: Version) -> str:
    return f"{version.adapter.full_name} {version.name}"


def _percent(done: int, upload: Upload) -> int:
    return 100 * done // max(1, upload.size_bytes)


def _receiving(upload: Upload, word: str) -> UploadRow:
    arrived: int = getattr(upload, "arrived", 0)
    facts = {"here": size(arrived), "total": size(upload.size_bytes)}
    here = _("%(here)s of %(total)s received.") % facts
    until = _("Kept until %(day)s.") % {"day": date_format(upload.expires_at, DAY)}
    go_on = reverse("publish") + (
        f"?upload={upload.public_id}" if checks.is_weights(upload.path) else ""
    )
    text = f"{here} {until} {_('Choose the same file again to resume.')}"
    return UploadRow(upload, word, text, _percent(arrived, upload), go_on=go_on, can_cancel=True)


def _accepted(
    upload: Upload, word: str, holder: Version | Adapter | None, remarks: list[Remark]
) -> UploadRow:
    if isinstance(holder, Version):
        text = _("It is part of %(version)s.") % {"version": _named(holder)}
        return UploadRow(upload, _("Used"), text, remarks=remarks, version=holder)
    if holder is not None:
        text = _("It is part of the files of %(adapter)s.") % {"adapter": holder.full_name}
        return UploadRow(upload, _("Used"), text, remarks=remarks, adapter=holder)
    if upload.blob is None or not upload.blob.is_stored:
        text = _("It was not published in time, and its data was deleted. Start a new upload.")
        return UploadRow(upload, word, text, remarks=remarks)
    if getattr(upload, "is_kept", False):  # the new owner has made it private
        text = _("The adapter that it is part of was transferred.")
        return UploadRow(upload, _("Used"), text, remarks=remarks)
    day = upload.updated_at + timedelta(days=settings.LORARY.upload_days)
    text = _("Checked and not published. Kept until %(day)s.") % {"day": date_format(day, DAY)}
    go_on = reverse("publish") + f"?upload={upload.public_id}"
    is_main = checks.is_weights(upload.path)
    return UploadRow(
        upload, word, text, remarks=remarks, go_on=go_on if is_main else "", can_cancel=True
    )
