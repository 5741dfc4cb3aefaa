"""The form of the mixer: its rows and the settings of the picture."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

from django import forms
from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.pages.labels import family_label, recommendation
from hub.pages.mixer import mix as mixes
from hub.pages.mixer.mix import GRID, NO_AXIS, Data, Fault, Mix, MixInvalid, MixRow
from hub.pages.mixer.stack_warnings import warnings_of
from hub.pages.pictures.strength_slider import Band, in_words, ranges
from lorary.anatomy import family_title
from previews import worker_bases
from previews.models.render import MAX_STRENGTH
from previews.render.recipe import MAX_PROMPT_CHARACTERS, MAX_SEED
from previews.renders import selectors as render_selectors
from previews.renders.messages import no_renderer
from previews.tryouts import requests, selectors
from previews.tryouts.requests import MAX_LAYERS, Limits, TryoutRequest
from previews.tryouts.selectors import TryoutStatus
from registry.adapters import selectors as adapter_selectors
from registry.adapters.selectors import Query
from registry.errors import Invalid, LoraryError
from registry.models import Adapter, User, Version
from registry.packs.manifest import PLACEHOLDER, prompt_of
from registry.versions.selectors import name_of, version_named

Viewer = User | AnonymousUser

#: Number of adapters that the form shows: of a search and for an empty mix, and beside others.
FOUND, SUGGESTED = 6, 3
#: Number of adapters that a search looks through.
_LOOKED_THROUGH = 24

_FAULTS = {
    Fault.STRENGTH: gettext_lazy("Enter a strength from −2 to 2."),
    Fault.AXIS: gettext_lazy("Enter one to three different strengths for each axis."),
    Fault.EMPTY: gettext_lazy("The mix is empty. Add an adapter, or unmute one."),
    Fault.SAME: gettext_lazy("A and B are the same. Change a strength in B."),
}


def fault_of(error: MixInvalid) -> str:
    """Return why a mix cannot be rendered."""
    return str(_FAULTS[error.fault])


def _whole(label: Any, **attrs: Any) -> forms.IntegerField:  # noqa: ANN401 - lazy text, attributes
    widget = forms.NumberInput(attrs={"class": "in auto seed", "inputmode": "numeric", **attrs})
    return forms.IntegerField(label=label, required=False, widget=widget)


class PictureForm(forms.Form):
    """Settings of the picture; the base model's defaults apply to empty ones."""

    prompt = forms.CharField(
        label=gettext_lazy("Prompt"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "maxlength": MAX_PROMPT_CHARACTERS}),
    )
    template = forms.CharField(
        label=gettext_lazy("Prompt template"),
        required=False,
        max_length=MAX_PROMPT_CHARACTERS,
        help_text=gettext_lazy(
            "{prompt} stands for your prompt. Trigger words are not added to a template."
        ),
    )
    negative = forms.CharField(label=gettext_lazy("Negative prompt"), required=False)
    seed = _whole(
        gettext_lazy("Seed"), placeholder=gettext_lazy("random"), min=0, **{"class": "in auto"}
    )  # up to ten digits, so wider than the others
    width = _whole(gettext_lazy("Width"), step=8)
    height = _whole(gettext_lazy("Height"), step=8)
    steps = _whole(gettext_lazy("Steps"), min=1)
    guidance = forms.FloatField(
        label=gettext_lazy("Guidance"),
        required=False,
        widget=forms.NumberInput(attrs={"class": "in auto seed", "min": 0, "step": 0.1}),
    )
    plain = forms.BooleanField(label=gettext_lazy("Leave trigger words out"), required=False)
    compare = forms.BooleanField(
        label=gettext_lazy("Also without the mix, to compare"), required=False
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

    def clean_template(self) -> str:
        """Return a template that has a place for the prompt, or ""."""
        template = str(self.cleaned_data["template"])
        if template and template.count(PLACEHOLDER) != 1:
            text = _("Write %(placeholder)s exactly once, where the subject goes.")
            raise forms.ValidationError(text % {"placeholder": PLACEHOLDER})
        return template


@dataclass(frozen=True, slots=True)
class Row:
    """An adapter of the mix with the ranges that are drawn on its slider."""

    index: int
    version: Version
    row: MixRow
    band: Band | None
    measured: list[Band]
    hints: list[str]

    @property
    def name(self) -> str:
        """``owner/name@v1``."""
        return self.row.name

    @property
    def title(self) -> str:
        """Title of the adapter."""
        return self.version.adapter.display_title


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of the grid: the names of its fields, the chosen row, and its strengths."""

    row_field: str
    values_field: str
    chosen: str
    text: str
    default: str
    is_optional: bool


@dataclass(frozen=True, slots=True)
class Mixer:
    """The form, and the reasons why it cannot be rendered."""

    mix: Mix
    rows: list[Row]
    form: PictureForm
    words: list[str]
    family: str = ""
    unserved: str = ""
    faults: list[str] = field(default_factory=list)
    found: list[Adapter] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether it has the maximum number of rows."""
        return len(self.rows) >= MAX_LAYERS

    @property
    def family_title(self) -> str:
        """Return the title of the base model."""
        return family_label(self.family)

    @property
    def axes(self) -> list[Axis]:
        """The axes of the grid, as the form shows them."""
        chosen = [*self.mix.axes, NO_AXIS][:2]
        found = []
        for index, (name, values) in enumerate((("x", "xs"), ("y", "ys"))):
            text = getattr(self.mix, values)
            try:
                blank = replace(self.mix, xs="", ys="")
                default = " ".join(map(mixes.written, blank.axis(index)))
            except (MixInvalid, IndexError):  # a row without a strength, a missing axis
                default = ""
            found.append(Axis(name, values, chosen[index], text, default, bool(index)))
        return found

    @property
    def warnings(self) -> list[str]:
        """Return what to change where adapters conflict."""
        return warnings_of(self.mix, [row.version for row in self.rows])

    def tryout_requests(self) -> list[TryoutRequest]:
        """Return the requests of the valid form, all with the same seed.

        Raises:
            Invalid: the mix cannot be rendered.
        """
        if self.faults:
            text = _("Nothing was rendered, because adapters were left out of the mix. The reasons "
                     "are shown above the mix. Render again to go on without them.")  # fmt: skip
            raise Invalid(text)
        try:
            stacks = self.mix.stacks()
        except MixInvalid as error:
            raise Invalid(fault_of(error)) from error
        fields = self.form.cleaned_data
        versions = {row.name: row.version for row in self.rows}
        seed = secrets.randbelow(MAX_SEED + 1) if fields["seed"] is None else fields["seed"]
        prompt, template = " ".join(fields["prompt"].split()), fields["template"]
        return [
            TryoutRequest(
                layers=[(versions[name], strength) for name, strength in stack],
                uses_triggers=not (fields["plain"] or template),
                compares=fields["compare"] and place == 0 and self.mix.mode != GRID,
                prompt=prompt_of(template, prompt) if template and prompt else prompt,
                negative=fields["negative"] or None,
                seed=seed,
                **{name: fields[name] for name in ("width", "height", "steps", "guidance")},
            )
            for place, stack in enumerate(stacks)
        ]


def mixer_of(user: Viewer, mix: Mix, do: Data | None = None, *, is_asked: bool = False) -> Mixer:
    """Return the mixer after a button.

    Adapters that cannot be in the mix are left out, and ``faults`` says why.

    Args:
        user: The viewer.
        mix: The state of the form.
        do: The buttons, see ``Mix.changed_by``.
        is_asked: Whether a picture was requested, so that the fields are validated.
    """
    before = mix.names
    mix = mix.changed_by(do) if do else mix
    looked_up = {name: look_up(user, name) for name in dict.fromkeys([*before, *mix.names])}
    versions, faults = _fitting(mix.names, looked_up)
    dials = {name: _dial(one) for name, one in looked_up.items() if isinstance(one, Version)}
    mix = replace(mix, rows=tuple(row for row in mix.rows if row.name in versions))
    mix = mix.balanced(dials, [name for name in before if name in dials] if do else [])
    mix = _renamed(mix, {name: name_of(one) for name, one in versions.items()})
    family = next((version.family for version in versions.values()), "")
    base = worker_bases.base_for(family) if family else None
    limits = requests.limits_of(base) if base is not None else None
    used = mix.without_muted().names
    rows = _rows(mix, list(versions.values()))
    return Mixer(
        mix=mix,
        rows=rows,
        form=PictureForm(mix.fields, limits=limits)
        if is_asked
        else PictureForm(initial=mix.fields, limits=limits),
        words=requests.trigger_words_of([row.version for row in rows if row.name in used]),
        family=family,
        unserved=no_renderer(family) if family and base is None else "",
        faults=faults,
        found=[] if len(rows) >= MAX_LAYERS else found_for(user, mix.q, family, rows),
    )


def _dial(version: Version) -> float:
    return max(-MAX_STRENGTH, min(MAX_STRENGTH, version.dial))


def _renamed(mix: Mix, names: Mapping[str, str]) -> Mix:
    """Return the mix with the full names of versions."""
    rows = tuple(replace(row, name=names[row.name]) for row in mix.rows)
    return replace(mix, rows=rows, x=names.get(mix.x, mix.x), y=names.get(mix.y, mix.y))


def look_up(user: Viewer, name: str) -> Version | str:
    """Return a version that can be tried, or why there is none."""
    try:
        version = version_named(user, name)
        is_visible = selectors.triable_by(user, [version]).exists()
        requests.require_triable(version, is_visible=is_visible)
    except LoraryError as error:
        return str(error.detail)
    return version


def _fitting(
    names: Sequence[str], looked_up: Mapping[str, Version | str]
) -> tuple[dict[str, Version], list[str]]:
    """Return the versions that can be in the mix by name, and why others cannot."""
    found: dict[str, Version] = {}
    faults: list[str] = []
    for name in names:
        version = looked_up[name]
        if isinstance(version, str):
            faults.append(version)
        elif fault := _misfit(version, list(found.values())):
            faults.append(fault)
        elif version.pk not in {one.pk for one in found.values()}:
            found[name] = version
    return found, faults


def _misfit(version: Version, others: Sequence[Version]) -> str:
    """Return why a version cannot be added to others, "" if it can."""
    facts = {"name": name_of(version), "n": MAX_LAYERS}
    if len(others) >= MAX_LAYERS:
        text = _("“%(name)s” was not added: a mix can have at most %(n)d adapters.")
        return text % facts
    if others and version.family != others[0].family:
        text = _("“%(name)s” was not added: it is for %(its)s, but the mix is for %(family)s.")
        its, family = family_title(version.family), family_title(others[0].family)
        return text % {**facts, "its": its, "family": family}
    return ""


def _rows(mix: Mix, versions: Sequence[Version]) -> list[Row]:
    advice = render_selectors.advice_of(version.pk for version in versions) if versions else {}
    return [
        _row(index, row, version, advice.get(version.pk, {}))
        for index, (row, version) in enumerate(zip(mix.rows, versions, strict=True))
    ]


def _row(index: int, row: MixRow, version: Version, advice: Mapping[str, Any]) -> Row:
    low, high = version.strength_min, version.strength_max
    texts = [recommendation(version), in_words(advice) if advice else ""]
    return Row(
        index=index,
        version=version,
        row=row,
        band=_band(low, high) if low is not None and high is not None else None,
        measured=[_band(start, end) for _begins, start, end in ranges(advice)],
        hints=[text for text in texts if text],
    )


def _band(low: float, high: float) -> Band:
    """Return a range on a slider from −2 to 2, in percent."""
    ends = [max(0.0, min(1.0, (one + MAX_STRENGTH) / (2 * MAX_STRENGTH))) for one in (low, high)]
    start, end = (round(one * 100, 1) for one in ends)
    return Band(f"{start:g}", f"{end - start:g}", f"{end:g}")


def found_for(user: Viewer, words: str, family: str, rows: Sequence[Row]) -> list[Adapter]:
    """Return adapters that can be added: rendered here, of the mix's family, and not in it.

    Without words, those that are downloaded most.
    """
    here = {row.version.adapter_id for row in rows}
    query = Query(q=words, family=family, sort="" if words else "downloads")
    page = adapter_selectors.search(user, query, limit=_LOOKED_THROUGH)
    served = worker_bases.families()
    fresh = [
        (one, one.latest_version)
        for one in page.results
        if one.pk not in here and one.latest_version and one.latest_version.family in served
    ]
    refused = render_selectors.unrenderable(version.pk for _one, version in fresh)
    offered = [one for one, version in fresh if version.pk not in refused]
    return offered[: FOUND if words or not rows else SUGGESTED]


def mix_of_tryout(found: TryoutStatus) -> Mix:
    """Return the state that a try-out was requested with, to request it again."""
    if found.tryout.mix:
        return mixes.parse(parse_qs(found.tryout.mix, keep_blank_values=True))
    recipe, words = found.previews.recipe, found.tryout.render.trigger_words
    rows = (MixRow(name_of(one.version), mixes.written(one.strength)) for one in found.layers)
    names = ("width", "height", "steps", "guidance")
    fields = {name: f"{recipe[name]:g}" for name in names if name in recipe}
    fields |= {
        "prompt": requests.typed(recipe["prompts"][0], words),
        "negative": recipe["negative"],
        "seed": str(recipe["seeds"][0]),
        "plain": "" if words or not _has_words(found) else "on",
        "compare": "on" if len(recipe["strengths"]) > 1 else "",
    }
    return Mix(tuple(rows), fields)


def _has_words(found: TryoutStatus) -> bool:
    return any(layer.version.trigger_words for layer in found.layers)
