"""Between the wire's messages and our values, for merge checks."""

from foundation.errors import FieldFault, Invalid
from protos.coordinator.v1 import merges_pb2 as pb
from services.coordinator.app.merges import Shown
from services.coordinator.app.merges_start import Asked
from services.coordinator.convert import optional_timestamp, timestamp
from services.coordinator.domain.merge_check import Action, Event, Stage, Verdict
from services.coordinator.domain.merge_freedom import Freedom, Freeness

EVENTS = {event: getattr(pb, f"MERGE_EVENT_{event.name}") for event in Event}
VERDICTS = {verdict: getattr(pb, f"MERGE_VERDICT_{verdict.name}") for verdict in Verdict}
ACTIONS = {action: getattr(pb, f"MERGE_ACTION_{action.name}") for action in Action}
STAGES = {stage: getattr(pb, f"MERGE_CHECK_STATE_{stage.name}") for stage in Stage}
FREENESSES = {freeness: getattr(pb, f"MERGE_FREENESS_{freeness.name}") for freeness in Freeness}
_EVENTS_FROM = {number: event for event, number in EVENTS.items()}
FOLDER_MAX = 4096


def asked_from(request: pb.StartMergeCheckRequest) -> Asked:
    """Raises Invalid for an event that is none, and for a folder that cannot be one."""
    event = _EVENTS_FROM.get(request.event)
    if event is None:
        fault = FieldFault("event", "is missing, or not known here")
        raise Invalid("bad_event", "A merge check needs to know what has happened.", fields=(fault,))
    if len(request.folder) > FOLDER_MAX or "\0" in request.folder:
        raise Invalid("bad_folder", "This is no folder.", fields=(FieldFault("folder", "is no path"),))
    return Asked(
        repository=request.repository_id,
        folder=request.folder,
        event=event,
        old=request.old_commit,
        new=request.new_commit,
        topic=request.topic,
        background=request.background,
    )


def check_to(shown: Shown, freedom_reason: str = "") -> pb.MergeCheck:
    """A check as it stands."""
    check = shown.check
    return pb.MergeCheck(
        id=check.id,
        repository_id=check.repository,
        folder=check.folder,
        project=check.project,
        event=EVENTS[check.event],
        branch=check.branch,
        old_commit=check.old,
        new_commit=check.new,
        state=STAGES[shown.stage],
        progress=shown.progress,
        verdict=pb.MERGE_VERDICT_UNSPECIFIED if check.verdict is None else VERDICTS[check.verdict],
        action=pb.MERGE_ACTION_UNSPECIFIED if check.action is None else ACTIONS[check.action],
        sentence=check.sentence,
        undo=check.undo,
        task_id=check.task_id,
        created_at=timestamp(check.created_at),
        ended_at=optional_timestamp(check.ended_at),
        evidence_json=check.evidence.encode(),
        only_report_reason=check.only_report,
        undone_at=optional_timestamp(check.undone_at),
        freedom_reason=freedom_reason,
    )


def freedom_to(freedom: Freedom) -> pb.GetMergeFreedomResponse:
    """Whether merges are free; what to do about it stands behind the reason."""
    reason = f"{freedom.reason} {freedom.remedy}".strip()
    return pb.GetMergeFreedomResponse(freeness=FREENESSES[freedom.freeness], reason=reason)
