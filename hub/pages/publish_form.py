"""The form of the publish page: what is said about a new version, and about its adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from hub.pages.forms import AdapterForm, dress
from lorary.anatomy import FAMILIES
from registry.services.versions import Details

if TYPE_CHECKING:
    from django.http import QueryDict
    from django_stubs_ext import StrPromise

__all__ = ["CARD_FIELDS", "PublishForm", "VersionForm"]

CARD_FIELDS = ("title", "summary", "kind", "tags", "licence", "maturity", "visibility", "card")

#: Licences that people choose from; anything else can be written into the card's editor later.
LICENCES = [
    ("", _("Not stated")),
    ("CC0-1.0", "CC0 1.0"),
    ("CC-BY-4.0", "CC BY 4.0"),
    ("CC-BY-SA-4.0", "CC BY-SA 4.0"),
    ("CC-BY-NC-4.0", "CC BY-NC 4.0"),
    ("Apache-2.0", "Apache 2.0"),
    ("OpenRAIL-M", "OpenRAIL-M"),
    ("personal use only", _("Personal use only")),
]


def _strength(label: StrPromise) -> forms.FloatField:
    attrs: dict[str, Any] = {
        "class": "in seed",
        "step": "0.05",
        "inputmode": "decimal",
        "aria-label": label,
    }
    widget = forms.NumberInput(attrs=attrs)
    return forms.FloatField(label=label, required=False, min_value=-10, max_value=10, widget=widget)


class VersionForm(forms.Form):
    """What is said about the file."""

    upload = forms.UUIDField(widget=forms.HiddenInput)
    family = forms.ChoiceField(label=_("Base model"), required=False)
    more_words = forms.CharField(
        label=_("Add trigger words"),
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    strength_min = _strength(_("Lowest strength"))
    strength = _strength(_("Best strength"))
    strength_max = _strength(_("Highest strength"))
    notes = forms.CharField(
        label=_("Notes on this version"), required=False, widget=forms.Textarea(attrs={"rows": 3})
    )

    def __init__(
        self,
        data: QueryDict | None = None,
        **kwargs: Any,  # noqa: ANN401 - Django's signature
    ) -> None:
        super().__init__(data, **kwargs)
        choices: list[tuple[str, Any]] = [("", _("As the file says"))]
        field = self.fields["family"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
        field.choices = choices + list(FAMILIES.items())
        if "card" in self.fields:
            self.fields["card"].widget.attrs["rows"] = 6
        self.words = data.getlist("trigger") if data is not None else []
        dress(self)

    def clean_more_words(self) -> list[str]:
        """Return the phrases that were typed."""
        typed = str(self.cleaned_data["more_words"]).split(",")
        return [word.strip() for word in typed if word.strip()]

    def details(self) -> Details:
        """Return what the services want to know of a version."""
        said = self.cleaned_data
        words = dict.fromkeys([*self.words, *said["more_words"]])
        return Details(
            notes=said["notes"],
            declared_family=said["family"],
            trigger_words=tuple(words),
            strength=said["strength"],
            strength_min=said["strength_min"],
            strength_max=said["strength_max"],
        )


class PublishForm(VersionForm, AdapterForm):
    """The file and a new adapter."""

    name = forms.CharField(
        label=_("Address"),
        max_length=96,
        help_text=_("Letters, digits, “-”, “_” and “.”. It can be renamed; the old one redirects."),
    )
    licence = forms.ChoiceField(  # type: ignore[assignment]  # free text in the editor
        label=_("Licence for pictures"), choices=LICENCES, required=False
    )

    def card_fields(self) -> dict[str, Any]:
        """Return the card fields of the new adapter."""
        return {field: self.cleaned_data[field] for field in CARD_FIELDS}
