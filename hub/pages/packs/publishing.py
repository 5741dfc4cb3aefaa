"""Creating a pack, and publishing a version of one, by form.

A version has a form for each variant, with rows for its parts; rows without an adapter are left
out. The names of fields are those of the manifest, so that a fault of the service, such as
``variants[0].parts[1].strength``, is shown at its field, here ``part1_strength``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from hub.pages.forms import OwnedForm, accept_faults
from hub.pages.labels import family_label
from hub.pages.packs.edits import PackForm
from hub.pages.packs.views import pack_of
from lorary.anatomy import FAMILIES
from registry.accounts.permissions import require_pack, require_user
from registry.errors import LoraryError
from registry.models import Output, Pack, PackVariant, PackVersion, PartRole, User, VersionState
from registry.names import MAX_NAME
from registry.packs import publish as publishing
from registry.packs import selectors as pack_selectors
from registry.packs import services as packs
from registry.packs.manifest import MAX_PARTS, MAX_STRENGTH, MAX_TEXT, MAX_VARIANTS, SETTINGS
from registry.packs.publish import MAX_NOTES

_PART_FIELDS = ("adapter", "file", "strength", "role")
_PATH = re.compile(r"variants\[(\d{1,3})\](?:\.parts\[(\d{1,3})\])?\.?(\w*)")
_TEXT = forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"})

Faults: TypeAlias = Mapping[str, list[str] | str]


class CreateForm(PackForm, OwnedForm):
    """Card fields of a new pack, its owner and its name."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=MAX_NAME,
        help_text=gettext_lazy("Part of its address: letters, digits, “-”, “_” and “.”."),
        widget=_TEXT,
    )
    seen = None  # type: ignore[assignment]  # Django's way to leave out a field

    def __init__(self, data: QueryDict | None, user: User) -> None:
        super().__init__(data)
        self.order_fields(["owner", "name"])
        self.offer_owners(user)


@require_http_methods(["GET", "HEAD", "POST"])
def create(request: HttpRequest) -> HttpResponse:
    """Create a pack, then show the form of its first version."""
    user = require_user(request.user)
    form = CreateForm(request.POST if request.method == "POST" else None, user)
    if form.is_bound and form.is_valid() and (pack := _created(user, form)):
        messages.success(request, _("The pack is created. Choose what it is made of."))
        return redirect("pack-publish", pack.owner, pack.name)
    return render(request, "packs/create.html", {"form": form}, status=400 if form.errors else 200)


def _created(user: User, form: CreateForm) -> Pack | None:
    """Create the pack, or add the service's faults to the form."""
    card = {**form.cleaned_data}
    card.pop("owner", None)
    try:
        return packs.create(actor=user, owner=form.namespace, **card)
    except LoraryError as error:
        faults = error.facts.get("fields") or {"name": str(error.detail)}
        accept_faults(form, faults, str(error.detail))
        return None


class VariantForm(forms.Form):
    """A variant of a version."""

    name = forms.CharField(
        label=gettext_lazy("Name of the variant"),
        max_length=48,
        help_text=gettext_lazy("Short and in lower case, such as “sdxl”."),
        widget=_TEXT,
    )
    family = forms.ChoiceField(label=gettext_lazy("Base model"))
    output = forms.ChoiceField(label=gettext_lazy("Output"), choices=Output.choices)
    prompt = forms.CharField(
        label=gettext_lazy("Prompt"),
        max_length=MAX_TEXT,
        help_text=gettext_lazy("Write {prompt} once, where the subject goes."),
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    negative = forms.CharField(
        label=gettext_lazy("Negative prompt"), max_length=MAX_TEXT, required=False
    )
    steps = forms.IntegerField(label=gettext_lazy("Steps"), required=False)
    guidance = forms.FloatField(label=gettext_lazy("Guidance"), required=False)
    width = forms.IntegerField(label=gettext_lazy("Width"), required=False)
    height = forms.IntegerField(label=gettext_lazy("Height"), required=False)
    frames = forms.IntegerField(
        label=gettext_lazy("Frames"), required=False, help_text=gettext_lazy("For videos only.")
    )
    fps = forms.IntegerField(
        label=gettext_lazy("Frames per second"),
        required=False,
        help_text=gettext_lazy("For videos only."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Django's signature
        super().__init__(*args, **kwargs)
        #: Rows that are the parts of ``manifest``.
        self.used: list[int] = []
        families = self.fields["family"]
        families.choices = [(one, family_label(one)) for one in FAMILIES]  # type: ignore[attr-defined]  # of this field
        for index in range(MAX_PARTS):
            self.fields |= _part_fields(index)

    def settings(self) -> list[forms.BoundField]:
        """Return the fields of settings that the base model has otherwise."""
        return [self[name] for name in SETTINGS]

    def parts(self) -> list[list[forms.BoundField]]:
        """Return the fields of each part."""
        return [[self[f"part{n}_{name}"] for name in _PART_FIELDS] for n in range(MAX_PARTS)]

    def manifest(self) -> dict[str, Any]:
        """Return the variant of a manifest; what is empty is left out."""
        data = {name: value for name, value in self.cleaned_data.items() if value not in {"", None}}
        found = {name: value for name, value in data.items() if not name.startswith("part")}
        self.used = [n for n in range(MAX_PARTS) if data.get(f"part{n}_adapter")]
        return {**found, "parts": [self._part(data, index) for index in self.used]}

    def _part(self, data: Mapping[str, Any], index: int) -> dict[str, Any]:
        part = {
            name: data[f"part{index}_{name}"]
            for name in _PART_FIELDS
            if f"part{index}_{name}" in data
        }
        adapter, _at, version = part["adapter"].partition("@")
        return {**part, "adapter": adapter, **({"version": version} if version else {})}


def _part_fields(index: int) -> dict[str, forms.Field]:
    number = {"n": index + 1}
    return {
        f"part{index}_adapter": forms.CharField(
            label=_("Adapter %(n)d") % number,
            required=False,
            help_text=_("OWNER/NAME, or OWNER/NAME@v3.") if not index else "",
            widget=_TEXT,
        ),
        f"part{index}_file": forms.CharField(
            label=_("File"),
            required=False,
            help_text=_("Only if it is not the primary file.") if not index else "",
            widget=_TEXT,
        ),
        f"part{index}_strength": forms.FloatField(
            label=_("Strength"),
            required=False,
            help_text=(_("Leave it empty to use the recommended strength.") if not index else ""),
            min_value=-MAX_STRENGTH,
            max_value=MAX_STRENGTH,
        ),
        f"part{index}_role": forms.ChoiceField(label=_("Role"), choices=PartRole.choices),
    }


class NotesForm(forms.Form):
    """What is new in a version."""

    notes = forms.CharField(
        label=gettext_lazy("What is new"),
        max_length=MAX_NOTES,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )


@require_http_methods(["GET", "HEAD", "POST"])
def publish(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Publish a version; the form begins with the latest one."""
    pack = pack_of(request, owner, name)
    user = require_pack(request.user, pack)
    is_sent = request.method == "POST"
    notes = NotesForm(request.POST if is_sent else None)
    variants = _sent(request.POST) if is_sent else _of_latest(pack)
    is_wanted = is_sent and "publish" in request.POST
    if is_wanted and _are_valid([notes, *variants]):
        version = _published(user, pack, notes, variants)
        if version is not None:
            text = _("%(version)s is published.")
            if not version.is_new:
                text = _("%(version)s has the same variants already.")
            messages.success(request, text % {"version": version.name})
            place = reverse("pack", args=[pack.owner, pack.name])
            return redirect(f"{place}?v={version.name}")
    context = {
        "pack": pack, "notes": notes, "variants": variants,
        "can_grow": len(variants) < MAX_VARIANTS,
    }  # fmt: skip
    is_bad = is_wanted and any(form.errors for form in (notes, *variants))
    return render(request, "packs/publish.html", context, status=400 if is_bad else 200)


def _are_valid(forms_: list[forms.Form]) -> bool:
    """Validate all forms, so that all faults are shown."""
    return not sum(not form.is_valid() for form in forms_)


def _sent(data: QueryDict) -> list[VariantForm]:
    """Return the forms of the variants that were sent, after “Add” or “Remove”."""
    count = data.get("count", "1")
    number = min(int(count), MAX_VARIANTS) if count.isdecimal() and len(count) < 4 else 1
    removed, is_more = data.get("remove", ""), "add" in data
    kept = [n for n in range(max(number, 1)) if str(n) != removed]
    if "publish" in data:
        return [VariantForm(data, prefix=str(n)) for n in kept]
    values = [_values(data, n) for n in kept] + [{}] * (is_more or not kept)
    return [_form(one, n) for n, one in enumerate(values[:MAX_VARIANTS])]


def _values(data: QueryDict, number: int) -> dict[str, Any]:
    """Return what was entered for a variant, valid or not."""
    prefix = f"{number}-"
    return {key.removeprefix(prefix): data[key] for key in data if key.startswith(prefix)}


def _form(values: Mapping[str, Any], number: int) -> VariantForm:
    return VariantForm(initial=values, prefix=str(number))


def _of_latest(pack: Pack) -> list[VariantForm]:
    version = pack_selectors.version(pack) if pack.versions.exists() else None
    if version is None or version.state == VersionState.WITHDRAWN:
        return [_form({"output": Output.IMAGE, "prompt": "{prompt}"}, 0)]
    return [_form(_initial(version, one), one.position) for one in version.variants.all()]


def _initial(version: PackVersion, variant: PackVariant) -> dict[str, Any]:
    """Return the values of a variant's form."""
    written = version.manifest["variants"][variant.position]
    values = {name: value for name, value in written.items() if name != "parts"}
    for part, row in zip(written["parts"], variant.parts.all(), strict=True):
        shown = {
            **part,
            "adapter": f"{part['adapter']}@{part['version']}",
            "file": "" if row.file.is_primary else part["file"],
        }
        values |= {f"part{row.position}_{name}": shown[name] for name in _PART_FIELDS}
    return values


def _published(
    user: User, pack: Pack, notes: NotesForm, variants: list[VariantForm]
) -> PackVersion | None:
    """Publish the version, or add the service's faults to the forms."""
    manifest = {"variants": [form.manifest() for form in variants]}
    try:
        return publishing.publish(
            actor=user, pack=pack, manifest=manifest, notes=notes.cleaned_data["notes"]
        )
    except LoraryError as error:
        faults: Faults = error.facts.get("fields") or {"": str(error.detail)}
        for path, texts in faults.items():
            _place(notes, variants, path, [texts] if isinstance(texts, str) else texts)
        return None


def _place(notes: NotesForm, variants: list[VariantForm], path: str, texts: list[str]) -> None:
    """Add a fault at the field that its JSON path means."""
    found = _PATH.match(path)
    if found is None or int(found[1]) >= len(variants):
        notes.add_error("notes" if path == "notes" else None, texts)
        return
    form, field = variants[int(found[1])], found[3]
    if found[2] is not None:
        row = form.used[int(found[2])]
        shown = {"version": "adapter", "sha256": "file"}.get(field, field) or "adapter"
        field = f"part{row}_{shown}"
    form.add_error(field if field in form.fields else None, texts)
