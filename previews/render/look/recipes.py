"""The standard recipe of a look report, from ``recipes.toml`` or a family's own file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from previews.render.bases.bases_file import Base
from previews.render.defaults import recipe_of, report_table
from previews.render.recipe import SLOT, Recipe, digest_of

#: Fields of a recipe that do not decide whether two reports can be compared.
_OF_VERSION = ("strengths",)


class Part(StrEnum):
    """What a picture of a report is for."""

    LOOK = "look"  # the prompts with trigger words
    PLAIN = "plain"  # the same subjects without them
    UNRELATED = "unrelated"  # other prompts


@dataclass(frozen=True, slots=True)
class ReportRecipe:
    """Two recipes: ``look`` gets the trigger words, ``others`` (plain, then unrelated) none.

    ``plain`` is the number of plain prompts, 0 for an adapter without trigger words: its plain
    pictures would be those of its look.
    """

    version: int
    look: Recipe
    others: Recipe
    plain: int

    @property
    def total(self) -> int:
        """Number of pictures."""
        return len(self.look.shots()) + len(self.others.shots())

    @property
    def digest(self) -> str:
        """Sha256, 64 hex digits; reports of one digest can be compared, whatever the strength."""
        document = self.to_dict()
        for name in ("look", "others"):
            for key in _OF_VERSION:
                del document[name][key]
        return digest_of(document)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        look, others = self.look.to_dict(), self.others.to_dict()
        return {"version": self.version, "look": look, "others": others, "plain": self.plain}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> ReportRecipe:
        """Return the recipe of a document.

        Raises:
            RecipeInvalid: see ``Recipe.from_dict``.
        """
        look, others = (Recipe.from_dict(document[name]) for name in ("look", "others"))
        return cls(document["version"], look, others, document["plain"])

    def part_of(self, prompt_index: int) -> Part:
        """Return the part that a prompt of ``others`` belongs to."""
        return Part.PLAIN if prompt_index < self.plain else Part.UNRELATED


def digest_of_sheet(document: dict[str, Any]) -> str:
    """Return the digest of a cover sheet's recipe: packs of one can be compared.

    Their subjects, seed and settings are the same; the prompts have their own templates.
    """
    return digest_of({key: document[key] for key in document if key != "prompts"})


def report_recipe(
    base: Base, kind: str, *, strength: float = 1.0, has_triggers: bool = True
) -> ReportRecipe | None:
    """Return the standard recipe for a kind of adapter; None for bases of videos.

    Args:
        strength: The recommended one, not 0.
        has_triggers: Whether the adapter has trigger words.
    """
    if base.frames:
        return None
    table = report_table(base.family)
    own = next(table[key] for key in (kind, "any", "style") if key in table)
    look: list[str] = own["look"]
    # A base may want no trigger words where a prompt has no place for them.
    has_triggers = has_triggers and (base.trigger != "none" or any(SLOT in one for one in look))
    plain = own.get("plain", look) if has_triggers else []
    common = {"seeds": table["seeds"], "strengths": (0.0, strength)}
    others = recipe_of(base, prompts=[*plain, *table["unrelated"]], trigger="none", **common)
    if not has_triggers:
        look = [" ".join(prompt.replace(SLOT, "").split()) for prompt in own.get("plain", look)]
    return ReportRecipe(
        table["version"], recipe_of(base, prompts=look, **common), others, len(plain)
    )
