"""Forms with the details of a version: for publishing and for later edits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from hub.pages.forms import AdapterForm, OwnedForm
from hub.pages.labels import family_choices, family_label
from hub.pages.versioned.edits import RecheckedForm
from registry.versions.details import Details

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

CARD_FIELDS = ("title", "summary", "kind", "tags", "licence", "maturity", "visibility", "card")

#: Licences to choose from; the editor of the card accepts any text.
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


def _phrases(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the phrases in order, without empty ones and duplicates."""
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))


def _strength(label: StrPromise) -> forms.FloatField:
    # No inputmode: the decimal keypads of phones have no minus.
    attrs: dict[str, Any] = {"class": "in seed", "step": "0.05", "aria-label": label}
    widget = forms.NumberInput(attrs=attrs)
    return forms.FloatField(label=label, required=False, min_value=-10, max_value=10, widget=widget)


class DetailsForm(forms.Form):
    """Details of a version that can change at any time."""

    family = forms.ChoiceField(label=_("Base model"), required=False)
    lineage = forms.CharField(
        label=_("Lineage"),
        max_length=64,
        required=False,
        help_text=_(
            "The checkpoint it was trained on, such as Pony. The file can rarely prove it."
        ),
    )
    optional_trigger_words = forms.CharField(
        label=_("Optional trigger words"),
        required=False,
        help_text=_("One phrase per line. They change the effect, but are not needed for it."),
        widget=forms.Textarea(attrs={"rows": 2}),
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
        field = self.fields["family"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
        field.choices = [("", _("As read from the file")), *family_choices()]

    def offer(self, families: Sequence[str]) -> None:
        """List these base models before all others."""
        field = self.fields["family"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
        rest = [
            (group, [choice for choice in choices if choice[0] not in families])
            for group, choices in family_choices()
        ]
        first = [(family, family_label(family)) for family in families]
        field.choices = [
            ("", _("As read from the file")), (_("What its tensors allow"), first), *rest,
        ]  # fmt: skip

    def trigger_phrases(self) -> tuple[str, ...]:
        """Return the trigger phrases without duplicates."""
        return ()

    def details(self) -> Details:
        """Return the details for the services."""
        data = self.cleaned_data
        return Details(
            label=data.get("label", ""),
            lineage=data["lineage"],
            notes=data["notes"],
            declared_family=data["family"],
            trigger_words=self.trigger_phrases(),
            optional_trigger_words=_phrases(data["optional_trigger_words"].splitlines()),
            strength=data["strength"],
            strength_min=data["strength_min"],
            strength_max=data["strength_max"],
        )


class EditVersionForm(RecheckedForm, DetailsForm):
    """Details of a published version; its files never change."""

    label = forms.CharField(
        label=_("Label"),
        max_length=48,
        required=False,
        help_text=_(
            "A few words that tell versions apart, such as “softer”. Shown beside the number."
        ),
    )
    words = forms.CharField(
        label=_("Trigger words"),
        required=False,
        help_text=_("One phrase per line."),
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    field_order = (
        "label", "words", "optional_trigger_words", "strength_min", "strength", "strength_max",
        "family",
    )  # fmt: skip

    def trigger_phrases(self) -> tuple[str, ...]:
        """Return the trigger phrases, one per line."""
        return _phrases(str(self.cleaned_data["words"]).splitlines())


class VersionForm(DetailsForm):
    """A new version: its upload, and trigger words chosen from the file's."""

    upload = forms.UUIDField(widget=forms.HiddenInput)
    more_words = forms.CharField(
        label=_("Add trigger words"),
        required=False,
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "placeholder": _("Add others, separated by commas")}
        ),
    )

    def __init__(
        self,
        data: QueryDict | None = None,
        **kwargs: Any,  # noqa: ANN401 - Django's signature
    ) -> None:
        super().__init__(data, **kwargs)
        if "card" in self.fields:
            self.fields["card"].widget.attrs["rows"] = 6
        self.words = data.getlist("trigger") if data is not None else []
        #: Ids of all files of the version; ``upload`` is one of them.
        given = data.getlist("upload") if data is not None else [self.initial.get("upload", "")]
        self.uploads = [text for text in given if text]

    def trigger_phrases(self) -> tuple[str, ...]:
        """Return the chosen phrases and the typed ones, separated by commas."""
        return _phrases([*self.words, *str(self.cleaned_data["more_words"]).split(",")])


class PublishForm(VersionForm, AdapterForm, OwnedForm):
    """The file and a new adapter."""

    name = forms.CharField(
        label=_("Address"),
        max_length=96,
        help_text=_(
            "Letters, digits, “-”, “_” and “.”. If you change it later, the old address redirects."
        ),
    )
    licence = forms.ChoiceField(  # type: ignore[assignment]  # free text in the editor
        label=_("Licence for pictures"),
        choices=LICENCES,
        required=False,
        help_text=_("What others may do with pictures that they make with it."),
    )

    @property
    def chosen_tags(self) -> list[str]:
        """Return the tags that were chosen from those of the training captions."""
        return self.data.getlist("tag") if isinstance(self.data, QueryDict) else []

    def clean_tags(self) -> list[str]:
        """Return the typed tags and the chosen ones."""
        return [*super().clean_tags(), *self.chosen_tags]

    def card_fields(self) -> dict[str, Any]:
        """Return the card fields of the new adapter."""
        return {field: self.cleaned_data[field] for field in CARD_FIELDS}
