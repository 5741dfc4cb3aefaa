"""The rows of one generated adapter.

```
adapter ─┬─ tags, names, events
         ├─ revision ── revision …      README.md and weights in each
         ├─ version ─── version …       anatomy, hashes, downloads by day
         └─ pictures of the last version: rendered, or uploaded by the owner
```
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.db import connection

from hub.generation import vocabulary
from hub.generation.pictures import SIDE
from hub.generation.rows import DAYS
from hub.generation.tables import as_json, as_time
from hub.generation.vocabulary import Zipf
from hub.generation.weights import FAMILIES, METHODS, RANKS, TRAININGS, weights
from previews.models import RenderKind, RenderState, SampleState
from previews.render.defaults import default_prompts
from previews.render.recipe import Recipe
from previews.renders.messages import waiting_for
from registry.adapters import manifests
from registry.adapters.licences import permissions_of
from registry.models import FileRole, HashKind, Kind, Maturity, VersionState, Visibility

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from random import Random

    from hub.generation.rows import Owner, Rows
    from hub.generation.weights import Weights

#: Weights and README.md files have rows and no bytes.
IS_STORED = False
#: Strengths of rendered pictures.
STRENGTHS = (0.0, 0.5, 1.0)
LICENCES = (
    "openrail", "creativeml-openrail-m", "apache-2.0", "", "cc-by-4.0", "cc-by-nc-4.0", "mit",
    "flux-1-dev-non-commercial-license", "cc0-1.0", "fair-ai-public-license-1.0-sd",
)  # fmt: skip
#: Ways to be out of sight, each with its share of all adapters.
PRIVATE, UNLISTED, BLOCKED, WITHDRAWN, DRAFT = 0.04, 0.02, 0.001, 0.002, 0.01
#: Shares of adapters with rendered pictures, and with pictures of the owner.
RENDERED, BROUGHT = 0.2, 0.25

_KIND = Zipf([Kind.STYLE, Kind.CHARACTER, Kind.CONCEPT, *Kind.values[3:]])
_FAMILY = Zipf(FAMILIES)
_LINEAGES = {family: Zipf(lineages) for family, lineages in FAMILIES.items()}
_LICENCE, _RANK, _METHOD = Zipf(LICENCES, 0.8), Zipf(RANKS), Zipf(METHODS, 2.0)
_TRAINING = Zipf(range(len(TRAININGS)), 0.8)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class _Entry(NamedTuple):
    """A file of a manifest."""

    path: str
    size_bytes: int
    sha256: str
    blob: int
    role: str


@dataclass(slots=True)
class _Adapter:
    """What is decided about an adapter before its rows are written."""

    random: Random
    owner: Owner
    pk: int
    name: str
    words: dict[str, str]
    kind: str
    title: str
    family: str
    lineage: str
    method: str
    rank: int
    triggers: list[str]
    state: str
    downloads: int
    times: list[datetime]


@dataclass(frozen=True, slots=True)
class _Published:
    """The last version, as lists show it."""

    version: int
    state: str
    known: Weights
    at: datetime


@dataclass(frozen=True, slots=True)
class _Release:
    """A version to be written."""

    number: int
    revision: int
    state: str
    at: datetime
    downloads: int


def add(rows: Rows, index: int, owner: Owner) -> None:
    """Add the rows of the adapter with an index, from 0 to ``rows.total - 1``."""
    one = _decided(rows, index, owner)
    last = _add_versions(rows, one)
    _add_adapter(rows, one, last)
    if one.state == VersionState.PUBLISHED:
        _add_pictures(rows, one, last)


def _decided(rows: Rows, index: int, owner: Owner) -> _Adapter:
    random = vocabulary.seeded(rows.seed, index)
    words = vocabulary.words_of(random)
    kind = _KIND.draw(random)
    family = _FAMILY.draw(random)
    pk = rows.adapters.last_id + 1
    title = vocabulary.title(random, words, kind)
    triggers = [f"{words['name']} {words[random.choice(('medium', 'subject', 'word'))]}"]
    if random.random() < 0.3:
        triggers.append(f"{words['mood']} {words['subject']}")
    luck = random.random()
    state = VersionState.PUBLISHED
    if luck < WITHDRAWN:
        state = VersionState.WITHDRAWN
    elif luck < WITHDRAWN + DRAFT:
        state = VersionState.DRAFT
    return _Adapter(
        random=random,
        owner=owner,
        pk=pk,
        name=f"{'-'.join(title.casefold().split())}-{_base36(pk)}",
        words=words,
        kind=kind,
        title=title,
        family=family,
        lineage=_LINEAGES[family].draw(random),
        method=_METHOD.draw(random),
        rank=_RANK.draw(random),
        triggers=triggers,
        state=state,
        downloads=min(5_000_000, int(20 * random.paretovariate(1.1)) - 20),
        times=_times(rows, random, index, is_draft=state == VersionState.DRAFT),
    )


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


def _times(rows: Rows, random: Random, index: int, *, is_draft: bool) -> list[datetime]:
    """Return the times of 1 to 5 versions; adapters were created one after the other."""
    count = 1 if is_draft else random.choices((1, 2, 3, 4, 5), (55, 22, 12, 7, 4))[0]
    first = rows.end - timedelta(days=DAYS * (1 - (index + 1) / rows.total))
    later = sorted(random.random() ** 2 for _ in range(count - 1))
    return [first, *(first + share * (rows.end - first) for share in later)]


def _add_adapter(rows: Rows, one: _Adapter, last: _Published) -> None:
    """Add the adapter's own row, its name and tags."""
    random, words = one.random, one.words
    summary = vocabulary.summary(random, words)
    tags = _tags(one)
    luck = random.random()
    visibility = Visibility.PUBLIC
    if luck < PRIVATE + UNLISTED:
        visibility = Visibility.PRIVATE if luck < PRIVATE else Visibility.UNLISTED
    is_out = last.state == VersionState.PUBLISHED
    rating = random.choices(list(Maturity), (84, 9, 5, 2))
    published = None if one.state == VersionState.DRAFT else as_time(last.at)
    card = vocabulary.card(random, words, one.title, one.triggers)
    licence = _LICENCE.draw(random)
    rows.adapters.add(
        one.owner.namespace, one.name, one.name, one.title, one.kind, summary, card, licence,
        rating[0], visibility, "Reported by its model." if random.random() < BLOCKED else "",
        "Withdrawn by its owner." if one.state == VersionState.WITHDRAWN else "",
        *(_columns(one, last.known) if is_out else [""] * 5),
        permissions_of(licence), one.downloads,
        len(one.times), last.version if is_out else None,
        as_time(one.times[0] - timedelta(minutes=5)), as_time(last.at), published,
    )  # fmt: skip
    rows.names.add(one.owner.namespace, one.pk, one.name, as_time(one.times[0]))
    for tag in tags:
        rows.tags.add(one.pk, rows.tag_ids[tag])
    rows.events.add(
        "adapter_created", one.owner.user, one.pk, f"{one.owner.name}/{one.name}", "{}",
        as_time(one.times[0]),
    )  # fmt: skip


def _columns(one: _Adapter, known: Weights) -> list[str]:
    """Return what lists show of the latest version."""
    return [known.family, one.lineage, known.algorithm, known.parts, known.trainer]


def _tags(one: _Adapter) -> list[str]:
    """Return up to 8 tags: words of the adapter, and others."""
    own = [one.words[place] for place in ("medium", "subject", "mood")]
    kept = [word for word in own if one.random.random() < 0.6]
    others = vocabulary.TAG.some(one.random, one.random.randrange(1, 6))
    return sorted({*kept, *others})


def _add_versions(rows: Rows, one: _Adapter) -> _Published:
    """Add the revisions, the versions and the refs to them; return the last version."""
    training = _TRAINING.draw(vocabulary.seeded(rows.seed, "training", one.title))
    known = weights(one.family, one.method, one.rank, training)
    tip = parent = _add_revision(rows, one, None, [], "Create adapter", one.times[0])
    share, state, version = one.downloads, one.state, 0
    refs: list[tuple[str, int, datetime]] = []
    for number, at in enumerate(one.times, start=1):
        is_last = number == len(one.times)
        state = one.state if is_last else _earlier_state(one)
        entries = _entries(rows, one, number, known, at)
        parent = _add_revision(rows, one, parent, entries, f"Publish v{number}", at)
        share = share if is_last else share // 2
        version = _add_version(
            rows, one, _Release(number, parent, state, at, share), entries, known
        )
        if state != VersionState.DRAFT:
            tip = parent
            refs.append((f"v{number}", parent, at))
    for name, revision, at in [(manifests.MAIN, tip, one.times[-1]), *refs]:
        when = as_time(at)
        alias = rows.aliases.add(one.pk, name, name == manifests.MAIN, revision, when)
        rows.moves.add(alias, None, revision, one.owner.user, when)
    return _Published(version, state, known, one.times[-1])


def _earlier_state(one: _Adapter) -> str:
    """Return the state of a version that another one follows; few were yanked or withdrawn."""
    if one.state == VersionState.WITHDRAWN:
        return VersionState.WITHDRAWN
    luck = one.random.random()
    if luck < 0.01:
        return VersionState.WITHDRAWN
    return VersionState.YANKED if luck < 0.05 else VersionState.PUBLISHED


def _digest(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


def _entries(rows: Rows, one: _Adapter, number: int, known: Weights, at: datetime) -> list[_Entry]:
    """Add the blobs of a version, with hashes and the anatomy; return its manifest."""
    random, when = one.random, as_time(at)
    sha256 = _digest(rows.seed, one.pk, number)
    size = int(random.lognormvariate(18.2, 1.0)) + 100_000
    data, blake3 = _digest(sha256, "data"), _digest(sha256, "blake3")
    hashes = {
        HashKind.AUTOV2: sha256[:10], HashKind.AUTOV3: data[:12], HashKind.CRC32: data[-8:],
        HashKind.DATA_SHA256: data, HashKind.BLAKE3: blake3,
    }  # fmt: skip
    blob = rows.blobs.add(sha256, size, as_json(hashes), IS_STORED, when)
    for kind, value in {HashKind.SHA256: sha256, **hashes}.items():
        rows.hashes.add(blob, kind, value)
    rows.anatomies.add(
        blob, "adapter", known.proven_family, known.algorithm, known.rank, known.document, when
    )
    text = _digest(sha256, "README.md")
    readme = rows.blobs.add(text, 600 + size % 4000, "{}", IS_STORED, when)
    return [
        _Entry("README.md", 600 + size % 4000, text, readme, FileRole.CARD),
        _Entry(f"{one.name}.safetensors", size, sha256, blob, FileRole.WEIGHTS),
    ]


def _add_revision(
    rows: Rows,
    one: _Adapter,
    parent: int | None,
    entries: Sequence[_Entry],
    message: str,
    at: datetime,
) -> int:
    manifest = manifests.digest_of_lines(
        (each.path, each.size_bytes, each.sha256) for each in entries
    )
    commit = _digest(rows.seed, one.pk, parent, manifest)[:40]
    revision = rows.revisions.add(
        one.pk, commit, parent, manifest, message, one.owner.user, as_time(at)
    )
    for each in entries:
        is_weights = each.role == FileRole.WEIGHTS
        rows.files.add(revision, each.path, each.role, is_weights, each.blob)
    return revision


def _add_version(
    rows: Rows, one: _Adapter, release: _Release, entries: Sequence[_Entry], known: Weights
) -> int:
    """Add a version with its downloads of the last days, and charge its bytes."""
    size, when = sum(each.size_bytes for each in entries), as_time(release.at)
    is_draft, is_gone = (
        release.state == state for state in (VersionState.DRAFT, VersionState.WITHDRAWN)
    )
    strength = one.random.choice((0.6, 0.7, 0.8, 0.9, 1.0))
    version = rows.versions.add(
        one.pk, release.number, release.revision, release.state,
        vocabulary.summary(one.random, one.words), one.owner.user, one.family, one.lineage,
        as_json(one.triggers), strength, round(strength - 0.3, 1), round(strength + 0.2, 1),
        known.family, known.algorithm, known.rank, known.parts, known.trainer, size,
        release.downloads,
        "Replaced by the next version." if release.state == VersionState.YANKED else "",
        "Withdrawn by its owner." if is_gone else "", when if is_gone else None, when,
        None if is_draft else when,
    )  # fmt: skip
    if not is_draft:
        rows.events.add(
            "version_published", one.owner.user, one.pk, f"v{release.number}", "{}", when
        )
    if not (is_draft or is_gone):
        home = one.owner.namespace
        rows.used_bytes[home] = rows.used_bytes.get(home, 0) + size
        _add_days(rows, version, release.downloads, release.at)
    is_last = release.number == len(one.times)
    if release.state == VersionState.PUBLISHED and not is_last:
        _add_waiting(rows, one, version, known, when)
    return version


def _add_waiting(rows: Rows, one: _Adapter, version: int, known: Weights, when: object) -> None:
    """Add the render of a published version that waits for a worker."""
    rows.renders.add(
        RenderKind.PREVIEW, version, None, "", RenderState.WAITING, waiting_for(known.family),
        as_json(one.triggers), when, None,
    )  # fmt: skip


def _add_days(rows: Rows, version: int, downloads: int, since: datetime) -> None:
    """Add the downloads of the last three days, if there are any."""
    a_day = downloads // max(1, (rows.end - since).days)
    if a_day:
        for day in (1, 2, 3):
            at = connection.ops.adapt_datefield_value((rows.end - timedelta(days=day)).date())
            rows.daily.add(version, at, max(1, a_day // day))


def _add_pictures(rows: Rows, one: _Adapter, last: _Published) -> None:
    """Add the pictures of the last version, if it has any."""
    random, when = one.random, as_time(last.at)
    if random.random() < RENDERED:
        number, recipe = _recipe(rows, last.known.family, one.kind, when)
        render = rows.renders.add(
            RenderKind.PREVIEW, last.version, number, recipe.base, RenderState.READY, "",
            as_json(one.triggers), when, when,
        )  # fmt: skip
        for shot in recipe.shots(one.triggers):
            picture = random.choice(rows.pictures)
            rows.images.add(
                render, picture.png, shot.position, shot.prompt_index, shot.prompt, shot.seed,
                shot.strength, SIDE, SIDE, picture.placeholder, when,
            )  # fmt: skip
    else:
        _add_waiting(rows, one, last.version, last.known, when)
    if random.random() < BROUGHT:
        for _ in range(random.randrange(1, 4)):
            picture = random.choice(rows.pictures)
            rows.samples.add(
                last.version, one.owner.user, SampleState.READY, picture.webp, SIDE, SIDE,
                vocabulary.summary(random, one.words), picture.placeholder, when,
            )  # fmt: skip


def _recipe(rows: Rows, family: str, kind: str, when: object) -> tuple[int, Recipe]:
    """Return the id of a recipe for a family and a kind, and the recipe; adds it once."""
    recipe = Recipe(
        base=family,
        prompts=tuple(default_prompts(family, kind)[:2]),
        seeds=(7,),
        strengths=STRENGTHS,
        steps=20,
        guidance=5.0,
        width=SIDE,
        height=SIDE,
    )
    number = rows.recipe_ids.get(recipe.digest)
    if number is None:
        number = rows.recipes.add(recipe.digest, as_json(recipe.to_dict()), when)
        rows.recipe_ids[recipe.digest] = number
    return number, recipe
