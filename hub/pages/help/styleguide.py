"""The style guide: the tokens and every component in its states, in both themes.

It uses the templates and forms of the site with fixed examples, so that it shows what pages show.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from django import forms
from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from hub.pages.adapters.licence_panel import licence_panel
from hub.pages.adapters.tabs import Remark

THEMES = ("light", "dark")
_COLOUR = re.compile(r"--([a-z0-9-]+)\s*:\s*(?:light-dark\([^;]*\)|#[0-9a-f]{3,8});")
_SIZE = re.compile(r"--(t-[a-z0-9]+):")
_ICON = re.compile(r'<symbol id="([a-z]+)"')
_CARD = {
    "number": "001",
    "url": "/browse",
    "full_name": "ada/noir",
    "title": "Film noir",
    "family": "Stable Diffusion 1",
    "facts": "style · rank 16 · 9.4 MB",
    "evidence": "proven",
    "picture_alt": "Preview of Film noir",
    "trigger_words": "noir light",
    "strength": 0.8,
    "strength_min": 0.6,
    "strength_max": 1.0,
    "strength_text": "0.6–1.0",
}
#: Differences of the example cards.
_CARDS: tuple[dict[str, Any], ...] = (
    {},
    {"number": "002", "evidence": "claimed", "trigger_words": "", "rating": "Mature"},
    {"number": "003", "evidence": "", "strength_text": "",
     "visibility": "Private", "title": "A title that is much too long for one line of a card"},
    {"number": "004", "evidence": "declared",
     "snippet": format_html("Hard <mark>{}</mark> and long shadows.", "light")},
)  # fmt: skip


class ExampleForm(forms.Form):
    """A field of each kind."""

    text = forms.CharField(label=_("Text"), help_text=_("A hint below the field."))
    faulty = forms.IntegerField(label=_("With an error"))
    choice = forms.ChoiceField(label=_("Choice"), choices=[("a", _("First")), ("b", _("Second"))])
    long = forms.CharField(label=_("Long text"), widget=forms.Textarea(attrs={"rows": 3}))
    off = forms.CharField(label=_("Disabled"), disabled=True, required=False)


@cache
def tokens() -> dict[str, list[str]]:
    """Return the names of colours, sizes of type and icons in the files of the site."""
    css, icons = (_text_of(name) for name in ("css/tokens.css", "icons.svg"))
    return {
        "colours": list(dict.fromkeys(_COLOUR.findall(css))),
        "sizes": list(dict.fromkeys(_SIZE.findall(css))),
        "icons": _ICON.findall(icons),
    }


def _text_of(name: str) -> str:
    return Path(str(finders.find(name))).read_text("utf-8")


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """Show the style guide."""
    context = {"tokens": tokens(), "sheets": [_sheet(theme) for theme in THEMES]}
    return render(request, "styleguide/page.html", context)


def _sheet(theme: str) -> dict[str, Any]:
    """Return the examples of a theme; ids begin with its name, as both are on one page."""
    given = {"text": "noir", "faulty": "x", "choice": "a", "long": "# Noir"}
    picture = {"url": static("blank.svg"), "width": 640, "height": 640}
    return {
        "theme": theme,
        "form": ExampleForm(given, auto_id=f"{theme}_%s"),
        "cards": [_CARD | {"picture": picture} | one for one in _CARDS],
        "blurred": _CARD | {"number": "005", "picture": picture, "blur": picture["url"]},
        "findings": [
            Remark("Refused", "It is a pickle.", is_loud=True, code="pickle"),
            Remark("Warning", "A tensor is zero.", "tensors: up.weight", is_loud=True),
            Remark("Note", "The metadata names a folder."),
        ],
        "licences": [licence_panel(text) for text in ("cc-by-nc-4.0", "openrail", "ask me", "")],
        "levels": ("declared", "claimed", "likely", "proven"),
    }
