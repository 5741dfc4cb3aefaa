"""``/renders/{id}``, ``…/versions/{v}/renders``, ``…/recipe``: renders; ``/workers``: who runs."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import Choice, Endpoint, Input, VersionEndpoint, paging, serialized
from hub.api.previews.serializers import BasePreviewsOut, PictureOut, PlaceOut
from hub.operations.worker_status import (
    BaseStatus,
    JobStatus,
    WorkerStatus,
    worker_status,
    worker_statuses,
)
from previews.models import OPEN_STATES, Image, PromptSet, Render
from previews.pictures.selectors import pictures_of
from previews.recipes import prompts
from previews.recipes import selectors as recipe_selectors
from previews.recipes.selectors import AdapterRecipe, Plan
from previews.renders import selectors, services
from previews.renders.queue_position import position_of
from previews.renders.selectors import Previews
from registry.accounts import permissions
from registry.adapters import selectors as adapter_selectors
from registry.jobs import workers
from registry.models import Adapter, JobState, Maturity, Output, WorkerWish


class WorkerIn(Input):
    """Requested state of a worker."""

    wish = Choice(
        choices=WorkerWish.choices,
        help_text="pause: takes no further jobs; drain: ends after the current job; work: resumes",
    )


class JobOut(serializers.Serializer[JobStatus]):
    """A running job; progress is in the unit of its kind of work."""

    id = serializers.IntegerField()
    task = serializers.CharField()
    queue = serializers.CharField()
    owner = serializers.CharField()
    state = serializers.ChoiceField(choices=JobState.choices)
    done = serializers.IntegerField()
    total = serializers.IntegerField(help_text="0 while unknown")
    adapter = serializers.CharField(help_text="owner/name; empty if it is for none or several")
    version = serializers.CharField()
    started_at = serializers.DateTimeField(allow_null=True)


class WorkerBaseOut(serializers.Serializer[BaseStatus]):
    """A base model of a worker."""

    id = serializers.CharField()
    family = serializers.CharField()
    title = serializers.CharField()
    seconds = serializers.FloatField(allow_null=True, help_text="per picture, as measured")


class WorkerOut(serializers.Serializer[WorkerStatus]):
    """A worker process."""

    id = serializers.IntegerField()
    name = serializers.CharField(help_text="host-random:pid")
    is_alive = serializers.BooleanField(help_text="Whether it reported within the last 30 seconds.")
    wish = serializers.ChoiceField(choices=WorkerWish.choices)
    device = serializers.CharField()
    memory_gb = serializers.FloatField(allow_null=True)
    queues = serializers.ListField(child=serializers.CharField())
    families = serializers.ListField(child=serializers.CharField())
    bases = WorkerBaseOut(many=True)
    job = JobOut(allow_null=True)
    jobs_done = serializers.IntegerField()
    started_at = serializers.DateTimeField()
    seen_at = serializers.DateTimeField()


class Workers(Endpoint):
    """Workers of this hub."""

    @extend_schema(
        operation_id="workers_list", tags=["workers"], responses=paging("Worker", WorkerOut)
    )
    def get(self, _request: Request) -> Response:
        """List workers by name, all on one page.

        Only for administrators, with a token of the scope “admin”.
        """
        permissions.require_operator(self.viewer)
        return Response({"results": serialized(WorkerOut, worker_statuses()), "next": None})


class WorkerView(Endpoint):
    """One worker."""

    @extend_schema(
        operation_id="workers_wish",
        tags=["workers"],
        request=WorkerIn,
        responses=WorkerOut,
        examples=[OpenApiExample("End it", value={"wish": "drain"}, request_only=True)],
    )
    def post(self, _request: Request, worker_id: int) -> Response:
        """Pause, resume or drain a worker, which polls every few seconds."""
        permissions.require_operator(self.viewer)
        wish = self.body(WorkerIn)["wish"]
        worker = workers.request_state(actor=self.viewer, worker_id=worker_id, wish=wish)
        return self.answer(WorkerOut, worker_status(worker))


class RenderOut(BasePreviewsOut):
    """One render: a recipe applied to a version."""

    id = serializers.IntegerField(source="render_id")
    adapter = serializers.SerializerMethodField()
    version = serializers.SerializerMethodField()
    recipe = serializers.DictField(help_text="Everything that makes the pictures reproducible.")
    queue = serializers.SerializerMethodField(help_text="Null once it has ended.")

    @extend_schema_field(OpenApiTypes.STR)
    def get_adapter(self, _previews: Previews) -> str:
        """Return ``owner/name``."""
        return str(self.context["render"].version.adapter.full_name)

    @extend_schema_field(PlaceOut(allow_null=True))
    def get_queue(self, previews: Previews) -> dict[str, Any] | None:
        """Return its position in the queue."""
        is_open = previews.state in OPEN_STATES
        return dict(PlaceOut(position_of(self.context["render"])).data) if is_open else None

    @extend_schema_field(OpenApiTypes.STR)
    def get_version(self, _previews: Previews) -> str:
        """Return ``v3``."""
        return str(self.context["render"].version.name)


class _Answering(Endpoint):
    """Mixin of views that answer with a render."""

    def render_answer(self, render: Render, *, status: int = 200) -> Response:
        """Return a render with the pictures that exist."""
        shown = selectors.of_render(render)
        return self.answer(RenderOut, shown, status=status, render=render)


class RenderView(_Answering):
    """One render."""

    @extend_schema(operation_id="renders_get", tags=["renders"], responses=RenderOut)
    def get(self, _request: Request, render_id: int) -> Response:
        """Return the progress of a render, with the pictures that exist."""
        return self.render_answer(selectors.render(self.viewer, render_id))


class VersionRenders(_Answering, VersionEndpoint):
    """Renders of a version."""

    @extend_schema(
        operation_id="renders_request", tags=["renders"], request=None, responses={202: RenderOut}
    )
    def post(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Request previews; a render in progress, or ready with the same recipe, is returned."""
        row = self.version(owner, name, version)
        render = services.request(actor=self.actor, version=row)
        return self.render_answer(selectors.render(self.viewer, render.pk), status=202)


class PictureIn(Input):
    """Editable fields of a rendered picture."""

    maturity = Choice(
        choices=Maturity.choices,
        allow_blank=True,
        help_text="Its own content rating; empty: that of the adapter.",
    )


class PictureView(Endpoint):
    """One rendered picture."""

    @extend_schema(
        operation_id="pictures_edit", tags=["renders"], request=PictureIn, responses=PictureOut
    )
    def patch(self, _request: Request, image_id: int) -> Response:
        """Give a rendered picture a content rating of its own."""
        rating = self.body(PictureIn)
        image = services.rate(actor=self.actor, image_id=image_id, **rating)
        [picture] = pictures_of(Image.objects.filter(pk=image.pk))
        return self.answer(PictureOut, picture)


class PromptsIn(Input):
    """The owner's prompts, in order; empty ones are ignored."""

    prompts = serializers.ListField(
        child=serializers.CharField(allow_blank=True),
        help_text=f"At most {prompts.MAX_PROMPTS}, of at most {prompts.MAX_CHARACTERS} characters; "
        "`{trigger}` is replaced by the trigger words. []: only the default ones.",
    )


class PromptSetOut(serializers.Serializer[PromptSet]):
    """A former or the current set of prompts."""

    number = serializers.IntegerField()
    prompts = serializers.ListField(child=serializers.CharField())
    author = serializers.CharField(source="author.username")
    created_at = serializers.DateTimeField()


class PlanOut(serializers.Serializer[Plan]):
    """Recipe of the versions for a family, with one of its base models."""

    family = serializers.CharField(help_text="Empty if unknown.")
    base = serializers.CharField(
        source="base.id",
        read_only=True,
        allow_null=True,
        default=None,
        help_text="null: no worker has one.",
    )
    output = serializers.ChoiceField(
        choices=Output.choices,
        source="base.output",
        read_only=True,
        allow_null=True,
        default=None,
        help_text="What the base model makes.",
    )
    default_prompts = serializers.ListField(child=serializers.CharField(), source="defaults")
    recipe = serializers.SerializerMethodField(
        help_text="Everything that makes the pictures reproducible: prompts, seeds, strengths, …"
    )
    versions = serializers.SerializerMethodField(help_text="Newest first.")
    pictures = serializers.IntegerField(help_text="Total number of pictures for these versions.")

    @extend_schema_field({"type": ["object", "null"], "additionalProperties": {}})
    def get_recipe(self, plan: Plan) -> dict[str, object] | None:
        """Return the recipe of all these versions."""
        return plan.recipe.to_dict() if plan.recipe else None

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_versions(self, plan: Plan) -> list[str]:
        """Return ``v2``, ``v1``."""
        return [version.name for version in plan.versions]


class RecipeOut(serializers.Serializer[AdapterRecipe]):
    """The recipe of an adapter's previews."""

    adapter = serializers.CharField(source="adapter.full_name")
    number = serializers.IntegerField(
        help_text="Number of the current set of prompts; 0: there was none yet."
    )
    prompts = serializers.ListField(
        child=serializers.CharField(),
        help_text="The owner's prompts, rendered after the default ones.",
    )
    plans = PlanOut(many=True)
    history = PromptSetOut(many=True, help_text="Newest first, at most 50.")


class RecipeView(Endpoint):
    """The recipe of an adapter's previews, for all its versions."""

    @extend_schema(operation_id="recipes_get", tags=["renders"], responses=RecipeOut)
    def get(self, _request: Request, owner: str, name: str) -> Response:
        """Return default prompts, the owner's prompts, seeds and strengths, with the history."""
        return self._shown(adapter_selectors.get(self.viewer, owner, name))

    @extend_schema(
        operation_id="recipes_change",
        tags=["renders"],
        request=PromptsIn,
        responses=RecipeOut,
        examples=[
            OpenApiExample(
                "Two prompts",
                value={"prompts": ["a {trigger} bicycle in a meadow", "a kite over the sea"]},
                request_only=True,
            )
        ],
    )
    def put(self, _request: Request, owner: str, name: str) -> Response:
        """Add prompts to the default ones; all versions are rendered again."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        prompts.change(actor=self.actor, adapter=adapter, **self.body(PromptsIn))
        return self._shown(adapter)

    @extend_schema(
        operation_id="recipes_reset", tags=["renders"], request=None, responses={200: RecipeOut}
    )
    def delete(self, _request: Request, owner: str, name: str) -> Response:
        """Return to the default prompts; all versions are rendered again."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        prompts.reset(actor=self.actor, adapter=adapter)
        return self._shown(adapter)

    def _shown(self, adapter: Adapter) -> Response:
        return self.answer(RecipeOut, recipe_selectors.of_adapter(adapter))
