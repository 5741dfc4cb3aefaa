"""Finding packs by words, in the query language of adapters (``registry.search.syntax``).

```
grey film       both words, each may be unfinished, in name, title, summary or tags
"grey film"     whole words
-anime          not this word
tag:evening     in a tag
kind:lighting   of this kind; a last word may be unfinished
base:sdxl       a variant of the latest version for this base model
owner:ada       of this owner
rating:<mature  the rating that the owner chose
```

Ranks and sizes are of adapters and are ignored here. ``PackWord`` has the words.
"""

from __future__ import annotations

from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet

from lorary.anatomy import FAMILIES
from registry.adapters.selectors import id_of_owner
from registry.models import Maturity, Pack, PackVariant, PackWord, Tag
from registry.models.search import MAX_WORD
from registry.search import base_names, syntax, words
from registry.search.syntax import Limit, Word


def save(pack: Pack) -> None:
    """Write the words by which a pack is found; only those that changed."""
    texts = [pack.name, pack.title, pack.summary, *pack.tags.values_list("name", flat=True)]
    wanted = {word[:MAX_WORD] for text in texts for word in words.split(text)}
    there = set(pack.words.values_list("word", flat=True))
    pack.words.filter(word__in=there - wanted).delete()
    PackWord.objects.bulk_create(PackWord(pack=pack, word=word) for word in wanted - there)


def matching(rows: QuerySet[Pack], text: str) -> QuerySet[Pack]:
    """Return the packs that match a query; ``is_named`` of a row says whether its name does.

    A query without words does not add ``is_named``.
    """
    parsed = syntax.parse(text)
    for word in parsed.words:
        condition = _condition(word)
        rows = rows.exclude(condition) if word.is_excluded else rows.filter(condition)
    for owner in parsed.owners:
        condition = Q(namespace=id_of_owner(owner.name))
        rows = rows.exclude(condition) if owner.is_excluded else rows.filter(condition)
    for limit in parsed.limits:
        if limit.field == "rating":
            condition = Q(maturity__in=_levels(limit))
            rows = rows.exclude(condition) if limit.is_excluded else rows.filter(condition)
    plain = [word for word in parsed.wanted if not word.column]
    if not plain:
        return rows
    named = Q()
    for word in plain:
        named &= Q(title__icontains=word.text) | Q(name__icontains=word.text)
    return rows.annotate(is_named=ExpressionWrapper(named, output_field=BooleanField()))


def _condition(word: Word) -> Q:
    if word.column == "tags":
        tags = Tag.objects.filter(packs=OuterRef("pk"), name__contains=word.text.casefold())
        return Q(Exists(tags))
    if word.column == "kind":
        lookup = "kind__startswith" if word.is_unfinished else "kind"
        return Q(**{lookup: " ".join(word.parts)})
    if word.column == "base":
        variants = PackVariant.objects.filter(version=OuterRef("latest_version"))
        return Q(Exists(variants.filter(family__in=_families(word))))
    found = Q()
    is_whole = word.is_phrase or word.is_excluded
    for raw in words.raw_words(word.text):
        beginnings = (words.fold(raw),) if is_whole else words.unfinished(raw)
        one = Q()
        for beginning in beginnings:
            lookup = "word" if is_whole else "word__startswith"
            one |= Q(**{lookup: beginning[:MAX_WORD]})
        found &= Q(pk__in=PackWord.objects.filter(one).values("pack"))
    return found


def _families(word: Word) -> list[str]:
    """Return the families of base models that a word names."""
    wanted = set(word.parts)
    return [
        family
        for family in FAMILIES
        if any(wanted <= set(words.split(name)) for name in base_names.names_of(family, ""))
    ]


def _levels(limit: Limit) -> list[str]:
    low, high = limit.low or 0, len(Maturity) if limit.high is None else limit.high
    return [level.value for level in Maturity if low <= level.rank <= high]
