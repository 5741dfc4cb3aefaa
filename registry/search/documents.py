"""Search documents of adapters: composed from their fields, saved with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from registry.models import OUT_STATES, Adapter, File, FileRole, SearchDocument
from registry.search import spelling, words
from registry.search.base_names import names_of
from registry.search.schema import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import QuerySet

#: Increase it when documents are composed differently; ``manage.py search rebuild`` updates old
#: ones.
FORM = 3
#: Maximum number of characters of a card that are searched.
MAX_CARD = 12_000
#: Names of files that are searched, those of the newest versions.
MAX_FILES = 50

_CODE = re.compile(r"^ {0,3}(?:```|~~~)[^\n]*+|`", re.MULTILINE)
_COMMENT = re.compile(r"<!--.{0,500}?-->|<[a-zA-Z/][^<>]{0,500}>", re.DOTALL)
_LINK = re.compile(r"!?\[([^\[\]]{0,500})\]\([^()\s]{0,1000}(?:\s[^()]{0,200})?\)")
_ADDRESS = re.compile(r"https?://\S++|^\s{0,20}\[[^\]]{1,80}\]:\s[^\n]*+", re.MULTILINE)
_SIGNS = re.compile(
    r"^[-=|: \t]{3,200}$|^\s{0,3}(?:#{1,6}|>|[-*+]|\d{1,4}[.)])\s++|[*_~|]{1,3}", re.MULTILINE
)
#: Lines of YAML between two of dashes; it is not parsed, because snippets call ``plain_text``.
_YAML = re.compile(
    r"\A--- {0,8}\n(?:#[^\n]*+\n|\n)*+(?=[\w-]{1,64}:\s)"
    r"(?:(?:[\w-]{1,64}:(?=\s)|- |[# \t]|(?=\n))[^\n]*+\n)*+--- {0,8}(?:\n|\Z)"
)


@dataclass(frozen=True, slots=True)
class Described:
    """The fields of an adapter that its search document contains."""

    name: str
    title: str
    owner: str
    kind: str
    summary: str
    card: str
    family: str
    lineage: str
    tags: Sequence[str] = ()
    trigger_words: Sequence[str] = ()
    files: Sequence[str] = ()
    rank: int | None = None
    size_bytes: int | None = None

    @classmethod
    def of(cls, adapter: Adapter, files: Sequence[str]) -> Described:
        """Return the fields of an adapter with the names of its files, see ``files_of``."""
        latest = adapter.latest_version
        return cls(
            name=adapter.name,
            title=adapter.title,
            owner=adapter.namespace.name,
            kind=adapter.kind,
            summary=adapter.summary,
            card=adapter.card,
            family=adapter.family,
            lineage=adapter.lineage,
            tags=[tag.name for tag in adapter.tags.all()],
            trigger_words=(
                [*latest.trigger_words, *latest.optional_trigger_words] if latest else ()
            ),
            files=files,
            rank=latest.rank if latest else None,
            size_bytes=latest.size_bytes if latest else None,
        )


def files_of(adapters: Iterable[int], rows: QuerySet[File] | None = None) -> dict[int, list[str]]:
    """Return adapter id → names of the weights of its public versions, without their ending.

    The newest version comes first. Adapters without a public version are left out.

    Args:
        adapters: Their ids.
        rows: All files, if a migration reads them.
    """
    rows = File.objects.all() if rows is None else rows
    names: dict[int, dict[str, None]] = {}
    found = rows.filter(
        role=FileRole.WEIGHTS,
        revision__versions__adapter__in=list(adapters),
        revision__versions__state__in=OUT_STATES,
    ).order_by("-revision__versions__number", "path")
    for pk, path in found.values_list("revision__versions__adapter", "path"):
        names.setdefault(pk, {})[PurePosixPath(path).stem] = None
    return {pk: list(each)[:MAX_FILES] for pk, each in names.items()}


def plain_text(markdown: str) -> str:
    """Return the text of a card without markup, URLs, HTML and YAML, up to ``MAX_CARD``."""
    # `lorary.client.cards` is for readers: it leaves out code and the texts of pictures, which have
    # words to search for here, and keeps addresses and lines.
    text = markdown[: 2 * MAX_CARD].replace("\r\n", "\n").lstrip()
    text = _COMMENT.sub(" ", _YAML.sub("", text))
    text = _ADDRESS.sub(" ", _LINK.sub(r"\1", text))
    return _SIGNS.sub(" ", _CODE.sub(" ", text))[:MAX_CARD]


def compose(given: Described) -> dict[str, Any]:
    """Return the columns of a document."""
    whole = [words.split(text) for text in (given.title, given.name)]
    # A file name of one word, such as `lora`, tells less than a title with it.
    whole += [name for name in map(words.split, given.files) if len(name) > 1]
    one = [words.as_one(each) for each in whole]
    return {
        "exact": " ".join(dict.fromkeys(word for word in one if word)),
        "name": words.indexed(given.title, given.name, has_pairs=True),
        "triggers": words.indexed(*given.trigger_words),
        "tags": words.indexed(*sorted(given.tags)),
        "base": words.indexed(*names_of(given.family, given.lineage), has_pairs=True),
        "kind": words.indexed(given.kind),
        "owner": words.indexed(given.owner),
        "summary": words.indexed(given.summary),
        "card": words.indexed(plain_text(given.card), *given.files),
        "rank": given.rank,
        "size_bytes": given.size_bytes,
        "form": FORM,
    }


def save(adapter: Adapter) -> None:
    """Save the document of an adapter; call it in the transaction that changes the adapter."""
    given = Described.of(adapter, files_of([adapter.pk]).get(adapter.pk, ()))
    store([SearchDocument(adapter=adapter, **compose(given))])
    spelling.learn(spelled_words([given]))


def store(documents: Sequence[SearchDocument]) -> None:
    """Insert or replace documents."""
    SearchDocument.objects.bulk_create(
        documents,
        update_conflicts=True,
        unique_fields=["adapter"],
        update_fields=[*COLUMNS, "rank", "size_bytes", "form"],
    )


def spelled_words(given: Iterable[Described]) -> set[str]:
    """Return the words that misspelt queries are compared with: all except those of cards."""
    found = set[str]()
    for one in given:
        texts = [one.title, one.name, one.summary, one.kind, *one.tags, *one.trigger_words]
        # With those of `ink-wash` as one word too, because people write `inkwash`.
        found.update(words.indexed(*texts, *names_of(one.family, one.lineage)).split())
    return found
