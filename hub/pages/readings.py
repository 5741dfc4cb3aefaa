"""A header read before its file travels, as suggestions with their sources."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from hub.pages.details import Remark, remarks_of
from hub.pages.verdicts import count
from hub.pages.words import family_label
from hub.templatetags.lorary import size
from lorary.anatomy import ALGORITHM_TITLES, Anatomy
from registry import checks
from registry.errors import LoraryError, TooLarge
from registry.names import check_path
from registry.selectors import uploads

if TYPE_CHECKING:
    from django.http import HttpRequest

    from hub.pages.version_forms import VersionForm
    from registry.models import Adapter, Upload, User

__all__ = ["Proof", "Reading", "Word", "again", "read", "suggest"]

#: What trainers add to a file's name by themselves, and browsers to a second download.
_ADDED = re.compile(r"([-_](step)?[0-9]{6,})?( ?\([0-9]+\))?\Z")
#: Names that libraries give to every adapter.
_NOBODYS = {"adapter", "adapter_model", "lora", "model", "pytorch_lora_weights"}

OWN_FIELDS = ("summary", "kind", "tags", "licence", "maturity", "visibility", "card")


@dataclass(frozen=True, slots=True)
class Proof:
    """Where a value comes from."""

    level: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Word:
    """A suggested trigger phrase."""

    text: str
    note: str
    is_taken: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What a header says, for the form."""

    path: str
    remarks: list[Remark] = field(default_factory=list)
    is_refused: bool = False
    anatomy: Anatomy | None = None
    words: list[Word] = field(default_factory=list)
    structure: str = ""
    title_proof: Proof | None = None
    name_proof: Proof | None = None
    family_proof: Proof | None = None
    structure_proof: Proof | None = None
    words_proof: Proof | None = None
    strength_proof: Proof | None = None
    upload: Upload | None = None

    @property
    def own_fields(self) -> tuple[str, ...]:
        """Fields that no file can answer."""
        return OWN_FIELDS

    @property
    def yours(self) -> Proof:
        """Source of what only a person can say."""
        return Proof("declared", _("Only you can say"), _("Nothing in the file answers this."))


def read(request: HttpRequest, name: str, size_text: str) -> Reading:
    """Return what the body (a file's first bytes) says about the file ``name``.

    Bad input becomes a refused reading, never an exception.
    """
    size_bytes = int(size_text[:16]) if size_text.isascii() and size_text.isdigit() else 0
    try:
        path = check_path(name)
        _require_size(size_bytes)
    except LoraryError as error:
        return _refused(name, str(error.detail))
    inspection = checks.look(request.read(checks.head_bytes()), name=path, size=size_bytes)
    remarks = remarks_of(inspection.findings, is_owner=True)
    if inspection.refused or inspection.anatomy is None:
        return Reading(path, remarks, is_refused=True)
    return _reading(path, remarks, inspection.anatomy)


def _require_size(size_bytes: int) -> None:
    limit = settings.LORARY.max_file_bytes
    if size_bytes > limit:
        raise TooLarge(_("A file has at most %(limit)s here.") % {"limit": size(limit)})


def _refused(name: str, sentence: str) -> Reading:
    return Reading(name, [Remark(_("Refused"), sentence, "", is_loud=True)], is_refused=True)


def _reading(path: str, remarks: list[Remark], anatomy: Anatomy) -> Reading:
    return Reading(
        path=path,
        remarks=remarks,
        anatomy=anatomy,
        words=[_word(word.text, word.confidence) for word in anatomy.trigger_words],
        structure=_structure(anatomy),
        title_proof=_title_proof(path, anatomy),
        name_proof=_name_of(path, anatomy)[1],
        family_proof=_family_proof(anatomy),
        structure_proof=_structure_proof(anatomy),
        words_proof=_words_proof(anatomy),
        strength_proof=_strength_proof(anatomy),
    )


def again(user: User, form: VersionForm) -> Reading:
    """Return the reading of a form that came back: the words chosen, the upload if it is there."""
    words = [Word(text, "", is_taken=True) for text in form.words]
    try:
        upload = uploads.get(user, form.data.get("upload", ""))
    except LoraryError:
        return Reading("", words=words)
    return Reading(upload.path, words=words, upload=upload)


def suggest(reading: Reading, target: Adapter | None) -> dict[str, Any]:
    """Return first values of the form."""
    anatomy = reading.anatomy
    if anatomy is None:
        return {}
    latest = target.latest_version if target else None
    best = anatomy.recommended_strength
    return {
        "title": _title_of(anatomy.title or _stem(reading.path)),
        "name": _name_of(reading.path, anatomy)[0],
        "summary": (anatomy.description or "").split("\n", 1)[0][:280],
        "kind": "style",
        "maturity": "general",
        "visibility": "public",
        "strength": latest.strength if latest and best is None else best,
        "strength_min": latest.strength_min if latest else None,
        "strength_max": latest.strength_max if latest else None,
    }


def _stem(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".safetensors")


def _name_of(path: str, anatomy: Anatomy) -> tuple[str, Proof]:
    """Return a name with its source: the file's own, for a person may have changed that.

    The trainer's name stands in where the file's says nothing more.
    """
    stem, said = _stem(path), str(anatomy.training.get("output_name") or "")
    adds_nothing = stem.startswith(said) and _ADDED.match(stem, len(said)) is not None
    is_nobodys = stem.casefold() in _NOBODYS or not _slug(stem)
    if _slug(said) and (adds_nothing or is_nobodys) and stem != said:
        return _slug(said), Proof("claimed", _("From the header"), said)
    return _slug(stem), Proof("claimed", _("From the file's name"), path)


def _slug(stem: str) -> str:
    """Return a name by the grammar of names that is close to the file's."""
    ascii_only = re.sub(r"[^A-Za-z0-9._]+", "-", stem)
    return re.sub(r"-{2,}|\.{2,}", "-", ascii_only).strip("-.")[:96]


def _title_of(stem: str) -> str:
    """Return a title for people; what has spaces was written by one and stays."""
    if " " in stem.strip():
        return stem.strip()[:120]
    spaced = re.sub(r"[-_.]+", " ", stem).strip()
    return spaced[:1].upper() + spaced[1:120]


def _word(text: str, confidence: str) -> Word:
    notes = {"high": "", "medium": _("from the trainer"), "low": _("a guess from captions")}
    return Word(text, notes[confidence], is_taken=confidence != "low")


def _structure(anatomy: Anatomy) -> str:
    method = ALGORITHM_TITLES.get(anatomy.algorithm or "", anatomy.algorithm or "")
    parts = [str(method)] if method else []
    if anatomy.rank:
        parts.append(_("rank %(rank)d") % {"rank": anatomy.rank})
    if anatomy.alpha is not None:
        parts.append(_("alpha %(alpha)s") % {"alpha": f"{anatomy.alpha:g}"})
    return ", ".join(parts)


def _title_proof(path: str, anatomy: Anatomy) -> Proof:
    if anatomy.title:
        return Proof("claimed", _("From the header"), anatomy.title)
    return Proof("claimed", _("From the file's name"), path)


def _family_proof(anatomy: Anatomy) -> Proof:
    verdict = anatomy.verdict
    text = " ".join(dict.fromkeys([*verdict.evidence[:1], *verdict.evidence[-1:]]))
    if verdict.proven:
        label = family_label(verdict.proven)
        return Proof("proven", _("Proven by shape: %(family)s") % {"family": label}, text)
    if verdict.claimed:
        label = family_label(verdict.claimed)
        return Proof("claimed", _("The header says %(family)s") % {"family": label}, text)
    return Proof("declared", _("Only you can say"), text)


def _structure_proof(anatomy: Anatomy) -> Proof:
    layers = ngettext("%(n)s layer", "%(n)s layers", anatomy.modules)
    parts = ", ".join(f"{part.replace('_', ' ')} {n}" for part, n in anatomy.parts.items())
    text = f"{layers % {'n': count(anatomy.modules)}}: {parts}"
    return Proof("proven", _("Proven by shape"), text)


def _words_proof(anatomy: Anatomy) -> Proof:
    sources = dict.fromkeys(word.source for word in anatomy.trigger_words)
    if not sources:
        return Proof("declared", _("Only you can say"), _("Leave it empty if it needs none."))
    return Proof("claimed", _("From the header"), ", ".join(sources))


def _strength_proof(anatomy: Anatomy) -> Proof:
    if anatomy.recommended_strength is None:
        return Proof("declared", _("Only you can say"), _("Previews will show the way."))
    return Proof("claimed", _("From the header"), f"{anatomy.recommended_strength:g}")
