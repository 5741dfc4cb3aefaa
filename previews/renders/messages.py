"""Why pictures could not be made, in the reader's words.

``previews.render`` knows no Django and speaks English; this is where its refusals become texts
that can be translated.
"""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from lorary.anatomy import family_title
from previews.render import CannotRender, OutOfMemory, RenderError, TooSlow, Why

__all__ = ["no_renderer", "reason", "waiting_for"]

_TEXTS = {
    Why.UNREADABLE: gettext_lazy("The file cannot be read as safetensors."),
    Why.EMPTY: gettext_lazy("The file holds no LoRA modules."),
    Why.ALGORITHM: gettext_lazy("The renderer does not read this kind of adapter yet."),
    Why.KEYS: gettext_lazy("The file holds tensors of unknown meaning."),
    Why.MODULES: gettext_lazy("The file changes modules that the base model does not have."),
    Why.SHAPE: gettext_lazy("The file was made for a base model of another size."),
    Why.NUMBERS: gettext_lazy("The file holds numbers that are not finite."),
    Why.INCOMPLETE: gettext_lazy("Not all of the file could be taken over."),
    Why.FLAGGED: gettext_lazy("The base model's safety checker blacked a picture out."),
}


def reason(error: RenderError) -> str:
    """Return the sentence for a refusal, its particulars behind it."""
    if isinstance(error, CannotRender):
        return f"{_TEXTS[error.why]} ({error})"
    if isinstance(error, OutOfMemory):
        return _("Not even one picture fits into the memory of the worker.")
    if isinstance(error, TooSlow):
        return _("Rendering took too long and was stopped.")
    return _("The pictures could not be made: %(error)s") % {"error": error}


def waiting_for(family: str) -> str:
    """Return what a render of a family waits for, where nobody can make it."""
    if not family:
        return _("waiting for somebody to say which base model this is made for")
    return _("waiting for a worker for %(family)s") % {"family": family_title(family)}


def no_renderer(family: str) -> str:
    """Return the refusal of a render that nobody here can make."""
    if not family:
        return _("Nobody has said which base model this is made for, so it cannot be rendered.")
    return _("This hub has no renderer for %(family)s.") % {"family": family_title(family)}
