"""What an attempt's end means, and what becomes of its task: the table of failure classes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from foundation.errors import Conflict
from services.coordinator.domain.task import (
    Measured,
    Task,
    TaskState,
    again,
    await_decision,
    check_fence,
    end,
    hand_back,
)

EXIT_TEMPORARY = 75  # EX_TEMPFAIL of sysexits.h
EXIT_CONFIGURATION = frozenset({78, 126, 127})  # EX_CONFIG; found but not executable; not found
SERVICE_CALM = timedelta(hours=1)  # a runner that is lost later than this was lost by chance
SIGNALS_FROM_OUTSIDE = frozenset({9, 15})  # KILL and TERM that the warden did not send


class EndCause(StrEnum):
    """How the warden says that an attempt came to its end."""

    EXIT = "exit"
    TIMEOUT = "timeout"
    IDLE = "idle"
    MEMORY = "memory"
    PROCESSES = "processes"
    OUTPUT = "output"
    CANCEL = "cancel"
    POLICY = "policy"
    FENCE = "fence"
    HANDED_BACK = "handed_back"
    SPAWN_RESOURCES = "spawn_resources"
    SPAWN_CONFIGURATION = "spawn_configuration"
    CPU_TIME = "cpu_time"
    FILES = "files"
    DISK = "disk"
    SERVICE_HELD = "service_held"


class FailureClass(StrEnum):
    """The classes of SEMANTICS §3; each has one rule for what happens next."""

    INFRASTRUCTURE = "infrastructure"
    SCRIPT = "script"
    TIMEOUT = "timeout"
    RESOURCE = "resource"
    CONFIGURATION = "configuration"
    POLICY = "policy"
    CANCEL = "cancel"
    SERVICE = "service"
    """A service that ended too often: its restarts have a rule of their own, and feed no other."""

    @property
    def counted(self) -> bool:
        """Breaker and error budget count it as the agent's own fault."""
        return self in _COUNTED


_COUNTED = frozenset({FailureClass.SCRIPT, FailureClass.TIMEOUT, FailureClass.RESOURCE, FailureClass.CONFIGURATION})

_CLASS_OF_CAUSE = {
    EndCause.TIMEOUT: FailureClass.TIMEOUT,
    EndCause.IDLE: FailureClass.TIMEOUT,
    EndCause.MEMORY: FailureClass.RESOURCE,
    EndCause.PROCESSES: FailureClass.RESOURCE,
    EndCause.OUTPUT: FailureClass.RESOURCE,
    EndCause.CANCEL: FailureClass.CANCEL,
    EndCause.POLICY: FailureClass.POLICY,
    EndCause.FENCE: FailureClass.INFRASTRUCTURE,
    EndCause.HANDED_BACK: FailureClass.INFRASTRUCTURE,
    EndCause.SPAWN_RESOURCES: FailureClass.INFRASTRUCTURE,
    EndCause.SPAWN_CONFIGURATION: FailureClass.CONFIGURATION,
    EndCause.CPU_TIME: FailureClass.RESOURCE,
    EndCause.FILES: FailureClass.RESOURCE,
    EndCause.DISK: FailureClass.RESOURCE,
    EndCause.SERVICE_HELD: FailureClass.SERVICE,
}

# An attempt that was never spawned cannot end like this.
_ENDS_OF_A_PROCESS = frozenset(
    {
        *(EndCause.EXIT, EndCause.TIMEOUT, EndCause.IDLE, EndCause.MEMORY, EndCause.PROCESSES, EndCause.OUTPUT),
        *(EndCause.CPU_TIME, EndCause.FILES, EndCause.DISK, EndCause.SERVICE_HELD),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """One attempt's end as its runner reports it."""

    cause: EndCause
    sentence: str = ""
    measured: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """Delays between attempts. `ceiling` bounds what a manifest or a caller may ask for (MAX_RETRIES)."""

    ceiling: int = 3
    script_first: timedelta = timedelta(seconds=30)
    script_cap: timedelta = timedelta(minutes=5)
    infrastructure_first: timedelta = timedelta(seconds=5)
    infrastructure_cap: timedelta = timedelta(minutes=10)
    losses_max: int = 3

    def retries(self, asked: int, *, halved: bool) -> int:
        """How many retries a task has that asked for so many; `halved` by an error budget that is nearly spent."""
        return min(asked, self.ceiling) // (2 if halved else 1)

    def script_delay(self, failures: int) -> timedelta:
        """Delay after the n-th failure of its own: doubling, without jitter below the cap's half."""
        return min(self.script_first * (1 << min(failures - 1, 20)), self.script_cap)

    def infrastructure_delay(self, deferrals: int, chance: float) -> timedelta:
        """Full jitter, so that a fleet does not come back as one: `chance` in [0, 1) of the bound."""
        return min(self.infrastructure_first * (1 << min(deferrals - 1, 20)), self.infrastructure_cap) * chance


def classify(ended: AttemptEnd) -> FailureClass | None:
    """Return the class of a failure; None for a success: a process that exited 0 by itself, nothing else."""
    if ended.cause is not EndCause.EXIT:
        return _CLASS_OF_CAUSE[ended.cause]
    code, signal = ended.measured.exit_code, ended.measured.signal
    if signal is not None:
        return FailureClass.INFRASTRUCTURE if killed_from_outside(ended) else FailureClass.SCRIPT
    if code == 0:
        return None
    if code == EXIT_TEMPORARY:
        return FailureClass.INFRASTRUCTURE
    return FailureClass.CONFIGURATION if code in EXIT_CONFIGURATION else FailureClass.SCRIPT


def killed_from_outside(ended: AttemptEnd) -> bool:
    """Whether somebody else than the warden ended it with KILL or TERM."""
    return ended.cause is EndCause.EXIT and ended.measured.signal in SIGNALS_FROM_OUTSIDE


def describe(ended: AttemptEnd) -> str:
    """Say in a sentence how an attempt ended."""
    if ended.sentence:
        return ended.sentence
    if killed_from_outside(ended):
        return f"Ended by signal {ended.measured.signal} from outside."
    if ended.measured.signal is not None:
        return f"Ended by signal {ended.measured.signal}."
    return f"Exited with {ended.measured.exit_code}."


def settle(
    task: Task,
    fence: int,
    ended: AttemptEnd,
    rule: RetryRule,
    *,
    chance: float,
    now: datetime,
    retries_halved: bool = False,
) -> Task:
    """Decide what becomes of a task whose attempt has ended.

    Raises Stale unless the reporter still holds the task, and Conflict for the exit of what never started.
    `chance` in [0, 1) is the jitter's random number; `retries_halved`: an error budget asks for it.
    """
    check_fence(task, fence)
    if task.state is TaskState.QUEUED and ended.cause in _ENDS_OF_A_PROCESS:
        raise Conflict("not_started", f"Task {task.id} has not started, so no process of it can have ended.")
    kind, said, measured = classify(ended), describe(ended), ended.measured
    if task.cancel_requested or kind is FailureClass.CANCEL:
        reason = task.reason or said
        return end(task, TaskState.CANCELLED, reason=reason, measured=measured, now=now)
    match kind:
        case None:
            return end(task, TaskState.SUCCEEDED, reason="", measured=measured, now=now)
        case FailureClass.SCRIPT:
            return _after_script(task, said, measured, rule, retries_halved, now)
        case FailureClass.TIMEOUT:
            return _after_timeout(task, said, measured, rule, now)
        case FailureClass.RESOURCE | FailureClass.SERVICE:
            return end(task, TaskState.FAILED, reason=said, measured=measured, now=now)
        case FailureClass.CONFIGURATION:
            return end(task, TaskState.DEAD, reason=said, measured=measured, now=now)
        case FailureClass.INFRASTRUCTURE | FailureClass.POLICY:
            return _after_interruption(task, ended, said, rule, chance, now)
    raise AssertionError(kind)


def leave_unrecorded(task: Task, fence: int, fault: str, *, over: bool, now: datetime) -> Task:
    """Its attempt has ended, and how cannot be recorded: whether it may run again is a person's to say, for the next
    end may be like this one. `over`: it is not to run again in any case."""
    check_fence(task, fence)
    said = f"Its attempt has ended, and how could not be recorded ({fault})."
    if task.cancel_requested:
        return end(task, TaskState.CANCELLED, reason=said, measured=task.measured, now=now)
    if over:
        return end(task, TaskState.FAILED, reason=said, measured=task.measured, now=now)
    return await_decision(task, reason=said, measured=task.measured, now=now)


def lose(task: Task, fence: int, rule: RetryRule, *, unbegun: bool = False, now: datetime) -> Task:
    """Its runner is gone and its lease has run out.

    An attempt that was never spawned goes back as if nothing had happened, also one that may have been where it may be
    repeated: its runner tells of a start only some hundredths of a second later. What must not run twice goes back only
    when it is known to be `unbegun`. A started one follows `effects`; the third loss makes it dead whatever they are,
    because a task that takes three runners with it is likely their killer.
    """
    check_fence(task, fence)
    if task.cancel_requested:
        reason = task.reason or "Cancelled; its runner was lost meanwhile."
        return end(task, TaskState.CANCELLED, reason=reason, measured=task.measured, now=now)
    if task.state is TaskState.QUEUED:
        if unbegun or task.effects.repeatable:
            return hand_back(task, fence, reason="Its runner was lost before it started.", now=now)
        said = f"Its runner {task.holder} was lost before it said whether it had begun."
        return await_decision(task, reason=_undecided(said), measured=task.measured, now=now)
    losses = task.losses + 1
    said = f"Its runner {task.holder} was lost while it ran (loss {losses} of {rule.losses_max})."
    if losses >= rule.losses_max:
        return end(task, TaskState.DEAD, reason=said, measured=task.measured, now=now, losses=losses)
    if not task.effects.repeatable:
        return await_decision(task, reason=_undecided(said), measured=task.measured, now=now, losses=losses)
    return again(task, reason=said, measured=task.measured, not_before=None, now=now, losses=losses)


def lose_service(task: Task, fence: int, rule: RetryRule, *, ran: timedelta, chance: float, now: datetime) -> Task:
    """As `lose`, for a service, which has all the time in the world to lose runners that it has not harmed.

    So it is never dead of them. One that was lost soon after its start, again and again, is started again more and more
    seldom instead; `ran` for an hour, it begins anew.
    """
    check_fence(task, fence)
    if task.cancel_requested or task.state is TaskState.QUEUED:
        return lose(task, fence, rule, now=now)
    deferrals = 1 if ran >= SERVICE_CALM else task.deferrals + 1
    said = f"Its runner {task.holder} was lost while it ran."
    if not task.effects.repeatable:
        return await_decision(task, reason=_undecided(said), measured=task.measured, now=now, deferrals=deferrals)
    delay = rule.infrastructure_delay(deferrals - 1, chance) if deferrals > 1 else None
    not_before = None if delay is None else now + delay
    return again(task, reason=said, measured=task.measured, not_before=not_before, now=now, deferrals=deferrals)


def _after_script(
    task: Task, said: str, measured: Measured, rule: RetryRule, retries_halved: bool, now: datetime
) -> Task:
    failures = task.failures + 1
    if failures > rule.retries(task.retries, halved=retries_halved):
        if failures <= rule.retries(task.retries, halved=False):
            said = f"{said} Its retries were halved: an error budget is nearly spent (`quantum budget`)."
        return end(task, TaskState.FAILED, reason=said, measured=measured, now=now, failures=failures)
    not_before = now + rule.script_delay(failures)
    return again(task, reason=said, measured=measured, not_before=not_before, now=now, failures=failures)


def _after_timeout(task: Task, said: str, measured: Measured, rule: RetryRule, now: datetime) -> Task:
    timeouts = task.timeouts + 1
    if timeouts > 1 or not task.effects.repeatable:
        return end(task, TaskState.FAILED, reason=said, measured=measured, now=now, timeouts=timeouts)
    not_before = now + rule.script_delay(1)
    return again(task, reason=said, measured=measured, not_before=not_before, now=now, timeouts=timeouts)


def _after_interruption(
    task: Task, ended: AttemptEnd, said: str, rule: RetryRule, chance: float, now: datetime
) -> Task:
    """Something other than the script's own doing ended it: no retry is consumed, `effects` alone decides."""
    measured, short = ended.measured, ended.cause is EndCause.SPAWN_RESOURCES
    if task.state is TaskState.QUEUED and not short:
        return hand_back(task, task.fence, reason=said, now=now)  # as a lease that comes back by itself
    if not (task.effects.repeatable or short):
        return await_decision(task, reason=_undecided(said), measured=measured, now=now)
    if ended.cause in (EndCause.POLICY, EndCause.HANDED_BACK):
        return again(task, reason=said, measured=measured, not_before=None, now=now)
    deferrals = task.deferrals + 1
    not_before = now + rule.infrastructure_delay(deferrals, chance)
    return again(task, reason=said, measured=measured, not_before=not_before, now=now, deferrals=deferrals)


def _undecided(said: str) -> str:
    ended = f"{said[:1].upper()}{said[1:]}" + ("" if said.endswith((".", "!", "?")) else ".")
    return f'{ended} It may have had effects (effects = "once"), so a person decides: `quantum decide`.'
