"""Safety's messages to and from the client's values."""

from __future__ import annotations

from clients.safety_values import (
    Admission,
    BreakerChangeView,
    BreakerView,
    Candidate,
    ModeStatus,
    Outcome,
    OutcomeKind,
    Renewal,
    Renewals,
    TokenView,
    Verdict,
)
from clients.wire_values import moment_in, to_timestamp
from foundation.errors import FieldFault, Internal, Invalid
from protos.safety.v1 import admission_pb2, breakers_pb2, mode_pb2, tokens_pb2

_KINDS = {
    OutcomeKind.SUCCESS: admission_pb2.OUTCOME_KIND_SUCCESS,
    OutcomeKind.FAILURE: admission_pb2.OUTCOME_KIND_FAILURE,
    OutcomeKind.NEUTRAL: admission_pb2.OUTCOME_KIND_NEUTRAL,
}
_ACTIONS = {
    admission_pb2.RENEWAL_KIND_CONTINUE: "continue",
    admission_pb2.RENEWAL_KIND_PAUSE: "pause",
    admission_pb2.RENEWAL_KIND_STOP: "stop",
}
_MODES: dict[str, mode_pb2.Mode] = {
    "NORMAL": mode_pb2.MODE_NORMAL,
    "GUARDED": mode_pb2.MODE_GUARDED,
    "DRAIN": mode_pb2.MODE_DRAIN,
    "FROZEN": mode_pb2.MODE_FROZEN,
    "STOPPED": mode_pb2.MODE_STOPPED,
}


def outcome_to(outcome: Outcome) -> admission_pb2.Outcome:
    """An outcome on the wire."""
    return admission_pb2.Outcome(
        attempt=admission_pb2.AttemptKey(task_id=outcome.task_id, fence=outcome.fence),
        agent=outcome.agent,
        project=outcome.project,
        uses=outcome.uses,
        kind=_KINDS[outcome.kind],
        failure_class=outcome.failure_class,
        detail=outcome.detail,
        finished_at=to_timestamp(outcome.finished_at),
        epoch=outcome.epoch,
    )


def candidate_to(candidate: Candidate) -> admission_pb2.Candidate:
    """A candidate on the wire."""
    return admission_pb2.Candidate(
        attempt=admission_pb2.AttemptKey(task_id=candidate.task_id, fence=candidate.fence),
        agent=candidate.agent,
        project=candidate.project,
        uses=candidate.uses,
        origin=candidate.origin,
        identified=candidate.identified,
    )


def admission_from(message: admission_pb2.AdmitResponse) -> Admission:
    """The answer to a batch."""
    return Admission(
        verdicts=tuple(_verdict_from(decision) for decision in message.decisions),
        mode=message.mode,
        epoch=message.epoch,
        retries_halved=frozenset(message.retries_halved),
    )


_ADMITTED = Verdict(admitted=True)


def _verdict_from(message: admission_pb2.Decision) -> Verdict:
    if message.admitted:
        return Verdict(admitted=True, credential=message.credential) if message.credential else _ADMITTED
    return Verdict(
        admitted=False,
        scope=message.scope,
        code=message.code,
        reason=message.reason,
        ask_again_at=moment_in(message, "ask_again_at"),
    )


def renewals_from(message: admission_pb2.RenewResponse) -> Renewals:
    """The answers to running attempts; raises Internal for an answer that says nothing."""
    renewals = []
    for renewal in message.renewals:
        action = _ACTIONS.get(renewal.kind)
        if action is None:
            raise Internal("bad_answer", "Safety answered a renewal with something that this version does not know.")
        renewals.append(
            Renewal(action=action, code=renewal.code, reason=renewal.reason, until=moment_in(renewal, "until"))
        )
    return Renewals(renewals=tuple(renewals), mode=message.mode, epoch=message.epoch)


def breaker_from(message: breakers_pb2.Breaker) -> BreakerView:
    """A breaker with its history."""
    return BreakerView(
        scope=message.scope,
        state=_state_from(message.state),
        consecutive_failures=message.consecutive_failures,
        window_attempts=message.window_attempts,
        window_failures=message.window_failures,
        until=moment_in(message, "until"),
        epoch=message.epoch,
        reason=message.reason,
        probe_task_id=message.probe_task_id,
        history=tuple(_change_from(change) for change in message.history),
    )


def _change_from(message: breakers_pb2.BreakerChange) -> BreakerChangeView:
    at = moment_in(message, "at")
    if at is None:
        raise Internal("bad_answer", "Safety sent a change of a breaker without its time.")
    return BreakerChangeView(
        at=at,
        before=_state_from(getattr(message, "from")),
        after=_state_from(message.to),
        reason=message.reason,
        actor=message.actor,
    )


def _state_from(state: breakers_pb2.BreakerState) -> str:
    return breakers_pb2.BreakerState.Name(state).removeprefix("BREAKER_STATE_").lower()


def mode_to(mode: str) -> mode_pb2.Mode:
    """The mode of an upper-case word; raises Invalid for a word that is none."""
    wire = _MODES.get(mode)
    if wire is None:
        words = ", ".join(_MODES)
        fault = FieldFault("mode", f"can be {words}")
        raise Invalid("bad_mode", f"There is no mode {mode!r}; there are {words}.", fields=(fault,))
    return wire


def mode_from(message: mode_pb2.ModeStatus) -> ModeStatus:
    """The mode that holds."""
    return ModeStatus(
        mode=mode_pb2.Mode.Name(message.mode).removeprefix("MODE_"),
        reason=message.reason,
        actor=message.actor,
        since=moment_in(message, "since"),
        stop_file=message.stop_file,
    )


def token_from(message: tokens_pb2.TokenInfo) -> TokenView:
    """What may be known of a token."""
    return TokenView(
        id=message.id,
        name=message.name,
        scopes=frozenset(message.scopes),
        created_at=moment_in(message, "created_at"),
        expires_at=moment_in(message, "expires_at"),
        last_used_at=moment_in(message, "last_used_at"),
        revoked_at=moment_in(message, "revoked_at"),
        runner=message.runner,
        used_at=moment_in(message, "used_at"),
    )
