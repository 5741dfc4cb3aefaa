"""``/packs/{owner}/{name}/versions/{version}/report``: the look report of a variant."""

from __future__ import annotations

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import Query, TextParameter
from hub.api.packs.versions import PackVersionEndpoint
from hub.api.previews.reports import ReportOut
from previews.packs import selectors as sheets
from previews.reports import selectors
from registry.errors import NotFound
from registry.models import VersionState
from registry.packs import selectors as pack_selectors


class ReportQuery(Query):
    """Parameters of a report."""

    variant = TextParameter(100, "A variant; by default the first with a report.")


class PackReportOut(ReportOut):
    """The look report of a variant's cover sheet.

    `leak` is null, because a pack always adds its own words to the prompt.
    """

    variant = serializers.CharField(source="render.variant")


class PackReport(PackVersionEndpoint):
    """The look report of a version."""

    @extend_schema(
        operation_id="pack_reports_get",
        tags=["packs"],
        parameters=[ReportQuery],
        responses=PackReportOut,
    )
    def get(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Return the look report of a variant, measured from its cover sheet.

        `consistency` and `subject_kept` compare the subjects with the pack and without it; `leak`
        and `drift` are null. A worker measures it after the sheet, if its base model has an
        encoder; videos are not measured.
        """
        row = self.version(owner, name, version)
        if row.state == VersionState.WITHDRAWN:
            raise pack_selectors.gone_version(row)
        report = sheets.report_of(self.viewer, row, self.query(ReportQuery)["variant"])
        if report is None:
            raise NotFound(_("There is no look report of this variant yet."))
        pictures = selectors.pictures_of(report)
        return self.answer(PackReportOut, report, pictures=pictures, range=None)
