"""Content ratings of single pictures; without one of its own, a picture has that of its adapter."""

from __future__ import annotations

from django.utils.translation import gettext as _

from registry.errors import Invalid
from registry.models import Maturity


def checked_rating(maturity: str) -> str:
    """Return a rating of a single picture, "" for that of its adapter.

    Raises:
        Invalid: there is no such rating.
    """
    if maturity and maturity not in Maturity.values:
        text = _("The content rating must be one of: %(all)s.")
        sentence = text % {"all": ", ".join(Maturity.values)}
        raise Invalid(sentence, fields={"maturity": [sentence]})
    return maturity
