"""The tables of generated rows, and the rows of owners."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from hub.generation import vocabulary
from hub.generation.tables import Table, as_time
from previews.models import Image, Recipe, Render, Sample
from registry.models import (
    Adapter,
    AdapterName,
    Alias,
    AliasMove,
    Blob,
    BlobAnatomy,
    BlobHash,
    DailyDownloads,
    Event,
    File,
    Membership,
    Namespace,
    NamespaceKind,
    NamespaceName,
    Revision,
    Role,
    User,
    Version,
)
from registry.names import key_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hub.generation.pictures import SharedPicture

#: Days between the first and the last publication.
DAYS = 3 * 365
#: Every tenth owner is an organisation.
ORGANISATIONS = 10
#: No password matches it; ``manage.py changepassword`` sets one.
NO_PASSWORD = "!"  # noqa: S105 - see above


@dataclass(frozen=True, slots=True)
class Owner:
    """Ids and name of a namespace and of the user who publishes in it."""

    namespace: int
    user: int
    name: str


class Rows:
    """Collects the rows of a batch of adapters; ``insert`` writes them.

    Attributes:
        used_bytes: Namespace → published bytes, as quotas count them.
        tag_ids: Tag → id; all tags are there before the first adapter.
    """

    def __init__(
        self, *, seed: int, total: int, end: datetime, pictures: Sequence[SharedPicture]
    ) -> None:
        """Begin.

        Args:
            seed: The rows are the same for the same seed, total, end and first id.
            total: Number of adapters.
            end: When the last of them was published.
            pictures: Stored pictures, which adapters share.
        """
        self.seed, self.total, self.end, self.pictures = seed, total, end, pictures
        self.used_bytes: dict[int, int] = {}
        self.tag_ids: dict[str, int] = {}
        self.recipe_ids: dict[str, int] = {}
        self.users = Table(User, "username password email date_joined")
        self.namespaces = Table(Namespace, "kind name key display_name user created_at")
        self.namespace_names = Table(NamespaceName, "namespace key created_at")
        self.memberships = Table(Membership, "namespace user role created_at")
        self.adapters = Table(
            Adapter,
            "namespace name key title kind summary card licence maturity visibility blocked_reason "
            "withdrawn_reason family lineage algorithm parts trainer permissions downloads "
            "last_number latest_version created_at updated_at published_at",
        )
        self.names = Table(AdapterName, "namespace adapter key created_at")
        self.tags = Table(Adapter.tags.through, "adapter tag")
        self.blobs = Table(Blob, "sha256 size_bytes hashes is_stored created_at")
        self.hashes = Table(BlobHash, "blob kind value")
        self.anatomies = Table(BlobAnatomy, "blob kind family algorithm rank document created_at")
        self.revisions = Table(
            Revision, "adapter commit parent manifest_sha256 message author created_at"
        )
        self.files = Table(File, "revision path role is_primary blob")
        self.versions = Table(
            Version,
            "adapter number revision state notes author declared_family lineage trigger_words "
            "strength strength_min strength_max family algorithm rank parts trainer size_bytes "
            "downloads yanked_reason withdrawn_reason withdrawn_at created_at published_at",
        )
        self.aliases = Table(Alias, "adapter name is_branch revision updated_at")
        self.moves = Table(AliasMove, "alias before revision actor created_at")
        self.daily = Table(DailyDownloads, "version day count")
        self.events = Table(Event, "verb actor adapter subject facts created_at")
        self.recipes = Table(Recipe, "digest document created_at")
        self.renders = Table(
            Render, "kind version recipe base state reason trigger_words created_at finished_at"
        )
        self.images = Table(
            Image,
            "render blob position prompt_index prompt seed strength width height placeholder "
            "created_at",
        )
        self.samples = Table(
            Sample, "version author state blob width height caption placeholder created_at"
        )
        #: In the order in which the database takes them; the guard of files looks for versions.
        self.tables = [
            self.users, self.namespaces, self.namespace_names, self.memberships, self.adapters,
            self.names, self.tags, self.blobs, self.hashes, self.anatomies, self.revisions,
            self.files, self.versions, self.aliases, self.moves, self.daily, self.events,
            self.recipes, self.renders, self.images, self.samples,
        ]  # fmt: skip

    def insert(self) -> int:
        """Insert all collected rows, and return how many; call it inside a transaction."""
        return sum(table.insert() for table in self.tables)

    def owner(self, number: int, taken: set[str]) -> Owner:
        """Add an owner whose name is not in ``taken``, with the user who publishes."""
        word = vocabulary.NAME.draw(vocabulary.seeded(self.seed, "owner", number))
        name = word if word not in taken else f"{word}{number}"
        while name in taken:
            name += "x"
        is_organisation = number % ORGANISATIONS == ORGANISATIONS - 1
        person = f"{name}-team" if is_organisation else name
        taken.update({name, person})
        at = as_time(self.end - timedelta(days=DAYS, minutes=number))
        user = self.users.add(person, NO_PASSWORD, "", at)
        home = self._namespace(NamespaceKind.USER, person, user, at)
        if not is_organisation:
            return Owner(home, user, name)
        shared = self._namespace(NamespaceKind.ORGANISATION, name, None, at)
        self.memberships.add(shared, user, Role.ADMIN, at)
        return Owner(shared, user, name)

    def _namespace(self, kind: str, name: str, user: int | None, at: object) -> int:
        key = key_of(name)
        namespace = self.namespaces.add(kind, name, key, name.title(), user, at)
        self.namespace_names.add(namespace, key, at)
        return namespace
