"""The form of try-outs: the rows of the stack, the fields, and their limits.

The form and its URL contain everything: ``layer`` and ``strength`` are repeated for each row, in
order, so that a stack can be saved as a link and edited without JavaScript.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib.auth.models import AnonymousUser
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.pages.labels import family_label
from hub.templatetags.lorary import strength as written
from previews import worker_bases
from previews.models.render import MAX_STRENGTH
from previews.render.recipe import MAX_PROMPT_CHARACTERS
from previews.renders.messages import no_renderer
from previews.tryouts import requests, selectors
from previews.tryouts.requests import MAX_LAYERS, Limits, TryoutRequest
from previews.tryouts.selectors import TryoutStatus
from registry.adapters import selectors as adapter_selectors
from registry.adapters.selectors import Query
from registry.errors import Invalid, NotFound
from registry.models import Adapter, User, Version

Viewer = User | AnonymousUser

#: Number of adapters that a search in the form shows.
FOUND = 6
#: Limits that are applied before any look-up.
_MOST_NAMES = MAX_LAYERS + 1
_MOST_WORDS = 200

Layers = tuple[tuple[str, str], ...]


def _whole(label: Any, **attrs: Any) -> forms.IntegerField:  # noqa: ANN401 - lazy text, attributes
    widget = forms.NumberInput(attrs={"class": "in auto seed", "inputmode": "numeric", **attrs})
    return forms.IntegerField(label=label, required=False, widget=widget)


class TryForm(forms.Form):
    """Settings of a try-out; the base model's defaults apply to empty ones."""

    prompt = forms.CharField(
        label=gettext_lazy("Prompt"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "maxlength": MAX_PROMPT_CHARACTERS}),
    )
    negative = forms.CharField(label=gettext_lazy("What it must not show"), required=False)
    seed = _whole(
        gettext_lazy("Seed"), placeholder=gettext_lazy("random"), min=0, **{"class": "in auto"}
    )  # up to ten digits, so wider than the others
    width = _whole(gettext_lazy("Width"), step=8)
    height = _whole(gettext_lazy("Height"), step=8)
    steps = _whole(gettext_lazy("Steps"), min=1)
    plain = forms.BooleanField(label=gettext_lazy("Leave trigger words out"), required=False)
    compare = forms.BooleanField(
        label=gettext_lazy("Also without the stack, to compare"), required=False
    )

    def __init__(self, *args: Any, limits: Limits | None = None, **kwargs: Any) -> None:  # noqa: ANN401 - Django's signature
        super().__init__(*args, **kwargs)
        for name in ("plain", "compare"):
            self.fields[name].widget.attrs["class"] = ""
        if limits is not None:
            self._limit(limits)

    def _limit(self, limits: Limits) -> None:
        for name, own, (least, most) in (
            ("width", limits.width, limits.widths),
            ("height", limits.height, limits.heights),
            ("steps", limits.steps, (1, limits.most_steps)),
        ):
            attrs = {"min": least, "max": most, "placeholder": own}
            self.fields[name].widget.attrs.update(attrs)


@dataclass(frozen=True, slots=True)
class TryoutInput:
    """Values of the form or URL: rows as (name, strength), and the fields."""

    layers: Layers
    q: str
    fields: dict[str, str]

    @property
    def query(self) -> str:
        """Return all values as a query string."""
        pairs = [
            pair for name, dial in self.layers for pair in (("layer", name), ("strength", dial))
        ]
        rest = {**self.fields, "q": self.q}
        return urlencode([*pairs, *((name, value) for name, value in rest.items() if value)])

    def changed_by(self, do: QueryDict) -> TryoutInput:
        """Return the values after a button: ``add`` a name, ``drop`` a row, move one ``up``.

        Adding clears the search.
        """
        layers = list(self.layers)
        drop, up = _index(do.get("drop", ""), layers), _index(do.get("up", ""), layers)
        if drop is not None:
            del layers[drop]
        if up:
            layers.insert(up - 1, layers.pop(up))
        names = {name for name, _dial in layers}
        added = [name for name in map(_looked_up, do.getlist("add")[:_MOST_NAMES]) if name]
        layers += [(name, "") for name in added if name not in names]
        return TryoutInput(tuple(layers), "" if added else self.q, self.fields)


def _index(text: str, layers: Sequence[object]) -> int | None:
    is_whole = (
        text.isascii() and text.isdecimal() and len(text) <= 3
    )  # int() refuses very long ones
    return int(text) if is_whole and int(text) < len(layers) else None


def input_from_query(data: QueryDict) -> TryoutInput:
    """Parse a form or URL; missing strengths are the recommended ones."""
    names = [_looked_up(name) for name in data.getlist("layer")[:_MOST_NAMES]]
    dials = [*data.getlist("strength")[:_MOST_NAMES], *[""] * len(names)]
    layers = tuple((name, dial) for name, dial in zip(names, dials, strict=False) if name)
    fields = {name: data.get(name, "") for name in TryForm.base_fields}
    return TryoutInput(layers, _looked_up(data.get("q", "")), fields)


def _looked_up(text: str) -> str:
    """Return the words of a search without NUL, which PostgreSQL cannot search for."""
    return text.replace("\0", "")[:_MOST_WORDS].strip()


def input_from_tryout(found: TryoutStatus) -> TryoutInput:
    """Return the values that a try-out was requested with, to request it again."""
    recipe, words = found.previews.recipe, found.tryout.render.trigger_words
    layers = tuple((selectors.name_of(one.version), written(one.strength)) for one in found.layers)
    fields = {name: str(recipe.get(name, "")) for name in ("width", "height", "steps")}
    fields |= {
        "prompt": requests.typed(recipe["prompts"][0], words),
        "negative": recipe["negative"],
        "seed": str(recipe["seeds"][0]),
        "plain": "" if words or not _has_words(found) else "on",
        "compare": "on" if len(recipe["strengths"]) > 1 else "",
    }
    return TryoutInput(layers, "", fields)


def _has_words(found: TryoutStatus) -> bool:
    return any(layer.version.trigger_words for layer in found.layers)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the stack."""

    index: int
    version: Version
    name: str
    strength: str

    @property
    def is_first(self) -> bool:
        """Whether it is the first row, which cannot move up."""
        return self.index == 0


@dataclass(frozen=True, slots=True)
class TryoutForm:
    """The stack, the form, and the reasons why it cannot be rendered."""

    rows: list[Row]
    form: TryForm
    input: TryoutInput
    words: list[str]
    family: str = ""
    unserved: str = ""
    faults: list[str] = field(default_factory=list)
    found: list[Adapter] | None = None

    @property
    def is_full(self) -> bool:
        """Whether the stack has the maximum number of rows."""
        return len(self.rows) >= MAX_LAYERS

    @property
    def family_title(self) -> str:
        """Return the title of the base model."""
        return family_label(self.family)

    def tryout_request(self) -> TryoutRequest:
        """Return the request of the valid form.

        Raises:
            Invalid: a strength is not a number.
        """
        fields = self.form.cleaned_data
        try:
            layers = [(row.version, float(row.strength.replace(",", "."))) for row in self.rows]
        except ValueError as error:
            text = _("Enter a strength from −%(n)s to %(n)s.") % {"n": f"{MAX_STRENGTH:g}"}
            raise Invalid(text, fields={"layers": [text]}) from error
        return TryoutRequest(
            layers=layers,
            uses_triggers=not fields["plain"],
            compares=fields["compare"],
            prompt=fields["prompt"],
            negative=fields["negative"] or None,
            **{name: fields[name] for name in ("seed", "width", "height", "steps")},
        )


def form_of(user: Viewer, tryout_input: TryoutInput, *, is_asked: bool = False) -> TryoutForm:
    """Return the form for an input; missing versions are reported as errors.

    Args:
        is_asked: Whether a picture was requested, so that the fields are validated.
    """
    rows, faults = _rows(user, tryout_input)
    family = next((row.version.family for row in rows), "")
    base = worker_bases.base_for(family) if family else None
    limits = requests.limits_of(base) if base is not None else None
    return TryoutForm(
        rows=rows,
        form=TryForm(tryout_input.fields, limits=limits)
        if is_asked
        else TryForm(initial=tryout_input.fields, limits=limits),
        input=tryout_input,
        words=requests.trigger_words_of([row.version for row in rows]),
        family=family,
        unserved=no_renderer(family) if family and base is None else "",
        faults=faults,
        found=found_for(user, tryout_input.q, family, rows) if tryout_input.q else None,
    )


def _rows(user: Viewer, tryout_input: TryoutInput) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    faults = []
    for name, dial in tryout_input.layers:
        try:
            version = selectors.version_named(user, name)
        except NotFound as error:
            faults.append(str(error.detail))
            continue
        text = dial or written(version.dial)
        rows.append(Row(len(rows), version, selectors.name_of(version), text))
    return rows, faults


def found_for(user: Viewer, words: str, family: str, rows: Sequence[Row]) -> list[Adapter]:
    """Return adapters of the stack's family that are not in it."""
    here = {row.version.adapter_id for row in rows}
    page = adapter_selectors.search(user, Query(q=words, family=family), limit=FOUND + len(here))
    fresh = [one for one in page.results if one.pk not in here and one.latest_version is not None]
    return fresh[:FOUND]
