"""Reports: what agents have published, and of these the coverage."""

from __future__ import annotations

from flask import Response

from gateway import convert
from gateway.answering import area, reply
from gateway.schemas import answers
from gateway.schemas.documented import answers as documented
from gateway.schemas.requests import ReportQuery
from gateway.state import caller

routes = area("reports")


@routes.get("/reports", responses=documented({200: answers.Reports}))
def list_reports(query: ReportQuery) -> Response:
    """The latest report per project and type, newest first."""
    reports = caller().coordinator(
        lambda coordinator, left: coordinator.list_reports(type=query.type, project=query.project, deadline=left)
    )
    return reply(answers.Reports(reports=[convert.report(report) for report in reports]))


@routes.get("/coverage/status", responses=documented({200: answers.CoverageStatus}))
def coverage_status() -> Response:
    """The latest coverage per project; null, with the reason, as long as nobody has published any."""
    reports = caller().coordinator(lambda coordinator, left: coordinator.list_reports(type="coverage", deadline=left))
    if not reports:
        return reply(
            answers.CoverageStatus(
                coverage=None,
                reason="No agent has published a coverage report yet.",
                remedy="Run an agent that publishes a report of the type coverage.",
            )
        )
    coverage = [convert.coverage(report) for report in reports]
    return reply(answers.CoverageStatus(coverage=coverage, reason=None, remedy=None))
