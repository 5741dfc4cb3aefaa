"""Database models of the catalogue, one module per noun."""

from __future__ import annotations

from registry.models.adapter import Adapter, AdapterName, CardHtml, Tag
from registry.models.blob import SCHEMA, Blob, BlobAnatomy, BlobHash, Finding
from registry.models.choices import (
    OUT_STATES,
    WRITING_ROLES,
    Access,
    CardProblem,
    FileRole,
    HashKind,
    JobState,
    Kind,
    LookKind,
    Maturity,
    NamespaceKind,
    Output,
    PartRole,
    Relation,
    RelationDirection,
    Role,
    Severity,
    UploadState,
    VersionState,
    Visibility,
)
from registry.models.comparison import VersionComparison
from registry.models.derived import DerivedFile, DerivedState
from registry.models.facet import FacetChange, FacetCount
from registry.models.hub import Event, EventAddress, Hub, Source
from registry.models.job import Job, Lease, Worker, WorkerWish
from registry.models.lineage import KnownCheckpoint
from registry.models.namespace import Membership, Namespace, NamespaceName
from registry.models.pack import (
    Pack,
    PackAlias,
    PackAliasMove,
    PackName,
    PackPart,
    PackVariant,
    PackVersion,
    PackWord,
)
from registry.models.revision import Alias, AliasMove, File, Revision
from registry.models.search import SearchDocument, SpellingKey
from registry.models.sketch import BlobRelation, BlobSketch, WeightSketch
from registry.models.token import AccessToken, DeviceLogin
from registry.models.upload import Upload, UploadPart
from registry.models.user import Attempt, User
from registry.models.version import DailyDownloads, Version, VersionAnatomy
from registry.models.xet import XetSession, XetXorb

__all__ = [
    "OUT_STATES",
    "SCHEMA",
    "WRITING_ROLES",
    "Access",
    "AccessToken",
    "Adapter",
    "AdapterName",
    "Alias",
    "AliasMove",
    "Attempt",
    "Blob",
    "BlobAnatomy",
    "BlobHash",
    "BlobRelation",
    "BlobSketch",
    "CardHtml",
    "CardProblem",
    "DailyDownloads",
    "DerivedFile",
    "DerivedState",
    "DeviceLogin",
    "Event",
    "EventAddress",
    "FacetChange",
    "FacetCount",
    "File",
    "FileRole",
    "Finding",
    "HashKind",
    "Hub",
    "Job",
    "JobState",
    "Kind",
    "KnownCheckpoint",
    "Lease",
    "LookKind",
    "Maturity",
    "Membership",
    "Namespace",
    "NamespaceKind",
    "NamespaceName",
    "Output",
    "Pack",
    "PackAlias",
    "PackAliasMove",
    "PackName",
    "PackPart",
    "PackVariant",
    "PackVersion",
    "PackWord",
    "PartRole",
    "Relation",
    "RelationDirection",
    "Revision",
    "Role",
    "SearchDocument",
    "Severity",
    "Source",
    "SpellingKey",
    "Tag",
    "Upload",
    "UploadPart",
    "UploadState",
    "User",
    "Version",
    "VersionAnatomy",
    "VersionComparison",
    "VersionState",
    "Visibility",
    "WeightSketch",
    "Worker",
    "WorkerWish",
    "XetSession",
    "XetXorb",
]
