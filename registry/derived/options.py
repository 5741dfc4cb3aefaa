"""Which files can be made of a weights file. Its anatomy decides, and no tensor is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from lorary.algebra.metadata.rules import is_training_key
from lorary.algebra.naming.relations import names_of
from lorary.algebra.naming.targets import TARGETS, has_encoders, namings_of
from lorary.anatomy import FAMILIES
from lorary.client.names import saved_name
from registry.errors import Invalid, NotFound
from registry.models import File, Version

#: The ranks that files can be limited to. Few, so that everybody who wants a smaller file gets the
#: same one.
RANKS = (4, 8, 16, 32, 64, 128)

#: Naming to the conventions of files that its tools load as they are.
_HELD: Mapping[str, tuple[str, ...]] = {
    "kohya": ("kohya", "kohya_sgm_blocks"),
    "comfyui": ("comfyui_diffusion_model",),
    "diffusers": ("diffusers_peft",),
    "peft": ("peft",),
}
#: Algorithms with factors that can be renamed, and whose rank can be lowered, exactly.
_RENAMED = frozenset({"lora", "locon", "dora"})
_RESIZED = frozenset({"lora", "locon", "bias", "norm", "modulation"})
#: Algorithms of which a LoRA is made where a rank is wanted, as in ``process``.
_APPROXIMATED = frozenset({"loha", "lokr"})
#: Namings that have names for their tensors.
_LYCORIS_NAMINGS = frozenset({"kohya", "comfyui"})


class Wanted(NamedTuple):
    """How a file is to differ from its source.

    Attributes:
        naming: One of ``TARGETS``; empty for that of the source.
        max_rank: One of ``RANKS``; 0 for the rank of the source.
        is_stripped: Whether the metadata about its training is left out.
    """

    naming: str = ""
    max_rank: int = 0
    is_stripped: bool = False

    @classmethod
    def parse(cls, variant: str) -> Wanted:
        """Read ``comfyui.r16.stripped``; each part is optional.

        Raises:
            NotFound: it is something else.
        """
        parts = variant.split(".")
        naming = parts.pop(0) if parts[0] in TARGETS else ""
        rank = parts.pop(0)[1:] if parts and parts[0] in {f"r{rank}" for rank in RANKS} else "0"
        is_stripped = parts == ["stripped"]
        if (parts and not is_stripped) or not variant:
            raise NotFound(_("There is no derived file “%(name)s”.") % {"name": variant[:96]})
        return cls(naming, int(rank), is_stripped)

    @property
    def variant(self) -> str:
        """The form that ``parse`` reads; empty for the source itself."""
        rank = f"r{self.max_rank}" if self.max_rank else ""
        parts = (self.naming, rank, "stripped" if self.is_stripped else "")
        return ".".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Options:
    """What can be made of a weights file.

    Attributes:
        held: The naming that it has; empty if its tools are not known.
        namings: The other namings that it can have.
        lora_namings: Further namings that it can have as a LoRA, with a maximum rank.
        rank: Its largest rank, 0 if its rank cannot be lowered.
        is_approximated: Whether a maximum rank makes a LoRA of it, which is not exact.
        is_strippable: Whether its metadata describe its training.
        family: The base model's family, whose names are used; empty if several have the same.
        reason: Why it can have no other naming; empty if it can.
    """

    held: str = ""
    namings: tuple[str, ...] = ()
    lora_namings: tuple[str, ...] = ()
    rank: int = 0
    is_approximated: bool = False
    is_strippable: bool = False
    family: str = ""
    reason: str = ""

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks that it can be limited to: those below its own, or of the LoRA made of it."""
        return RANKS if self.is_approximated else tuple(r for r in RANKS if r < self.rank)

    @property
    def any(self) -> bool:
        """Whether anything can be made of it."""
        return bool(self.namings or self.ranks or self.is_strippable)

    def namings_at(self, max_rank: int) -> tuple[str, ...]:
        """Return the other namings that it can have with a maximum rank, 0 for none."""
        return self.namings + (self.lora_namings if max_rank else ())

    def reduced(self, wanted: Wanted) -> Wanted:
        """Return what has to be done: without what the file has already.

        A conversion may fuse modules, whose ranks add up, so that a rank stays with a naming.

        Raises:
            Invalid: it is not possible; ``facts["fields"]`` says which part of it.
        """
        if wanted.naming == self.held:
            wanted = wanted._replace(naming="")
        if not wanted.naming and wanted.max_rank >= self.rank > 0:
            wanted = wanted._replace(max_rank=0)
        if wanted.naming and wanted.naming not in self.namings_at(wanted.max_rank):
            reason = self.reason
            if wanted.naming in self.lora_namings:
                reason = _(
                    "This naming cannot represent LoHa or LoKr. Choose a maximum rank to convert "
                    "the file to a LoRA."
                )
            raise Invalid(reason, fields={"naming": [reason]})
        if wanted.max_rank and not (self.rank or self.is_approximated):
            text = _(
                "Only LoRA and LoCon can have a smaller rank. LoHa and LoKr can have one only if "
                "they are converted to LoRA."
            )
            raise Invalid(text, fields={"max_rank": [text]})
        return wanted._replace(is_stripped=wanted.is_stripped and self.is_strippable)


def options_of(version: Version, document: Mapping[str, Any]) -> Options:
    """Return what can be made of a weights file with this anatomy document."""
    if document.get("kind") != "adapter":
        return Options(reason=_("The file is not an adapter."))
    algorithms = {part for name in document.get("algorithms") or {} for part in name.split("+")}
    keys = (document.get("metadata") or {}).get("names") or ()
    is_product = bool(algorithms & _APPROXIMATED)
    found = Options(
        held=_held(document.get("convention")),
        rank=_rank(document) if algorithms <= _RESIZED else 0,
        is_approximated=is_product and algorithms <= _RESIZED | _APPROXIMATED,
        is_strippable=any(map(is_training_key, keys)),
    )
    if not algorithms or not algorithms <= _RENAMED | _APPROXIMATED:
        text = _("Only LoRA, LoCon, DoRA, LoHa and LoKr can be converted; this file has %(other)s.")
        other = ", ".join(sorted(algorithms - _RENAMED - _APPROXIMATED)) or _("no low-rank factors")
        return replace(found, reason=text % {"other": other})
    families, family = _families(version, document.get("base") or {})
    if not families:
        text = _("The base model is not known. The owner can declare it.")
        return replace(found, reason=text)
    namings = tuple(
        naming
        for naming in TARGETS
        if naming != found.held and _has_all(families, naming, document.get("parts") or ())
    )
    reason = _("This hub does not know what that naming calls the modules of this base model.")
    if possible := [naming for naming in (found.held, *namings) if naming]:
        listed = {"namings": ", ".join(possible)}
        reason += " " + _("These namings are possible: %(namings)s.") % listed
        if "kohya" in possible and "comfyui" not in possible:
            reason += " " + _("ComfyUI also loads the kohya naming.")
    found = replace(found, namings=namings, family=family, reason=reason)
    if not is_product:
        return found
    exact = tuple(one for one in namings if one in _LYCORIS_NAMINGS)
    others = tuple(one for one in namings if one not in _LYCORIS_NAMINGS)
    return replace(found, namings=exact, lora_namings=others if found.is_approximated else ())


def _held(convention: object) -> str:
    return next((naming for naming, held in _HELD.items() if convention in held), "")


def _rank(document: Mapping[str, Any]) -> int:
    rank = (document.get("rank") or {}).get("max")
    return rank if isinstance(rank, int) else 0


def _families(version: Version, base: Mapping[str, Any]) -> tuple[list[str], str]:
    """Return the families that a file may belong to, and the one to name to the conversion.

    Where the tensors leave several, the version's family decides, which its owner declared.
    """
    own = base.get("family")
    candidates = [one for one in ([own] if own else base.get("candidates", ())) if one in FAMILIES]
    declared = version.family
    if declared in FAMILIES and (declared in candidates or not candidates):
        return [declared], declared
    return candidates, candidates[0] if len(candidates) == 1 else ""


def _has_all(families: Iterable[str], naming: str, parts: Iterable[str]) -> bool:
    known = [(names, namings_of(names, naming)) for names in map(names_of, families)]
    return all(
        any(one in names.namings for one in wanted) and has_encoders(names, naming, parts)
        for names, wanted in known
    )


def saved_as(version: Version, file: File, wanted: Wanted) -> str:
    """Return the name of a derived file, which says what it is: ``noir.comfyui.r16.safetensors``.

    It is never that of the source.
    """
    adapter, variant = version.adapter, "" if file.is_primary else file.variant
    stem = saved_name(adapter.owner, adapter.name, file.path, variant).removesuffix(".safetensors")
    return f"{stem}.{wanted.variant}.safetensors"
