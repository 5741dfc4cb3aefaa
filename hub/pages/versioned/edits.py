"""Edits of the card of an adapter or a pack, and what forms of edits share.

A form contains a digest of the values that it was filled with. If others changed them in the
meantime, nothing is saved and the form says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from django import forms
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.pages.forms import AdapterForm, accept_faults
from registry.adapters import services as adapters
from registry.errors import Invalid, NameInvalid, NameTaken
from registry.models import Adapter, Pack
from registry.names import MAX_NAME


class RecheckedForm(forms.Form):
    """A form that is saved only if others have not changed what it was filled with."""

    #: Digest of the values when the form was filled.
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def is_outdated(self, current: str) -> bool:
        """Whether a valid form was filled with values of another digest than the current one."""
        return self.cleaned_data["seen"] not in {"", current}


class EditForm(RecheckedForm, AdapterForm):
    """Card fields and the address."""

    name = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=MAX_NAME,
        required=False,
        help_text=gettext_lazy("If you change it, the old address redirects."),
    )
    field_order = ("title", "name", "summary", "kind", "tags")


def initial_of(thing: Adapter | Pack) -> dict[str, str]:
    """Return the values that the form starts with."""
    fields = ("title", "name", "summary", "kind", "maturity", "visibility", "card")
    values = {field: getattr(thing, field) for field in fields}
    values["tags"] = ", ".join(thing.tags.order_by("name").values_list("name", flat=True))
    if isinstance(thing, Adapter):
        values["licence"] = thing.licence
    return {**values, "seen": digest(values)}


def save(
    form: EditForm,
    thing: Adapter | Pack,
    *,
    describe: Callable[..., object],
    rename: Callable[[str], object],
) -> bool:
    """Save a valid form, or add its errors to it.

    Args:
        form: The form.
        thing: The adapter or the pack.
        describe: Changes the card fields that it gets as keyword arguments.
        rename: Changes the name.

    Returns:
        Whether it was saved.
    """
    card = {field: value for field, value in form.cleaned_data.items() if field != "seen"}
    name, before = card.pop("name"), thing.name
    try:
        with transaction.atomic():
            adapters.refresh(thing)
            if form.is_outdated(initial_of(thing)["seen"]):
                text = _(
                    "The card has been changed since you opened this form. "
                    "Copy your text, then reload."
                )
                form.add_error(None, text)
                return False
            describe(**card)
            if name and name != before:
                rename(name)
    except (NameInvalid, NameTaken) as error:
        accept_faults(form, {"name": str(error.detail)}, "")
        return False
    except Invalid as error:
        accept_faults(form, error.facts.get("fields", {}), str(error.detail))
        return False
    return True


def digest(values: dict[str, Any]) -> str:
    """Return the digest of a form's values as hexadecimal text."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
