"""Messages of safety's contract to and from its own values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import assert_never

from google.protobuf.timestamp_pb2 import Timestamp

from foundation.errors import Invalid
from protos.safety.v1 import admission_pb2, breakers_pb2, mode_pb2, tokens_pb2
from services.safety.app.breakers import BreakerView
from services.safety.domain.admission import Decision
from services.safety.domain.attempt import AttemptKey, Candidate, Outcome, OutcomeKind
from services.safety.domain.book import BreakerChange
from services.safety.domain.breaker import (
    Closed,
    ForcedClosed,
    ForcedOpen,
    HalfOpen,
    Open,
    State,
    StateName,
)
from services.safety.domain.mode import Mode, ModeStatus
from services.safety.domain.renewal import Renewal, RenewalKind
from services.safety.domain.token import TokenRecord

_DETAIL_LENGTH_MAX = 200

_OUTCOME_KINDS: dict[admission_pb2.OutcomeKind, OutcomeKind] = {
    admission_pb2.OUTCOME_KIND_SUCCESS: OutcomeKind.SUCCESS,
    admission_pb2.OUTCOME_KIND_FAILURE: OutcomeKind.FAILURE,
    admission_pb2.OUTCOME_KIND_NEUTRAL: OutcomeKind.NEUTRAL,
}
_RENEWAL_KINDS = {
    RenewalKind.CONTINUE: admission_pb2.RENEWAL_KIND_CONTINUE,
    RenewalKind.PAUSE: admission_pb2.RENEWAL_KIND_PAUSE,
    RenewalKind.STOP: admission_pb2.RENEWAL_KIND_STOP,
}
_STATES = {
    StateName.CLOSED: breakers_pb2.BREAKER_STATE_CLOSED,
    StateName.OPEN: breakers_pb2.BREAKER_STATE_OPEN,
    StateName.HALF_OPEN: breakers_pb2.BREAKER_STATE_HALF_OPEN,
    StateName.FORCED_OPEN: breakers_pb2.BREAKER_STATE_FORCED_OPEN,
    StateName.FORCED_CLOSED: breakers_pb2.BREAKER_STATE_FORCED_CLOSED,
}
_MODES: dict[mode_pb2.Mode, Mode] = {
    mode_pb2.MODE_NORMAL: Mode.NORMAL,
    mode_pb2.MODE_GUARDED: Mode.GUARDED,
    mode_pb2.MODE_DRAIN: Mode.DRAIN,
    mode_pb2.MODE_FROZEN: Mode.FROZEN,
    mode_pb2.MODE_STOPPED: Mode.STOPPED,
}
_MODES_OUT = {mode: wire for wire, mode in _MODES.items()}


def outcomes_in(messages: Iterable[admission_pb2.Outcome]) -> list[Outcome]:
    """The outcomes of a request; raises Invalid for one that does not say how the attempt ended."""
    return [_outcome_in(message) for message in messages]


def _outcome_in(message: admission_pb2.Outcome) -> Outcome:
    kind = _OUTCOME_KINDS.get(message.kind)
    if kind is None:
        raise Invalid("outcome_without_kind", f"The outcome of task {message.attempt.task_id} has no kind.")
    return Outcome(
        attempt=key_in(message.attempt),
        agent=message.agent,
        project=message.project,
        uses=tuple(message.uses),
        kind=kind,
        detail=(message.detail or message.failure_class)[:_DETAIL_LENGTH_MAX],
        epoch=message.epoch,
        misconfigured=message.failure_class == "configuration",
        held=message.failure_class == "service",
    )


def candidates_in(messages: Iterable[admission_pb2.Candidate]) -> list[Candidate]:
    """The candidates of a request."""
    return [
        Candidate(
            attempt=key_in(message.attempt),
            agent=message.agent,
            project=message.project,
            uses=tuple(message.uses),
            origin=message.origin,
            identified=message.identified,
        )
        for message in messages
    ]


def key_in(message: admission_pb2.AttemptKey) -> AttemptKey:
    """The attempt that a message names."""
    return AttemptKey(message.task_id, message.fence)


def decision_out(decision: Decision, credential: str = "") -> admission_pb2.Decision:
    """A decision; a refusal is shown by the scope that lasts longest, with every gate's sentence."""
    if decision.admitted:
        return admission_pb2.Decision(admitted=True, credential=credential)
    foremost = decision.foremost
    others = [refusal.reason for refusal in decision.refusals if refusal is not foremost]
    return admission_pb2.Decision(
        scope=foremost.scope,
        code=foremost.code,
        reason="; ".join((foremost.reason, *others)),
        ask_again_at=timestamp_out(foremost.ask_again_at),
    )


def renewal_out(renewal: Renewal) -> admission_pb2.Renewal:
    """The answer to a running attempt."""
    return admission_pb2.Renewal(
        kind=_RENEWAL_KINDS[renewal.kind],
        reason=renewal.reason,
        code=renewal.code,
        until=timestamp_out(renewal.until),
    )


def breaker_out(view: BreakerView) -> breakers_pb2.Breaker:
    """A breaker with its history."""
    breaker = view.breaker
    return breakers_pb2.Breaker(
        scope=breaker.scope,
        state=_STATES[breaker.state.name],
        consecutive_failures=breaker.consecutive,
        window_attempts=breaker.attempts,
        window_failures=breaker.failures,
        until=timestamp_out(_until(breaker.state)),
        epoch=breaker.epoch,
        reason=breaker.reason,
        probe_task_id=breaker.holder.task if breaker.holder else "",
        history=[_change_out(change) for change in view.history],
    )


def mode_in(wire: mode_pb2.Mode) -> Mode:
    """The mode that a request names; raises Invalid when it names none."""
    mode = _MODES.get(wire)
    if mode is None:
        raise Invalid(
            "no_mode", "The request names no mode.", remedy="NORMAL, GUARDED, DRAIN, FROZEN and STOPPED can be named."
        )
    return mode


def mode_out(status: ModeStatus) -> mode_pb2.ModeStatus:
    """The mode that holds."""
    return mode_pb2.ModeStatus(
        mode=_MODES_OUT[status.mode],
        reason=status.reason,
        actor=status.actor,
        since=timestamp_out(status.since),
        stop_file=status.stop_file,
    )


def token_out(record: TokenRecord) -> tokens_pb2.TokenInfo:
    """What may be shown of a token: everything but its digest."""
    return tokens_pb2.TokenInfo(
        id=record.id,
        name=record.name,
        scopes=sorted(record.scopes),
        created_at=timestamp_out(record.created_at),
        expires_at=timestamp_out(record.expires_at),
        last_used_at=timestamp_out(record.last_used_at),
        revoked_at=timestamp_out(record.revoked_at),
        runner=record.runner,
        used_at=timestamp_out(record.used_at),
    )


def timestamp_out(moment: datetime | None) -> Timestamp | None:
    """A wire timestamp; None stays None, which is an absent field."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp


def _change_out(change: BreakerChange) -> breakers_pb2.BreakerChange:
    return breakers_pb2.BreakerChange(
        at=timestamp_out(change.at),
        to=_STATES[change.after],
        reason=change.reason,
        actor=change.actor,
        **{"from": _STATES[change.before]},
    )


def _until(state: State) -> datetime | None:
    match state:
        case Open(deadline=deadline) | ForcedClosed(deadline=deadline):
            return deadline.at
        case Closed() | HalfOpen() | ForcedOpen():
            return None
        case _:
            assert_never(state)
