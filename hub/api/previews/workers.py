"""``/workers``: processes that run jobs, for administrators."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import Choice, Endpoint, Input, paging, serialized
from hub.operations.worker_status import (
    BaseStatus,
    JobStatus,
    WorkerStatus,
    worker_status,
    worker_statuses,
)
from registry.accounts import permissions
from registry.jobs import workers
from registry.models import JobState, WorkerWish


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
    name = serializers.CharField(help_text="host:pid")
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
        """List workers by name, all on one page; for staff, with a token of the scope “admin”."""
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
