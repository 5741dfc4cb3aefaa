"""The tables of generated rows, and the rows of owners."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.management.color import no_style
from django.db import connection, models, transaction
from django.db.models.fields import NOT_PROVIDED
from PIL import Image as Canvas
from PIL import ImageDraw

from hub.generation import vocabulary
from hub.generation.vocabulary import seeded
from previews.derived import placeholder
from previews.models import Image, Recipe, Render, Sample
from registry.blobs import promote
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
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from random import Random


#: Width and height.
SIDE = 384
#: Number of files.
DRAWN = 6


@dataclass(frozen=True, slots=True)
class SharedPicture:
    """A picture that is stored twice: as a PNG, and as a WebP like those in galleries."""

    png: int
    webp: int
    placeholder: str


def store(seed: int) -> list[SharedPicture]:
    """Draw and store the pictures; the same for the same seed."""
    return [_stored(_drawn(seeded(seed, "picture", number))) for number in range(DRAWN)]


def _stored(picture: Canvas.Image) -> SharedPicture:
    png, webp = (_blob(picture, kind) for kind in ("PNG", "WEBP"))
    return SharedPicture(png.pk, webp.pk, placeholder(picture))


def _blob(picture: Canvas.Image, kind: str) -> Blob:
    file = io.BytesIO()
    picture.save(file, kind)
    written = promote.put([file.getvalue()])
    with transaction.atomic():
        return promote.mark_stored(written)


def _drawn(random: Random) -> Canvas.Image:
    """Return circles on a gradient."""
    paper, shade = (_colour(random) for _ in range(2))
    ramp = Canvas.linear_gradient("L").rotate(random.randrange(4) * 90).resize((SIDE, SIDE))
    picture = Canvas.composite(
        Canvas.new("RGB", ramp.size, paper), Canvas.new("RGB", ramp.size, shade), ramp
    )
    pen = ImageDraw.Draw(picture)
    for _ in range(random.randrange(3, 9)):
        x, y, radius = random.randrange(SIDE), random.randrange(SIDE), random.randrange(20, 140)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(random))
    return picture


def _colour(random: Random) -> tuple[int, int, int]:
    return random.randrange(256), random.randrange(256), random.randrange(256)


#: Page cache of SQLite while rows are inserted, in KiB.
CACHE_KIB = 256 * 1024


class Table:
    """The rows to insert into the table of a model, with ids counted by this class.

    Columns that are not named have the defaults of their fields, so that a new column with a
    default needs no change here.
    """

    def __init__(self, model: type[models.Model], columns: str) -> None:
        """Begin after the highest id.

        Args:
            model: The model.
            columns: Names of the fields that ``add`` takes, separated by spaces; without the id.
        """
        fields = {field.name: field for field in model._meta.concrete_fields}  # noqa: SLF001 - Django's documented API
        named = [fields.pop(name) for name in columns.split()]
        key = model._meta.pk  # noqa: SLF001 - see above
        fields.pop(key.name, None)
        self.model = model
        self.has_own_id = isinstance(key, models.AutoField)
        self._rest = tuple(_default(field) for field in fields.values())
        keys = [key] if self.has_own_id else []
        self._columns = [str(field.column) for field in (*keys, *named, *fields.values())]
        self._rows: list[tuple[Any, ...]] = []
        highest = model._default_manager.aggregate(most=models.Max("pk"))["most"]  # noqa: SLF001
        self.last_id: int = (highest or 0) if self.has_own_id else 0

    def add(self, *values: Any) -> int:  # noqa: ANN401 - a value for each column
        """Add a row and return its id; ``insert`` writes it."""
        if not self.has_own_id:
            self._rows.append((*values, *self._rest))
            return 0
        self.last_id += 1
        self._rows.append((self.last_id, *values, *self._rest))
        return self.last_id

    def insert(self) -> int:
        """Insert the rows that were added, and return how many; call it inside a transaction."""
        rows, self._rows = self._rows, []
        if rows:
            _INSERTS[connection.vendor](self.model._meta.db_table, self._columns, rows)  # noqa: SLF001
        return len(rows)


def _default(field: models.Field[Any, Any]) -> Any:  # noqa: ANN401 - a value of the column
    """Return the value of a column that no row sets."""
    if field.null and field.default is NOT_PROVIDED:
        return None
    value = field.get_default()
    if isinstance(field, models.JSONField):
        return as_json(value)
    if isinstance(field, models.DateTimeField):
        msg = f"{field.model.__name__}.{field.name} needs a date in each row."
        raise TypeError(msg)
    return value


def _copy(table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows into PostgreSQL."""
    names = ", ".join(map(connection.ops.quote_name, columns))
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {connection.ops.quote_name(table)} ({names}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(row)


def _insert(table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows into SQLite."""
    names = ", ".join(map(connection.ops.quote_name, columns))
    marks = ", ".join(["%s"] * len(columns))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {connection.ops.quote_name(table)} ({names}) VALUES ({marks})",  # noqa: S608 - names of the models
            rows,
        )


_INSERTS: dict[str, Callable[[str, Sequence[str], Any], None]] = {
    "postgresql": _copy,
    "sqlite": _insert,
}


def as_json(value: object) -> str:
    """Return a value for a JSON column."""
    return json.dumps(value)


def as_time(moment: datetime) -> Any:  # noqa: ANN401 - as the database takes it
    """Return a time for a column of times."""
    return connection.ops.adapt_datetimefield_value(moment)


def prepare() -> None:
    """Have the database spend more memory on inserts, and not wait for the disk."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        else:
            cursor.execute("SET synchronous_commit = off")


def finish(tables: Iterable[Table]) -> None:
    """Have the database count ids from the highest one, and measure the tables for its plans."""
    chosen = [table.model for table in tables]
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), chosen):
            cursor.execute(statement)
        cursor.execute("ANALYZE")


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
            "withdrawn_reason family lineage algorithm downloads last_number "
            "latest_version created_at updated_at published_at",
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
            "strength strength_min strength_max family algorithm rank size_bytes downloads "
            "yanked_reason withdrawn_reason withdrawn_at created_at published_at",
        )
        self.aliases = Table(Alias, "adapter name is_branch revision updated_at")
        self.moves = Table(AliasMove, "alias before revision actor created_at")
        self.daily = Table(DailyDownloads, "version day count")
        self.events = Table(Event, "verb actor adapter subject facts created_at")
        self.recipes = Table(Recipe, "digest document created_at")
        self.renders = Table(
            Render, "kind version recipe state reason trigger_words created_at finished_at"
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
