"""Translatable messages for errors of ``previews.render``, which does not import Django."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from lorary.anatomy import family_title
from previews.render import CannotRender, EncoderUnavailable, OutOfMemory, RenderError, TooSlow, Why

_TEXTS = {
    Why.UNREADABLE: gettext_lazy("The file cannot be read as safetensors."),
    Why.EMPTY: gettext_lazy("The file contains no LoRA modules."),
    Why.ALGORITHM: gettext_lazy("The renderer does not support this kind of adapter."),
    Why.KEYS: gettext_lazy("The file contains unknown tensors."),
    Why.MODULES: gettext_lazy("The file changes modules that the base model does not have."),
    Why.SHAPE: gettext_lazy("The file was made for a base model of another size."),
    Why.NUMBERS: gettext_lazy("The file contains numbers that are not finite."),
    Why.INCOMPLETE: gettext_lazy("Parts of the file are missing."),
    Why.QUANTIZED: gettext_lazy(
        "The file changes quantised layers of the base model that cannot be changed."
    ),
    Why.FLAGGED: gettext_lazy("The base model's safety checker blacked out a picture."),
}


def reason(error: RenderError) -> str:
    """Return the message for an error, with its details."""
    if isinstance(error, CannotRender):
        return f"{_TEXTS[error.why]} ({error})"
    if isinstance(error, OutOfMemory):
        return _("The worker does not have enough memory for a single picture.")
    if isinstance(error, TooSlow):
        return _("Rendering took too long and was stopped.")
    if isinstance(error, EncoderUnavailable):
        return _("The pictures cannot be measured: %(error)s") % {"error": error}
    return _("The pictures could not be rendered: %(error)s") % {"error": error}


def waiting_for(family: str) -> str:
    """Return what a render waits for while no worker has its base model."""
    if not family:
        return _("waiting for the owner to set the base model")
    return _("waiting for a worker for %(family)s") % {"family": family_title(family)}


def previews_off() -> str:
    """Return why a hub without base models renders nothing."""
    return _("previews are off on this hub")


def no_renderer(family: str) -> str:
    """Return the message for a version that cannot be rendered on this hub."""
    if not family:
        return _("This version cannot be rendered, because its base model is not set.")
    return _("This hub has no renderer for %(family)s at present.") % {
        "family": family_title(family)
    }
