"""Search documents: the words of each adapter, and how words may be misspelt."""

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
