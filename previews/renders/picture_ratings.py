"""Content ratings of rendered pictures."""

from __future__ import annotations

from django.utils.translation import gettext as _

from previews.models import Image
from previews.pictures.ratings import checked_rating
from previews.renders import selectors as render_selectors
from registry.accounts import permissions
from registry.errors import NotFound
from registry.models import User


def rate(*, actor: User, image_id: int, maturity: str) -> Image:
    """Set the content rating of a rendered picture, "" for that of its adapter.

    Raises:
        NotFound: there is no such picture of a version that the actor may see.
        Forbidden, Unauthenticated, Gone: see ``permissions.require_adapter``.
        Invalid: there is no such rating.
    """
    user = permissions.require_user(actor)
    image = Image.objects.filter(pk=image_id).first()
    if image is None:
        raise NotFound(_("There is no such picture."))
    version = render_selectors.render(user, image.render_id).version
    if version is None:
        raise NotFound(_("There is no such picture."))
    permissions.require_adapter(user, version.adapter)
    image.maturity = checked_rating(maturity)
    image.save(update_fields=["maturity"])
    return image
