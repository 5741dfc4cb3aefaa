"""Videos, and renders with several base models of a family. Before deploy: adds columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import migrations, models
from django.db.models import OuterRef, Q, Subquery
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce

if TYPE_CHECKING:
    from django.apps.registry import Apps
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor

OPEN = Q(state__in=["queued", "running", "waiting"])


def describe(apps: Apps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Write what the recipes of renders say into their new columns, and those of their videos."""
    render, recipe = apps.get_model("previews", "Render"), apps.get_model("previews", "Recipe")
    image, control = apps.get_model("previews", "Image"), apps.get_model("previews", "Control")
    of_render = recipe.objects.filter(pk=OuterRef("recipe")).annotate(text=KT("document__base"))
    render.objects.filter(recipe__isnull=False).update(
        base=Coalesce(Subquery(of_render.values("text")[:1]), models.Value(""))
    )
    videos = render.objects.filter(recipe__document__has_key="frames")
    videos.update(output="video")
    moving = {"animation__isnull": False}
    image.objects.filter(**moving).update(media_type="image/webp")
    control.objects.filter(**moving).update(media_type="image/webp")
    for pk, document in recipe.objects.filter(document__has_key="frames").values_list(
        "pk", "document"
    ):
        image.objects.filter(render__recipe=pk, **moving).update(
            frames=document["frames"], fps=document.get("fps") or 8
        )


def column(default: str | int, **more: object) -> models.Field:
    """Return a column that processes of the release before need not know."""
    kind = models.CharField if isinstance(default, str) else models.PositiveSmallIntegerField
    return kind(default=default, db_default=default, **more)


class Migration(migrations.Migration):
    """Adds columns with defaults of the database, and replaces a constraint by a weaker one."""

    dependencies = [
        ("previews", "0009_ratings_of_pictures"),
    ]

    operations = [
        *(
            migrations.AddField(model, name, field)
            for model in ("image", "control")
            for name, field in (
                ("media_type", column("image/png", max_length=32, editable=False)),
                ("frames", column(1)),
                ("fps", column(0)),
            )
        ),
        migrations.AddField("render", "base", column("", max_length=48, blank=True)),
        migrations.AddField(
            "render",
            "output",
            column("image", max_length=8, choices=[("image", "Image"), ("video", "Video")]),
        ),
        migrations.AddField("render", "rank", column(0)),
        migrations.RunPython(describe, migrations.RunPython.noop),
        migrations.RemoveConstraint("render", "render_one_open_per_version"),
        migrations.AddConstraint(
            "render",
            models.UniqueConstraint(
                fields=["version", "base"], condition=OPEN, name="render_one_open_per_base"
            ),
        ),
    ]
