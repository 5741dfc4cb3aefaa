"""The files that are made from a weights file: what there is, and what is possible."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from lorary.client.names import saved_name
from registry.adapters import selectors as adapter_selectors
from registry.blobs import selectors as blob_selectors
from registry.blobs.anatomies import config_beside
from registry.derived.options import Options, Wanted, options_of, saved_as
from registry.errors import NotFound, StateConflict
from registry.models import (
    DerivedFile,
    DerivedHash,
    DerivedState,
    File,
    FileRole,
    User,
    Version,
)
from registry.versions import files as served_files
from registry.versions import selectors as version_selectors
from registry.versions.files import Bytes, Served


@dataclass(frozen=True, slots=True)
class Source:
    """A weights file of a version that somebody may download.

    Attributes:
        config_sha256: Digest of PEFT's configuration that belongs to it; empty without one.
    """

    version: Version
    file: File
    options: Options
    config_sha256: str

    def rows(self) -> QuerySet[DerivedFile]:
        """Return the files that were made of it, or will be."""
        return DerivedFile.objects.filter(
            adapter=self.version.adapter_id,
            source=self.file.blob_id,
            config_sha256=self.config_sha256,
            family__in=[self.options.family, ""],
        ).select_related("blob")

    def key_of(self, wanted: Wanted) -> dict[str, object]:
        """Return the columns that identify a file; the family counts only for a naming."""
        return {
            "adapter": self.version.adapter,
            "source": self.file.blob,
            "config_sha256": self.config_sha256,
            "family": self.options.family if wanted.naming else "",
            **wanted._asdict(),
        }


@dataclass(frozen=True, slots=True)
class Derived:
    """A derived file, as it is shown and served.

    Attributes:
        row: Its row; None if it is the source itself, because nothing has to be done.
        done: Steps of the work that are done, out of ``total``.
    """

    source: Source
    wanted: Wanted
    row: DerivedFile | None
    done: int = 0
    total: int = 0

    @property
    def state(self) -> str:
        """One of ``DerivedState``; a file whose bytes were lost counts as failed."""
        if self.row is None:
            return DerivedState.READY.value
        is_lost = self.row.blob is not None and not self.row.blob.is_stored
        return DerivedState.FAILED.value if is_lost else self.row.state

    @property
    def is_open(self) -> bool:
        """Whether it is still being made."""
        return self.state == DerivedState.QUEUED

    @property
    def is_ready(self) -> bool:
        """Whether it can be downloaded."""
        return self.state == DerivedState.READY

    @property
    def is_source(self) -> bool:
        """Whether it has the bytes of the source."""
        return self.is_ready and self.served.blob.sha256 == self.source.file.sha256

    @property
    def config(self) -> str:
        """PEFT's configuration of a file that is ready; empty if it has none."""
        return self.row.config if self.row is not None and self.is_ready else ""

    @property
    def name(self) -> str:
        """The name to save it under; that of the source if nothing has to be done."""
        version, file = self.source.version, self.source.file
        if self.row is not None:
            return saved_as(version, file, self.wanted)
        variant = "" if file.is_primary else file.variant
        return saved_name(version.adapter.owner, version.adapter.name, file.path, variant)

    @property
    def served(self) -> Served:
        """The bytes, which count as a download of the version.

        Raises:
            StateConflict: it is not ready; ``facts["state"]`` is its state.
        """
        version, file = self.source.version, self.source.file
        blob = file.blob if self.row is None else self.row.blob
        if not self.is_ready or blob is None:
            text = _("This file is not ready: %(state)s.")
            label = DerivedState(self.state).label
            raise StateConflict(text % {"state": label}, state=self.state)
        adapter = version.adapter
        return Served(
            file.path if self.row is None else self.name,
            file.is_primary,
            file.variant,
            Bytes(blob.sha256, blob.size_bytes, blob.is_stored),
            version.pk,
            served_files.is_for_everybody(
                adapter.visibility, adapter.access, adapter.blocked_reason
            ),
        )


def source_of(
    user: User | AnonymousUser | None, owner: str, name: str, version: str, path: str = ""
) -> Source:
    """Return a weights file that the user may download; by default the primary one.

    Raises:
        NotFound, Moved, Gone, Forbidden: as for the download of the file.
    """
    adapter = adapter_selectors.get(user, owner, name)
    served_files.require_access(user, adapter)
    row = version_selectors.get(user, adapter, version)
    manifest = list(row.files)
    primary = next((file for file in manifest if file.is_primary), None)
    file = version_selectors.file(row, path or (primary.path if primary else ""))
    if file.role != FileRole.WEIGHTS:
        text = _("“%(path)s” is not a file with weights.")
        raise NotFound(text % {"path": file.path}, adapter=adapter.full_name)
    return source_in(row, file, manifest)


def source_in(version: Version, file: File, manifest: list[File]) -> Source:
    """Return a weights file of a version whose manifest was read."""
    document = (
        version_selectors.document_of(version, file)
        if file.is_primary
        else blob_selectors.document_of(file.blob)
    )
    config = config_beside(file, manifest)
    digest = "" if config is None else config.sha256
    return Source(version, file, options_of(version, document), digest)


def listing(source: Source) -> list[Derived]:
    """Return the files that were made from a source, or are being made."""
    rows = source.rows().order_by("naming", "max_rank", "is_stripped")
    return [shown(source, wanted_of(row), row) for row in rows]


def find(source: Source, wanted: Wanted) -> Derived | None:
    """Return a derived file, the source itself where nothing has to be done, or None.

    Raises:
        Invalid: it cannot be made.
    """
    reduced = source.options.reduced(wanted)
    if not any(reduced):
        return Derived(source, reduced, None)
    row = source.rows().filter(**source.key_of(reduced)).first()
    return None if row is None else shown(source, reduced, row)


def get(source: Source, variant: str) -> Derived:
    """Return a derived file by its variant.

    Raises:
        NotFound: it was not requested, or was not used for a long time.
    """
    found = find(source, Wanted.parse(variant))
    if found is None:
        text = _("“%(variant)s” of this file has not been made yet. Request it first.")
        raise NotFound(text % {"variant": variant[:96]}, variant=variant[:96])
    return found


def wanted_of(row: DerivedFile | DerivedHash) -> Wanted:
    """Return how a file differs from its source."""
    return Wanted(row.naming, row.max_rank, row.is_stripped)


def shown(source: Source, wanted: Wanted, row: DerivedFile) -> Derived:
    """Return a derived file with the progress of its job."""
    if row.state != DerivedState.QUEUED:
        return Derived(source, wanted, row)
    job = DerivedFile.open_jobs().filter(key=row.job_key).first()
    return Derived(source, wanted, row, job.done if job else 0, job.total if job else 0)


def queued() -> list[int]:
    """Return the ids of the files whose jobs wait or run.

    A file whose job was cancelled is queued, too, but nothing is done for it.
    """
    jobs = DerivedFile.open_jobs().values_list("args", flat=True)
    return [args[DerivedFile.argument] for args in jobs]
