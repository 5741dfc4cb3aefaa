"""Search documents, spellings, and counters of the values that lists can be filtered by."""

from __future__ import annotations

from django.db import models

from registry.models.adapter import Adapter

#: Maximum length of an indexed word, in characters.
MAX_WORD = 64


class SearchDocument(models.Model):
    """The words of an adapter by where they occur, normalised by ``registry.search.words``.

    The services of adapters save it together with the adapter. The full-text index follows from the
    rows in the database itself (``registry.search.index``).

    Attributes:
        exact: Title and name, each as one word.
        form: Version of the normalisation that wrote it, see ``registry.search.documents.FORM``.
    """

    adapter = models.OneToOneField(
        Adapter, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    exact = models.TextField(blank=True)
    name = models.TextField(blank=True)
    triggers = models.TextField(blank=True)
    tags = models.TextField(blank=True)
    base = models.TextField(blank=True)
    kind = models.TextField(blank=True)
    owner = models.TextField(blank=True)
    summary = models.TextField(blank=True)
    card = models.TextField(blank=True)
    rank = models.PositiveIntegerField(null=True, blank=True)
    size_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    form = models.PositiveSmallIntegerField()

    class Meta:
        """Ranks and sizes are searched by range."""

        indexes = [
            models.Index(fields=["rank", "adapter"], name="search_by_rank"),
            models.Index(fields=["size_bytes", "adapter"], name="search_by_size"),
        ]

    def __str__(self) -> str:
        return f"words of {self.adapter_id}"


class SpellingKey(models.Model):
    """A word without one of its letters, or in full: words with a common key are similar."""

    key = models.CharField(max_length=MAX_WORD)
    word = models.CharField(max_length=MAX_WORD)

    class Meta:
        """Keys are looked up, and each is stored once for a word."""

        constraints = [
            models.UniqueConstraint(fields=["key", "word"], name="spelling_key_once"),
        ]

    def __str__(self) -> str:
        return f"{self.key} of {self.word}"


class FacetCount(models.Model):
    """How many listed adapters have a value in a field, without the latest changes.

    ``registry.adapters.facets`` explains the fields.
    """

    field = models.CharField(max_length=16)
    value = models.CharField(max_length=96, blank=True)
    count = models.BigIntegerField()

    class Meta:
        """Fields are read from their most frequent value on."""

        constraints = [
            models.UniqueConstraint(fields=["field", "value"], name="facet_count_once"),
        ]
        indexes = [models.Index(fields=["field", "-count", "value"], name="facet_by_count")]

    def __str__(self) -> str:
        return f"{self.field} {self.value}: {self.count}"


class FacetChange(models.Model):
    """A change that is not in ``FacetCount`` yet; triggers of the database write it.

    Rows are only inserted, so that no publication waits for another one.
    """

    id = models.BigAutoField(primary_key=True)
    field = models.CharField(max_length=16)
    value = models.CharField(max_length=96, blank=True)
    delta = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.field} {self.value}: {self.delta:+}"
