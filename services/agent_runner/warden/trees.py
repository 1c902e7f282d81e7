"""The process trees that the warden owns: watched, frozen, ended, and proved empty before an end is
reported."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection

from services.agent_runner.warden import limits, waiter
from services.agent_runner.warden.attempt import NEVER, Attempt, Breach
from services.agent_runner.warden.fence import KILL_AT, Stage, fence
from services.agent_runner.warden.host import Host
from services.agent_runner.warden.limits import SAMPLE_SECONDS
from services.agent_runner.warden.news import News
from services.agent_runner.warden.protocol import Ended, Paused, Spawned
from services.agent_runner.warden.slots import Slots

# Everything is stopped, or the runner is: nobody is given longer than this, whatever the manifest says.
STOP_GRACE_SECONDS_MAX = 10.0
_KILL_AGAIN_SECONDS = 0.05
# A process that is still there this long after SIGKILL waits for a device; it is reported, and killed on.
_UNPROVED_AFTER_SECONDS = 5.0
_FREEZE_PASSES_MAX = 5
# Output up to this size travels with the news of the end.
_TOLD_BYTES_MAX = 1 << 14
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Trees:
    """All attempts of one warden. `look_at` is the boottime at which some deadline may have come."""

    def __init__(self, host: Host, slots: Slots, news: News, helpers: Collection[int] = ()) -> None:
        """`helpers` are children of this process that serve it, at any moment."""
        self._host = host
        self._slots = slots
        self._own_peak = 0
        self._news = news
        self._by_pid: dict[int, Attempt] = {}  # main processes that were not reaped: their pids cannot be used again
        self._by_tag: dict[int, Attempt] = {}
        self._adopted: dict[int, int] = {}  # orphans, with their tags
        self.attempts: dict[str, Attempt] = {}
        self._helpers = helpers
        self.unproved: list[Attempt] = []
        self.look_at = NEVER

    def add(self, attempt: Attempt) -> None:
        """Take charge of a tree that was just spawned."""
        self.attempts[attempt.start.key] = attempt
        self._by_pid[attempt.pid] = attempt
        self._by_tag[attempt.tag] = attempt
        self.look_at = min(self.look_at, attempt.started_at + SAMPLE_SECONDS)
        spawned = Spawned(attempt.start.key, attempt.pid, attempt.started_at, attempt.slot.index)
        self._news.spawned(spawned)

    def end(self, attempt: Attempt, breach: Breach, *, now: float, grace_seconds_max: float = NEVER) -> None:
        """SIGTERM to the tree, SIGKILL after its grace. The first cause stands; a later end can only shorten
        the grace."""
        kill_at = now + min(attempt.terms.grace, grace_seconds_max)
        if not attempt.ending:
            if attempt.status is None:
                attempt.breach = breach
            self._signal_tree(attempt, signal.SIGTERM)
            self._signal_tree(attempt, signal.SIGCONT)
            if attempt.frozen_at:
                attempt.note_thawed(now)
        attempt.kill_at = min(attempt.kill_at, kill_at)
        self.look_at = min(self.look_at, attempt.kill_at)

    def end_all(self, breach: Breach, *, now: float) -> None:
        """End every tree within `STOP_GRACE_SECONDS_MAX`."""
        for attempt in self.attempts.values():
            self.end(attempt, breach, now=now, grace_seconds_max=STOP_GRACE_SECONDS_MAX)

    # -- ends that happen --------------------------------------------------------------------------

    def reap(self, now: float) -> None:
        """Collect every child that has ended, ours or adopted, and settle the attempts that this may
        complete."""
        touched: dict[Attempt, None] = {}
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            attempt = self._by_pid.pop(pid, None)
            if attempt is not None:
                attempt.status, attempt.ended_at = status, now
                if attempt.waiter:
                    attempt.status = waiter.script_status(status)
                    # Before the first process of its tree is reaped, too, and nobody knows any more whose it was.
                    self._adopt()
            else:
                attempt = self._by_tag.get(self._adopted.pop(pid, -1))
            if attempt is not None and pid in (attempt.pid, attempt.init):
                # What the first process of a tree had waited for is not counted with the waiter outside.
                attempt.cpu_seconds += usage.ru_utime + usage.ru_stime
                attempt.peak_bytes = max(attempt.peak_bytes, self._peak_bytes(usage.ru_maxrss))
            if attempt is not None and attempt.status is not None:
                touched[attempt] = None
        if touched:
            self._adopt()
            for attempt in touched:
                self._settle(attempt, now)

    def _peak_bytes(self, maxrss: int) -> int:
        """The child's peak; -1 when it cannot be told: until its exec a child is counted with our own memory."""
        if maxrss > self._own_peak:
            self._own_peak = self._host.own_peak()  # it may have grown since we last looked
        return maxrss * _MAXRSS_UNIT if maxrss > self._own_peak else -1

    def _adopt(self) -> None:
        """Look at children that we did not spawn: what outlived its parent, whose tag says of which attempt
        it is.

        A tree whose main process was reaped is empty when none of our children is of it: whatever lives on of
        it either has a living parent of the tree, or has become our child.
        """
        for pid, tag in self._host.strays(self._by_pid.keys() | self._adopted.keys() | set(self._helpers)):
            owner = self._by_tag.get(tag)
            self._adopted[pid] = tag
            if owner is not None and owner.waiter and not owner.init:
                owner.init = pid
                owner.stragglers.update(set(self._host.members(tag)) - {pid, owner.pid})
            elif owner is not None:
                owner.stragglers.add(pid)
            else:
                # Of an attempt that was settled, or marked anew by a system of ours that ran inside a script.
                self._host.signal(pid, tag, signal.SIGKILL)

    def _settle(self, attempt: Attempt, now: float) -> None:
        if attempt.start.key not in self.attempts:
            return
        if attempt.init in self._adopted and not attempt.stragglers and not attempt.ending:
            # It has nobody left to wait for, and ends now.
            return
        if attempt.tag in self._adopted.values() or (attempt.ending and self._host.members(attempt.tag)):
            if not attempt.ending:
                self.end(attempt, Breach("exit", ""), now=now)
            self.look_at = min(self.look_at, now + _KILL_AGAIN_SECONDS)
            return
        self._finish(attempt, now, tree_dead=True)

    def _finish(self, attempt: Attempt, now: float, *, tree_dead: bool) -> None:
        slot, key = attempt.slot, attempt.start.key
        del self.attempts[key]
        attempt.output_seen = slot.output_bytes()
        if attempt.waiter:
            attempt.breach = waiter.breach(attempt)
        if tree_dead:
            del self._by_tag[attempt.tag]
            slot.tidy()
        else:
            self.unproved.append(attempt)
        reported = slot.has_report()
        # Nobody reads its output yet, and it is short: told here, it needs no reader, and the slot is free at once.
        told_whole = tree_dead and not reported and attempt.output_seen <= _TOLD_BYTES_MAX and self._news.untold(key)
        output = slot.read_output(attempt.output_seen) if told_whole else b""
        if told_whole:
            self._slots.release(slot.index)
        self._news.ended(
            Ended(
                key=key,
                slot=-1 if told_whole else slot.index,
                output=output,
                status=-1 if attempt.status is None else attempt.status,
                cause=attempt.breach.cause,
                sentence=attempt.breach.sentence,
                started_at=attempt.started_at,
                ended_at=attempt.ended_at,
                active_seconds=attempt.active_seconds(attempt.ended_at),
                cpu_seconds=attempt.cpu_seconds,
                peak_bytes=attempt.peak_bytes,
                output_bytes=attempt.output_seen,
                reported=reported,
                tree_dead=tree_dead,
                stragglers=len(attempt.stragglers),
            ),
            now,
        )

    # -- ends that we bring about ------------------------------------------------------------------

    def keep_deadlines(self, now: float) -> None:
        """Act on every deadline that has come, and find out when the next one may."""
        self.look_at = NEVER
        self._sample(now)
        for attempt in list(self.attempts.values()):
            self._follow_up(attempt, now) if attempt.ending else self._watch(attempt, now)
            due = attempt.kill_at if attempt.ending else self._due(attempt, now)
            # The grace has run out and it is still there: not proved dead yet.
            self.look_at = min(self.look_at, due if due > now else now + _KILL_AGAIN_SECONDS)
        for attempt in list(self.unproved):
            self._kill_on(attempt)
            self.look_at = min(self.look_at, now + SAMPLE_SECONDS)

    def _watch(self, attempt: Attempt, now: float) -> None:
        stage = fence(attempt.renewed_at, attempt.lease, now).stage
        if stage >= Stage.END:
            self._end_by_fence(attempt, now)
            return
        self._freeze_or_thaw(attempt, now, freeze=attempt.paused or stage is Stage.FREEZE)
        if attempt.frozen_at:
            return
        breach = limits.overtime(attempt, now)
        if breach is None and now - attempt.started_at >= SAMPLE_SECONDS:
            breach = limits.output_breach(attempt, now)
        if breach is not None:
            self.end(attempt, breach, now=now)

    def _end_by_fence(self, attempt: Attempt, now: float) -> None:
        self.end(attempt, Breach("fence", f"its lease of {attempt.lease:g} s was not renewed"), now=now)
        attempt.kill_at = min(now + attempt.lease, attempt.renewed_at + KILL_AT * attempt.lease)
        if attempt.kill_at <= now:
            self._follow_up(attempt, now)

    def _follow_up(self, attempt: Attempt, now: float) -> None:
        attempt.kill_at = min(attempt.kill_at, attempt.renewed_at + KILL_AT * attempt.lease)
        if attempt.status is not None and not self._host.members(attempt.tag):
            self._finish(attempt, now, tree_dead=True)
        elif now >= attempt.kill_at:
            self._signal_tree(attempt, signal.SIGKILL)
            attempt.unproved_at = min(attempt.unproved_at, now + _UNPROVED_AFTER_SECONDS)
            if now >= attempt.unproved_at:
                attempt.ended_at = attempt.ended_at or now
                self._finish(attempt, now, tree_dead=False)

    def _kill_on(self, attempt: Attempt) -> None:
        self._signal_tree(attempt, signal.SIGKILL)
        if not self._host.members(attempt.tag):
            self.unproved.remove(attempt)
            del self._by_tag[attempt.tag]

    def _due(self, attempt: Attempt, now: float) -> float:
        """When a running attempt has to be looked at again."""
        next_stage = fence(attempt.renewed_at, attempt.lease, now).next_at
        if attempt.frozen_at:
            return next_stage
        timeout = attempt.terms.timeout
        time_left = timeout - attempt.active_seconds(now) if timeout else NEVER
        return min(next_stage, now + time_left, now + SAMPLE_SECONDS)

    def _sample(self, now: float) -> None:
        """Look at memory and processes of what has run for a while; short tasks never cost a pass over
        /proc."""
        old = {
            attempt.tag: attempt
            for attempt in self.attempts.values()
            if now - attempt.started_at >= SAMPLE_SECONDS
            and not attempt.frozen_at
            and not attempt.ending
            and (attempt.terms.memory_bytes or attempt.terms.processes_max)
        }
        if not old:
            return
        for tag, use in self._host.use(old).items():
            breach = limits.tree_breach(old[tag], use, self._host.proportional_bytes)
            if breach is not None:
                self.end(old[tag], breach, now=now)

    def _freeze_or_thaw(self, attempt: Attempt, now: float, *, freeze: bool) -> None:
        if freeze and not attempt.frozen_at:
            seen: set[int] = set()
            for _ in range(_FREEZE_PASSES_MAX):
                self._signal_tree(attempt, signal.SIGSTOP)
                # A process may have been born between the look and the signal; it shows in the next look.
                found = set(self._host.members(attempt.tag))
                if found <= seen:
                    break
                seen = found
            attempt.frozen_at = now
        elif attempt.frozen_at and not freeze:
            self._signal_tree(attempt, signal.SIGCONT)
            attempt.note_thawed(now)
        if attempt.paused != attempt.told_paused:
            attempt.told_paused = attempt.paused
            self._news.tell(Paused(attempt.start.key, attempt.paused))

    def _signal_tree(self, attempt: Attempt, signum: signal.Signals) -> None:
        """Signal the group at once, so that no fork slips through, then what has left the group."""
        group = -1
        if attempt.waiter and signum == signal.SIGTERM:
            # The script is asked to end; who waits for it has to go on until it has.
            for pid in self._host.members(attempt.tag):
                if pid != attempt.pid:
                    self._host.signal(pid, attempt.tag, signum)
            return
        if attempt.status is None:
            # Not reaped yet, so nobody else can have this number.
            group = attempt.pid
            os.killpg(group, signum)
        for pid in self._host.members(attempt.tag):
            if group == -1 or _group_of(pid) != group:
                self._host.signal(pid, attempt.tag, signum)


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
