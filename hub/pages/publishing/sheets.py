"""A filled form of the publish page: its values, its closed section, and what the file resembles.

The page can have several forms at once, one for each adapter; ``number`` keeps their ids apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import QueryDict
from django.urls import reverse
from django.utils.choices import flatten_choices
from django.utils.translation import gettext as _

from hub.http.limits import MAX_FORM_BYTES
from hub.pages.adapters.version_forms import PublishForm, VersionForm
from hub.pages.publishing import header_preview
from hub.pages.publishing.header_preview import Reading, Word
from hub.pages.publishing.suggestions import kind_proof, suggest, tags_of
from lorary.library.variants import run_of
from registry.models import Adapter, User
from registry.names import key_of
from registry.versions import resemblance
from registry.versions.resemblance import Resemblance

#: Fields that are always visible; the others are in a closed section until one of them has an
#: error.
FRONT = frozenset(
    {"title", "name", "tags", "licence", "more_words", "optional_trigger_words", "upload"}
)
#: Fields whose values the heading of the closed section shows, in this order.
_NAMED = ("kind", "family", "visibility", "maturity")


@dataclass(frozen=True, slots=True)
class Summary:
    """A value in the heading of the closed section.

    Attributes:
        field: The field that has this value, or ``structure``.
    """

    text: str
    field: str


@dataclass(frozen=True, slots=True)
class Offer:
    """An adapter that the file looks like a new version of.

    Attributes:
        reasons: What matches, as a phrase.
        url: The page of an uploaded file with the form for a new version.
    """

    found: Resemblance
    reasons: str
    url: str


def filled(
    user: User, reading: Reading, target: Adapter | None, *, number: str = "1", **more: str
) -> VersionForm:
    """Return the form filled from a file.

    Args:
        target: The adapter of a new version, None for a new adapter.
        number: Number of the form on the page.
        **more: Further initial values.
    """
    kind = VersionForm if target else PublishForm
    values = {**suggest(user, reading, target), **more}
    form = kind(initial=values, auto_id=f"f{number}-%s")
    if isinstance(form, PublishForm):
        form.offer_owners(user)
    if reading.possible:
        form.offer(reading.possible)
    return form


def opened(
    user: User,
    reading: Reading,
    target: Adapter | None,
    *,
    is_chosen: bool,
    number: str = "1",
    **more: str,
) -> dict[str, Any]:
    """Return the context of ``publish/sheet.html`` with a filled form.

    Args:
        target: The adapter of a new version, None for a new adapter.
        is_chosen: Whether the user chose ``target``. If not, a file that is clearly the next
            version of one of the user's adapters gets the form for a new version.
        number: Number of the form on the page.
        **more: Further initial values.
    """
    found = None
    if target is None and reading.document:
        found = resemblance.find(user, reading.path, reading.document)
    if found is not None and not is_chosen and _is_next_version(user, found, reading):
        target = found.adapter
    form = filled(user, reading, target, number=number, **more)
    offer = _offer(found, reading) if found is not None else None
    return context_of(user, reading, target, form, number=number, offer=offer)


def _is_next_version(user: User, found: Resemblance, reading: Reading) -> bool:
    """Return whether name and base model match an own adapter, and structure or address too."""
    is_own = found.adapter.namespace == user.namespace
    address = header_preview.address_of(reading.path, reading.document)
    is_closest = found.is_same_structure or key_of(address) == found.adapter.key
    return is_own and found.is_same_name and found.is_same_base and is_closest


def submitted(user: User, data: QueryDict, target: Adapter | None) -> VersionForm:
    """Return the submitted form."""
    kind = VersionForm if target else PublishForm
    form = kind(data, auto_id=f"f{number_of(data)}-%s")
    if isinstance(form, PublishForm):
        form.offer_owners(user)
    return form


def number_of(data: QueryDict) -> str:
    """Return the number of the form that a request refers to."""
    number = data.get("sheet", "1")
    return number if number.isascii() and number.isdigit() and len(number) <= 4 else "1"


def context_of(
    user: User,
    reading: Reading,
    target: Adapter | None,
    form: VersionForm,
    *,
    number: str = "1",
    offer: Offer | None = None,
) -> dict[str, Any]:
    """Return the context of ``publish/sheet.html``."""
    if form.is_bound:
        form.initial = suggest(user, reading, target)
    else:
        reading = _with_words_before(reading, target)
    number_next = target.last_number + 1 if target else 0
    return {
        "reading": reading,
        "form": form,
        "target": target,
        "next_number": number_next,
        "label": _("Publish version %(n)d") % {"n": number_next} if target else _("Publish"),
        "sheet": number,
        "offer": offer,
        "run": f"{run_of(reading.path, reading.document)}|{'|'.join(reading.allowed)}",
        "other_base": header_preview.other_base(target, reading.allowed),
        "folded": _folded(form, reading),
        "kind_proof": kind_proof(reading) if reading.document else None,
        "tags": tags_of(reading),
        "entered": form.changed_data if form.is_bound and reading.document else [],
        "is_open": any(field not in {*FRONT, "__all__"} for field in form.errors),
        "form_bytes": MAX_FORM_BYTES,
        "faults": [field for field in form if field.errors and not field.is_hidden],
    }


def _with_words_before(reading: Reading, target: Adapter | None) -> Reading:
    """Return the reading, with the previous version's trigger words if the file lists none."""
    latest = target.latest_version if target else None
    if latest is None or reading.words or not latest.trigger_words:
        return reading
    note = _("as in %(version)s") % {"version": latest.name}
    words = [Word(text, note, is_taken=True) for text in latest.trigger_words]
    return replace(reading, words=words)


def _offer(found: Resemblance, reading: Reading) -> Offer:
    query = {"to": found.adapter.full_name}
    if reading.upload is not None:
        query["upload"] = str(reading.upload.public_id)
    url = f"{reverse('publish')}?{urlencode(query)}"
    reasons = {
        _("name (in the header of the file, apart from versions and steps)"): (
            found.is_same_name and found.is_name_in_header
        ),
        _("name (apart from versions and steps)"): (
            found.is_same_name and not found.is_name_in_header
        ),
        _("base model"): found.is_same_base,
        _("training run"): found.is_same_run,
        _("structure (method, rank and layers)"): found.is_same_structure,
    }
    *first, last = [reason for reason, is_so in reasons.items() if is_so]
    if not first:
        return Offer(found, last, url)
    both = _("%(first)s and %(last)s") % {"first": ", ".join(first), "last": last}
    return Offer(found, both, url)


def _folded(form: VersionForm, reading: Reading) -> list[Summary]:
    """Return the values for the heading of the closed section."""
    summaries = [_summary_of(form, field, reading) for field in _NAMED if field in form.fields]
    if reading.structure:
        at = next(
            (n + 1 for n, one in enumerate(summaries) if one.field == "family"), len(summaries)
        )
        summaries.insert(at, Summary(reading.structure, "structure"))
    return summaries


def _summary_of(form: VersionForm, name: str, reading: Reading) -> Summary:
    field, value = form.fields[name], str(form[name].value() or "")
    likely = (reading.document.get("base") or {}).get("likely") or ""
    if name == "family" and value in {"", likely}:
        return Summary(reading.base_text if reading.document else _("base model as read"), name)
    if isinstance(field, forms.ChoiceField):
        return Summary(str(_choices(field).get(value, value)), name)
    return Summary(value or _("no address"), name)


def _choices(field: forms.ChoiceField) -> dict[str, Any]:
    """Return value → label of a field's choices, which may be in groups."""
    choices: Any = field.choices
    return dict(flatten_choices(choices))
