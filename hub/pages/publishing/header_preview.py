"""Suggestions for the form from a file's header, with their sources, before the upload."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from hub.http import limits
from hub.http.errors import Busy
from hub.pages.adapters.anatomy_panel import Fact, method_title, parts_text, training_facts
from hub.pages.adapters.base_model_panel import (
    Reason,
    conflict_of,
    how,
    is_chosen_by_claim,
    layers,
    likely,
    lineage_of,
    reasons_of,
    refuted_lineages,
)
from hub.pages.adapters.tabs import Remark, remarks_of
from hub.pages.labels import family_label, family_labels
from hub.templatetags.lorary import size
from lorary.anatomy import display_names
from lorary.anatomy.claims.base_models import FILE_NAME
from lorary.anatomy.claims.vocabulary import covers
from lorary.library.variants import is_generic, without_version
from registry.blobs.anatomies import claimed_family, undecided_families
from registry.errors import LoraryError, TooLarge
from registry.lineages import selectors as lineages
from registry.models import Adapter, Upload
from registry.names import check_path
from registry.scan import checks

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Proof:
    """The source of a value; ``warning`` is a prominent contradiction."""

    level: str
    title: str
    text: str
    warning: str = ""
    reasons: Sequence[Reason] = ()


@dataclass(frozen=True, slots=True)
class Word:
    """A suggested trigger phrase or tag; ``is_taken``: whether the form selects it at first."""

    text: str
    note: str
    is_taken: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What the form shows about a file.

    Attributes:
        remarks: Findings; only of the header until ``is_checked``.
        is_checked: Whether the checks of all files have ended.
    """

    path: str
    remarks: list[Remark] = field(default_factory=list)
    is_refused: bool = False
    document: Document = field(default_factory=dict)
    words: list[Word] = field(default_factory=list)
    structure: str = ""
    training: list[Fact] = field(default_factory=list)
    title_proof: Proof | None = None
    name_proof: Proof | None = None
    family_proof: Proof | None = None
    lineage_proof: Proof | None = None
    structure_proof: Proof | None = None
    words_proof: Proof | None = None
    strength_proof: Proof | None = None
    training_proof: Proof | None = None
    upload: Upload | None = None
    is_checked: bool = False

    @property
    def possible(self) -> Sequence[str]:
        """Return the base models that the tensors allow, if there are several."""
        return undecided_families(self.document.get("base") or {})

    @property
    def allowed(self) -> Sequence[str]:
        """Return the base models that the file fits, which is one if it is known."""
        family = (self.document.get("base") or {}).get("family")
        return (family,) if family else self.possible

    @property
    def base_names(self) -> str:
        """Return the base models that the file fits, as a phrase."""
        return family_labels(self.allowed)

    @property
    def warnings(self) -> int:
        """Return the number of warnings beside the form's values and among the findings."""
        is_contradicted = self.family_proof is not None and bool(self.family_proof.warning)
        return sum(remark.is_loud for remark in self.remarks) + is_contradicted

    @property
    def is_base_open(self) -> bool:
        """Whether neither tensors nor metadata suggest a base model, so the user must choose it."""
        base = self.document.get("base") or {}
        return not (base.get("family") or base.get("likely"))

    @property
    def base_text(self) -> str:
        """Return the base model and its certainty, as a phrase."""
        base = self.document.get("base") or {}
        if self.is_base_open:
            return _("base model unknown")
        text, stated = _("%(base)s, likely"), claimed_family(base)
        if base["confidence"] == "proven":
            text = _("%(base)s, proven")
        elif is_chosen_by_claim(base) or (stated and not base.get("family")):
            text = _("%(base)s, stated by the file")
        return text % {"base": family_label(base.get("family") or stated or base["likely"])}

    @property
    def licence_proof(self) -> Proof:
        """Return the source of the licence."""
        claimed = (self.document.get("metadata") or {}).get("license")
        if claimed:
            return Proof("claimed", _("From the header"), claimed)
        return Proof("declared", _("Not in the file"), _("The file does not say this."))


def read(request: HttpRequest, name: str, size_text: str) -> Reading:
    """Return the reading of a file from the body, which has its first bytes.

    Invalid input gives a refused reading, never an exception.
    """
    size_bytes = int(size_text[:16]) if size_text.isascii() and size_text.isdigit() else 0
    try:
        path = check_path(name)
        _require_size(size_bytes)
    except LoraryError as error:
        return _refused(name, str(error.detail))
    if found := checks.check_declared(path, size_bytes):
        return Reading(path, remarks_of(found), is_refused=True)
    try:
        head = request.read(checks.head_bytes())
        inspection = limits.inspect_head(head, name=path, size=size_bytes)
    except Busy as busy:
        return _refused(name, str(busy.detail))
    remarks = remarks_of(inspection.findings)
    if inspection.refused or inspection.anatomy is None:
        return Reading(path, remarks, is_refused=True)
    document = lineages.with_known(inspection.anatomy.to_dict())
    return of_document(path, remarks, document)


def _require_size(size_bytes: int) -> None:
    limit = settings.LORARY.max_file_bytes
    if size_bytes > limit:
        raise TooLarge(_("A file can have at most %(limit)s.") % {"limit": size(limit)})


def _refused(name: str, sentence: str) -> Reading:
    return Reading(name, [Remark(_("Refused"), sentence, is_loud=True)], is_refused=True)


def of_document(path: str, remarks: list[Remark], document: Document) -> Reading:
    """Return the reading of an anatomy document."""
    return Reading(
        path=path,
        remarks=remarks,
        document=document,
        words=[_word(word) for word in document["trigger_words"]],
        structure=_structure(document),
        training=training_facts(document),
        title_proof=_title_of(path, document)[1],
        name_proof=_name_of(path, document)[1],
        family_proof=_family_proof(document["base"]),
        lineage_proof=_lineage_proof(document["base"]),
        structure_proof=_structure_proof(document),
        words_proof=_words_proof(document["trigger_words"]),
        strength_proof=_strength_proof(document["metadata"]),
        training_proof=_training_proof(document["metadata"]),
    )


def other_base(target: Adapter | None, allowed: Sequence[str]) -> str:
    """Return a warning if a file does not fit the base model of the previous version, otherwise "".

    Args:
        target: The adapter of a new version, None for a new adapter.
    """
    latest = target.latest_version if target else None
    if target is None or latest is None or not latest.family or not allowed:
        return ""
    if any(covers(latest.family, family) for family in allowed):
        return ""
    return _(
        "So far, %(name)s has been for %(before)s, but this file fits %(now)s. The new version "
        "will not work for users who update. Publish the file as a separate adapter, unless "
        "you mean to change the base model."
    ) % {
        "name": target.full_name,
        "before": family_label(latest.family),
        "now": family_labels(allowed),
    }


def address_of(path: str, document: Document) -> str:
    """Return a valid name for the adapter; "" if neither file nor metadata has one."""
    return _name_of(path, document)[0]


def title_of(path: str, document: Document) -> str:
    """Return a title for the adapter; "" if neither file nor metadata has one."""
    return _title_of(path, document)[0]


def _name_of(path: str, document: Document) -> tuple[str, Proof]:
    """Return a name with its source: preferably the file's, which the user may have chosen."""
    trainer_name, title = document["training"].get("output_name"), document["metadata"]["title"]
    for text, proof in (_of_file(path), _of_header(trainer_name), _of_header(title)):
        if slug(text):
            return slug(text), proof
    return "", _generic(path)


def _title_of(path: str, document: Document) -> tuple[str, Proof]:
    """Return a title with its source: preferably the one in the metadata."""
    for text, proof in (_of_header(document["metadata"]["title"]), _of_file(path)):
        if text:
            return display_names.title_of("", text), proof
    return "", _generic(path)


def _of_file(path: str) -> tuple[str, Proof]:
    return _own_name(display_names.stem(path)), Proof("claimed", _("From the file's name"), path)


def _of_header(name: str | None) -> tuple[str, Proof]:
    return _own_name(name or ""), Proof("claimed", _("From the header"), name or "")


def _own_name(name: str) -> str:
    """Return a name without its version; "" if programs give it to any adapter."""
    own = without_version(name)
    return "" if is_generic(own) else own


def _generic(path: str) -> Proof:
    text = _("“%(name)s” does not say what is in the file. This is a suggestion.")
    return Proof("declared", _("Not in the file"), text % {"name": path})


def slug(text: str) -> str:
    """Return a valid name that is close to a text."""
    ascii_only = re.sub(r"[^A-Za-z0-9._]+", "-", text)
    return re.sub(r"-{2,}|\.{2,}", "-", ascii_only).strip("-.")[:96]


def _word(word: Document) -> Word:
    notes = {"high": "", "medium": _("from the trainer"), "low": _("guessed from captions")}
    trust = word["confidence"]
    return Word(word["text"], notes[trust], is_taken=trust != "low")


def _structure(document: Document) -> str:
    parts = [method_title(document["algorithm"])]
    if document["rank"]["mode"]:
        parts.append(_("rank %(rank)d") % {"rank": document["rank"]["mode"]})
    if document["alpha"]["mode"] is not None:
        parts.append(_("alpha %(alpha)s") % {"alpha": f"{document['alpha']['mode']:g}"})
    return ", ".join(filter(None, parts))


def _family_proof(base: Document) -> Proof:
    """Return the source of the base model, with a warning about contradictions."""
    claimed, text = base["claimed"].get("family") or "", how(base)
    level = "claimed" if claimed and base["agreement"] == "agree" else "declared"
    values = {"family": family_label(base["family"] or "")}
    if base["confidence"] == "proven":
        level, title = "proven", _("Proven by shape: %(family)s") % values
    elif base["family"] and not is_chosen_by_claim(base):
        level, title = "likely", _("Likely, by shape: %(family)s") % values
    elif base["likely"] and not claimed_family(base):
        title = likely(base)
        choice = _("The most likely base model is selected. Change it if the adapter was trained "
                   "on another.")  # fmt: skip
        text = f"{text} {choice}"
    elif len(base["candidates"]) > 1 and not claimed_family(base):
        title = _("Perhaps one of these: %(families)s")
        title %= {"families": family_labels(base["candidates"])}
    elif level == "claimed":
        title = _title_by(base["claimed"]["source"], family_label(claimed))
    else:
        title = _("Not in the file")
    return Proof(level, title, text, conflict_of(base), reasons_of(base))


def _title_by(source: str, name: str) -> str:
    """Return the sentence about the source of a claim: the header or the file's name."""
    if source == FILE_NAME:
        return _("The file's name says %(name)s") % {"name": name}
    return _("The header says %(name)s") % {"name": name}


def _lineage_proof(base: Document) -> Proof:
    lineage, refuted = lineage_of(base), refuted_lineages(base)
    source = base["claimed"].get("lineage_source") or ""
    if lineage and not source:
        return Proof("proven", _("Proven by shape"), "")
    if lineage and source == FILE_NAME:
        return Proof("claimed", _("From the file's name"), "")
    if lineage:
        return Proof("claimed", _("From the header"), source)
    if refuted:
        names = ", ".join(dict.fromkeys(one["lineage"] for one in refuted))
        source = refuted[0]["source"]
        text = _("Left empty, because the tensors rule out this checkpoint.")
        place = "" if source == FILE_NAME else f"{source}. "
        return Proof("claimed", _title_by(source, names), f"{place}{text}")
    return Proof("declared", _("Not in the file"), _("Leave it empty if you do not know."))


def _structure_proof(document: Document) -> Proof:
    layer_counts = document["layers"]
    sentence = ngettext("%(n)s layer", "%(n)s layers", layer_counts["modules"]) % {
        "n": layers(layer_counts)
    }
    text = f"{sentence}: {parts_text(document['parts'])}."
    alpha = document["alpha"]
    if alpha["mode"] is not None and not alpha["values_read"]:
        source = _("This alpha comes from the metadata. The stored alpha is read when the whole "
                   "file is checked.")  # fmt: skip
        text = f"{text} {source}"
    return Proof("proven", _("Proven by shape"), text)


def _words_proof(words: Sequence[Document]) -> Proof:
    """Return the sources of trigger words, with their confidence."""
    if not words:
        return Proof("declared", _("Not in the file"), _("Leave it empty if none is needed."))
    trust = {"high": _("stated"), "medium": _("likely"), "low": _("a guess")}
    sources = dict.fromkeys((word["source"], trust[word["confidence"]]) for word in words)
    text = ", ".join(f"{source} ({label})" for source, label in sources)
    return Proof("claimed", _("From the header"), text)


def _strength_proof(metadata: Document) -> Proof:
    best = metadata["recommended_strength"]
    if best is None:
        return Proof(
            "declared",
            _("Not in the file"),
            _("You can set it later, when the previews are ready."),
        )
    return Proof("claimed", _("From the header"), f"{best:g}")


def _training_proof(metadata: Document) -> Proof:
    writer = metadata["writer"]
    text = _("Written by %(writer)s.") % {"writer": writer} if writer else ""
    return Proof("claimed", _("From the header"), text)
