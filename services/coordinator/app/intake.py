"""Takes what runners report, settles whole batches of it in one transaction, and acknowledges after the commit."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from foundation.clock import Clock
from foundation.errors import Conflict, Exhausted, Stale, TimedOut, Unavailable
from foundation.ids import Randomness
from foundation.log import get_logger
from services.coordinator.app.alerts import not_recorded, note_alerts, tree_not_dead
from services.coordinator.app.attachments import Ack, Attachment
from services.coordinator.app.changes import Changes
from services.coordinator.app.family import release_children
from services.coordinator.app.footprints import Footprints
from services.coordinator.app.holdings import Holdings
from services.coordinator.app.merges_conclude import conclude_checks
from services.coordinator.app.outbox import Outbox
from services.coordinator.app.services import Services
from services.coordinator.domain import failure
from services.coordinator.domain import task as moves
from services.coordinator.domain.agent import CHECK_AGENT
from services.coordinator.domain.attempt import (
    AttemptEvent,
    Ended,
    Frozen,
    Returned,
    ServiceNews,
    Started,
    Unrecorded,
    What,
    unrecorded,
)
from services.coordinator.domain.error_report import report_of_end
from services.coordinator.domain.failure import FailureClass, RetryRule
from services.coordinator.domain.footprint import with_peaks
from services.coordinator.domain.report_document import read_document
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports import AgentHistory, Catalogue, Refusal, Report, Store, StoreTransaction
from services.coordinator.ports_safety import OutboxEntry

log = get_logger("coordinator")
HISTORY_LENGTH = 100
# Where many attempts end, more are about to: a commit for each few would cost more than the work itself. Nobody waits
# for it but the acknowledgement, because runners have their next leases at hand. When the last has ended, none waits.
FEW = 4
GATHER_SECONDS = 0.1


@dataclass(slots=True)
class Settled:
    """What one batch did: tasks changed, acknowledgements in the order of the events, and what safety must hear."""

    changed: list[Task]
    accepted: list[bool]
    posted: Sequence[OutboxEntry]
    peaks: Mapping[str, str]
    """The last known memory peaks of the agents that have just ended."""
    services: Sequence[tuple[Task, ServiceNews]] = ()


class Intake:
    """One batch at a time: while a batch is being committed the next one gathers."""

    def __init__(
        self,
        store: Store,
        changes: Changes,
        catalogue: Catalogue,
        rule: RetryRule,
        outbox: Outbox,
        holdings: Holdings,
        footprints: Footprints,
        services: Services,
        *,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._changes = changes
        self._catalogue = catalogue
        self._rule = rule
        self._outbox = outbox
        self._holdings = holdings
        self._footprints = footprints
        self._services = services
        self._clock = clock
        self._randomness = randomness
        self._all_in = asyncio.Event()
        self._waiting: list[tuple[Attachment, AttemptEvent]] = []
        self._wake = asyncio.Event()
        self.retries_halved: frozenset[str] = frozenset()
        """Scopes whose tasks get half their retries, by safety's newest answer; nothing before the first."""

    def put(self, attachment: Attachment, events: Sequence[AttemptEvent]) -> None:
        """Queue events of a runner, in the order in which they happened."""
        for event in events:
            self._waiting.append((attachment, event))
            if _is_end(event):
                self._holdings.end(event.task_id, event.fence, attachment.hello.name)
        if self._holdings.going_on:
            self._all_in.clear()
        else:
            self._all_in.set()
        self._wake.set()

    async def run(self) -> None:
        """Settle batches for ever. After an error of the store the runner, unanswered, sends its events again."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            if batch:
                await self._take(batch)
            if len(batch) > FEW:
                with suppress(TimeoutError):
                    async with asyncio.timeout(GATHER_SECONDS):
                        await self._all_in.wait()

    async def _take(self, batch: Sequence[tuple[Attachment, AttemptEvent]], *, again: bool = False) -> None:
        events = [(attachment.hello.name, event) for attachment, event in batch]
        try:
            settled = await self._store.write(lambda tx: self.settle(tx, events))
        except (Unavailable, Exhausted, TimedOut) as error:
            log.error(f"{len(batch)} reports of runners could not be recorded: {error}", action="settle_failed")
            return
        except Exception as fault:  # noqa: BLE001 - a fault of ours in one event must not keep all others waiting
            await self._take_apart(batch, fault, again=again)
            return
        self._outbox.posted(settled.posted)
        self._footprints.learn(settled.peaks)
        for (attachment, event), accepted in zip(batch, settled.accepted, strict=True):
            if _is_end(event):
                attachment.send(Ack(event.task_id, event.fence, accepted))
        _warn_of_killing([event for _, event in batch])
        self._changes.announce(settled.changed)
        for task, news in settled.services:
            self._services.hear(task, news)

    async def _take_apart(
        self, batch: Sequence[tuple[Attachment, AttemptEvent]], fault: Exception, *, again: bool
    ) -> None:
        """One event of these is the fault's: find it by halves, try it `again`, for the fault may pass, and put into
        its place that it cannot be recorded."""
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._take(batch[:middle])
            await self._take(batch[middle:])
            return
        if not again:
            await self._take(batch, again=True)
            return
        [(attachment, event)] = batch
        said = f"A {type(event).__name__.lower()} of task {event.task_id} cannot be recorded: {fault!r}"
        log.exception(said, action="event_not_recorded", error=fault, task=event.task_id)
        # Should that not be possible either, it stays unanswered: its runner tells it again, and nothing is lost.
        if isinstance(event, Unrecorded):
            await self._tell_of(event)
        else:
            await self._take([(attachment, unrecorded(event, fault))])

    async def _tell_of(self, event: Unrecorded) -> None:
        try:
            await self._store.write(lambda tx: note_alerts(tx, [not_recorded(event)]))
        except Exception as fault:
            said = f"People are not told of it: {fault!r}"
            log.exception(said, action="alert_not_noted", error=fault, task=event.task_id)

    def settle(self, tx: StoreTransaction, events: Sequence[tuple[str, AttemptEvent]]) -> Settled:
        """Apply (runner, event) pairs in order; a stale one is refused and recorded, and harms no other."""
        now = self._clock.now()
        before = tx.tasks(list({event.task_id for _, event in events}))
        current = dict(before)
        accepted, outcomes, ends, services, faults = [], [], [], [], []
        for runner, event in events:
            task = current.get(event.task_id)
            try:
                if task is None:
                    raise Stale("unknown_task", f"There is no task {event.task_id}.")
                if task.leased and task.holder != runner:
                    # Fences count up by one: whoever had an earlier attempt could name that of the next.
                    raise Stale("other_runner", f"Task {task.id} is leased to {task.holder}, not to {runner}.")
                after = self._apply(task, event, now=now)
            except (Stale, Conflict):
                accepted.append(False)
                _record_refusal(tx, task, runner, event, now)
                continue
            accepted.append(True)
            current[event.task_id] = after
            if isinstance(event, Ended):
                ends.append((after, event))
                if (report := report_of_end(task, after, event)) is not None:
                    tx.note_failed_attempt(report)
            elif isinstance(event, ServiceNews):
                services.append(event)
            elif isinstance(event, Unrecorded):
                faults.append(not_recorded(event))
            if _is_back(event) or _is_end(event):
                outcomes.append(self._outcome(task, event))
        moved = [(old, current[id]) for id, old in before.items() if current[id] is not old]
        tx.save(moved)
        changed = [after for _, after in moved]
        changed += release_children(tx, [task for task in changed if task.ended], now=now)
        peaks = self._keep_results(tx, ends)
        if checks := [(task, event) for task, event in ends if task.agent == CHECK_AGENT]:
            conclude_checks(tx, checks, now=now)
        # Also of a result that is refused: its processes are there all the same.
        alive = [tree_not_dead(who, end) for who, end in events if isinstance(end, Ended) and not end.tree_dead]
        note_alerts(tx, [*alive, *faults])
        told = [(current[news.task_id], news) for news in services]
        return Settled(changed, accepted, tx.post(outcomes), peaks, told)

    def _apply(self, task: Task, event: AttemptEvent, *, now: datetime) -> Task:
        match event:
            case Started():
                return moves.start(task, event.fence, at=event.at)
            case Returned():
                return moves.hand_back(task, event.fence, reason=event.reason, now=now)
            case Frozen(frozen=True):
                return moves.pause(task, event.fence, reason=event.reason)
            case Frozen():
                return moves.thaw(task, event.fence)
            case ServiceNews():
                moves.check_fence(task, event.fence)
                return task
            case Unrecorded():
                return _apply_unrecorded(task, event, now)
            case Ended():
                if task.state is TaskState.QUEUED and event.started_at is not None:
                    # The stream broke between the start and the end: the start is told by the result.
                    task = moves.start(task, event.fence, at=event.started_at)
                if task.deferrals and self._was_calm(task, event):
                    task = task._replace(deferrals=0)
                chance = 0.0 if event.end.measured.exit_code == 0 else self._randomness.uniform()
                halved = bool(self.retries_halved) and self._halves(task)
                return failure.settle(
                    task, event.fence, event.end, self._rule, chance=chance, now=now, retries_halved=halved
                )

    def _was_calm(self, task: Task, event: Ended) -> bool:
        """Whether it is a service that ran for long: what deferred its earlier attempts has nothing to do with it."""
        ran = event.end.measured.duration
        return ran is not None and ran >= failure.SERVICE_CALM and is_service(self._catalogue, task.agent)

    def _halves(self, task: Task) -> bool:
        spec = self._catalogue.agents().get(task.agent)
        uses = spec.uses if spec is not None else ()
        touched = {"fleet", f"agent:{task.agent}", f"project:{task.project}", *uses}
        return not self.retries_halved.isdisjoint(touched)

    def _outcome(self, task: Task, event: AttemptEvent) -> OutboxEntry:
        kind: FailureClass | None = FailureClass.INFRASTRUCTURE
        detail, epoch = "", 0
        match event:
            case Ended():
                kind, detail, epoch = failure.classify(event.end), failure.describe(event.end), event.epoch
            case Returned():
                detail = event.reason
            case Unrecorded():
                detail = event.fault
        if task.cancel_requested:
            kind = FailureClass.CANCEL
        now = self._clock.now()
        outcome = outcome_of(task, event.fence, kind, detail=detail, catalogue=self._catalogue, now=now)
        return outcome._replace(epoch=epoch) if epoch else outcome

    def _keep_results(self, tx: StoreTransaction, ends: Sequence[tuple[Task, Ended]]) -> Mapping[str, str]:
        if not ends:
            return {}
        peaks: defaultdict[str, list[int]] = defaultdict(list)
        marks: defaultdict[str, str] = defaultdict(str)
        last: dict[str, str] = {}
        for task, event in ends:
            # What an earlier attempt left goes, also when this one left nothing.
            if event.output_tail or event.report_fault or event.stragglers or task.attempt > 1:
                tx.put_output(task.id, event.output_tail, event.report_fault, event.stragglers)
            if event.report:
                publish(tx, task, event)
            kind = failure.classify(event.end)
            if not is_service(self._catalogue, task.agent):
                marks[task.agent] += "1" if kind is None else "0" if kind.counted else ""
            last[task.agent] = task.id
            if event.end.measured.memory_peak_bytes is not None:
                peaks[task.agent].append(event.end.measured.memory_peak_bytes)
        histories, learned = tx.histories(), {}
        for agent, task_id in last.items():
            before = histories.get(agent, AgentHistory(agent=agent))
            ended = (before.ends + marks[agent])[-HISTORY_LENGTH:]
            learned[agent] = with_peaks(before.peaks, peaks[agent])
            tx.record_history(AgentHistory(agent=agent, ends=ended, last_task_id=task_id, peaks=learned[agent]))
        return learned


def _apply_unrecorded(task: Task, event: Unrecorded, now: datetime) -> Task:
    match event.what:
        case What.NEWS:
            moves.check_fence(task, event.fence)
            return task
        case What.RETURN:
            said = f"It was handed back, and why could not be recorded ({event.fault})."
            return moves.hand_back(task, event.fence, reason=said, now=now)
        case What.END:
            if task.state is TaskState.QUEUED:
                task = moves.start(task, event.fence, at=now)
            # Whoever merged waits for a verdict, and another check is soon asked for.
            over = task.agent == CHECK_AGENT
            return failure.leave_unrecorded(task, event.fence, event.fault, over=over, now=now)


def _is_end(event: AttemptEvent) -> bool:
    """Whether its attempt is over, and the runner waits to hear that it was taken in."""
    return isinstance(event, Ended) or (isinstance(event, Unrecorded) and event.what is What.END)


def _is_back(event: AttemptEvent) -> bool:
    """Whether its lease has come back unspawned."""
    return isinstance(event, Returned) or (isinstance(event, Unrecorded) and event.what is What.RETURN)


def is_service(catalogue: Catalogue, agent: str) -> bool:
    """Whether an agent is kept alive, as its manifest says now."""
    spec = catalogue.agents().get(agent)
    return spec is not None and spec.is_service


def outcome_of(
    task: Task, fence: int, kind: FailureClass | None, *, detail: str, catalogue: Catalogue, now: datetime
) -> OutboxEntry:
    """What safety is to hear of an attempt's end. How a service fares has a rule of its own, and counts nowhere."""
    spec = catalogue.agents().get(task.agent)
    counted = kind is not None and kind.counted and not (spec is not None and spec.is_service)
    return OutboxEntry(
        task_id=task.id,
        fence=fence,
        agent=task.agent,
        project=task.project,
        uses=spec.uses if spec is not None else (),
        failure_class="" if kind is None else kind.value,
        counted=counted,
        detail="" if kind is None else detail,
        finished_at=now,
    )


def publish(tx: StoreTransaction, task: Task, event: Ended) -> None:
    """Keep an attempt's report. The runner has checked its shape; what is still wrong is logged, never raised."""
    try:
        document = read_document(event.report)
        if not isinstance(document, dict):
            raise TypeError("it is no object")
        report = Report(
            type=str(document["type"]),
            project=str(document.get("project") or task.project),
            summary=str(document.get("summary", "")),
            data=json.dumps(document.get("data") or {}),
            task_id=task.id,
            agent=task.agent,
            published_at=event.finished_at,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        log.warning(f"The report of task {task.id} cannot be read: {fault!r}.", action="report_unreadable")
        return
    tx.publish(report)


def _warn_of_killing(events: Sequence[AttemptEvent]) -> None:
    """Tell whoever reached for `pkill` of the verbs after which tasks stay ended."""
    killed = [event for event in events if isinstance(event, Ended) and failure.killed_from_outside(event.end)]
    if killed:
        log.warning(
            f"Killed from outside: {len(killed)} running. Tasks that may run again do so; `quantum cancel` and "
            "`quantum stop --all` end them for good.",
            action="killed_from_outside",
            tasks=[event.task_id for event in killed[:10]],
        )


def _record_refusal(tx: StoreTransaction, task: Task | None, runner: str, event: AttemptEvent, now: datetime) -> None:
    held = task.fence if task is not None else 0
    tx.refuse(
        Refusal(
            task_id=event.task_id,
            fence=event.fence,
            held_fence=held,
            runner=runner,
            what=type(event).__name__.lower(),
            at=now,
        )
    )
    log.warning(
        f"Runner {runner} reported on task {event.task_id} under fence {event.fence}, no longer held: refused.",
        action="stale_fence_refused",
        task=event.task_id,
    )
