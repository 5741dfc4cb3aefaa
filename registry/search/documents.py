"""Search documents of adapters: composed from their fields, saved with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.models import Adapter, SearchDocument
from registry.search import spelling, words
from registry.search.base_names import names_of
from registry.search.schema import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Increase it when documents are composed differently; ``manage.py search rebuild`` updates old
#: ones.
FORM = 2
#: Maximum number of characters of a card that are searched.
MAX_CARD = 12_000

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
    rank: int | None = None
    size_bytes: int | None = None

    @classmethod
    def of(cls, adapter: Adapter) -> Described:
        """Return the fields of an adapter."""
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
            rank=latest.rank if latest else None,
            size_bytes=latest.size_bytes if latest else None,
        )


def plain_text(markdown: str) -> str:
    """Return the text of a card without markup, URLs, HTML and YAML, up to ``MAX_CARD``."""
    text = markdown[: 2 * MAX_CARD].replace("\r\n", "\n").lstrip()
    text = _COMMENT.sub(" ", _YAML.sub("", text))
    text = _ADDRESS.sub(" ", _LINK.sub(r"\1", text))
    return _SIGNS.sub(" ", _CODE.sub(" ", text))[:MAX_CARD]


def compose(given: Described) -> dict[str, Any]:
    """Return the columns of a document."""
    one = [words.as_one(words.split(text)) for text in (given.title, given.name) if text]
    return {
        "exact": " ".join(dict.fromkeys(word for word in one if word)),
        "name": words.indexed(given.title, given.name, has_pairs=True),
        "triggers": words.indexed(*given.trigger_words),
        "tags": words.indexed(*sorted(given.tags)),
        "base": words.indexed(*names_of(given.family, given.lineage), has_pairs=True),
        "kind": words.indexed(given.kind),
        "owner": words.indexed(given.owner),
        "summary": words.indexed(given.summary),
        "card": words.indexed(plain_text(given.card)),
        "rank": given.rank,
        "size_bytes": given.size_bytes,
        "form": FORM,
    }


def save(adapter: Adapter) -> None:
    """Save the document of an adapter; call it in the transaction that changes the adapter."""
    given = Described.of(adapter)
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
        found.update(words.split(", ".join([*texts, *names_of(one.family, one.lineage)])))
    return found
