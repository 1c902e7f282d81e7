"""The process trees that the warden owns: watched, frozen, ended, and proved empty before an end is
reported."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from itertools import islice

from foundation.clock import Clock
from services.agent_runner.warden import limits, waiter
from services.agent_runner.warden.attempt import NEVER, Attempt, Breach
from services.agent_runner.warden.cgroups import Cell
from services.agent_runner.warden.fence import KILL_AT, Stage, fence
from services.agent_runner.warden.host import About, Host
from services.agent_runner.warden.limits import SAMPLE_SECONDS
from services.agent_runner.warden.news import News
from services.agent_runner.warden.protocol import Ended, Paused, Spawned
from services.agent_runner.warden.slots import Slots
from services.agent_runner.warden.sweep import Sweep
from services.agent_runner.warden.watching import Watch

# Everything is stopped, or the runner is: nobody is given longer than this, whatever the manifest says.
STOP_GRACE_SECONDS_MAX = 10.0
_KILL_AGAIN_SECONDS = 0.05
# A process that is still there this long after SIGKILL waits for a device; it is reported, and killed on.
_UNPROVED_AFTER_SECONDS = 5.0
# A storm is ahead of us: there is no time to lose, and some for everybody else.
_CHASE_AGAIN_SECONDS = 0.005
# So many stragglers are told by name.
_NAMED_MAX = 10
# Output up to this size travels with the news of the end.
_TOLD_BYTES_MAX = 1 << 14
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Trees:
    """All attempts of one warden. `look_at` is the boottime at which some deadline may have come."""

    def __init__(self, host: Host, slots: Slots, news: News, clock: Clock, helpers: set[int]) -> None:
        """`helpers` are children of this process that serve it, at any moment; those that have ended are taken out."""
        self._host = host
        self._sweep = Sweep(host, clock)
        self._limits = Watch(host)
        self._slots = slots
        self._own_peak = 0
        self._news = news
        self._by_pid: dict[int, Attempt] = {}  # main processes that were not reaped: their pids cannot be used again
        self._by_tag: dict[int, Attempt] = {}
        self._adopted: dict[int, tuple[Attempt, ...]] = {}  # orphans, and whose they are, or may be
        self.attempts: dict[str, Attempt] = {}
        self._helpers = helpers
        self.beside = 0  # of these: services, which are no sign of load
        self.unproved: list[Attempt] = []
        self.look_at = NEVER
        self._again = _KILL_AGAIN_SECONDS

    def add(self, attempt: Attempt) -> None:
        """Take charge of a tree that was just spawned."""
        self.attempts[attempt.start.key] = attempt
        self.beside += attempt.start.beside
        self._by_pid[attempt.pid] = attempt
        self._by_tag[attempt.tag] = attempt
        self.look_at = min(self.look_at, attempt.started_at + SAMPLE_SECONDS)
        spawned = Spawned(attempt.start.key, attempt.pid, attempt.started_at, attempt.slot.index)
        self._news.spawned(spawned)

    def end(self, attempt: Attempt, breach: Breach, *, now: float) -> None:
        """SIGTERM to the tree, SIGKILL after its grace. The first cause stands; a later one may shorten the grace."""
        self._end([(attempt, breach)], now=now)

    def end_all(self, breach: Breach, *, now: float, grace_max: float = STOP_GRACE_SECONDS_MAX) -> None:
        """End every tree; none is given a longer grace than this."""
        self._end([(each, breach) for each in self.attempts.values()], now=now, grace_max=grace_max)

    def _end(self, ends: Sequence[tuple[Attempt, Breach]], *, now: float, grace_max: float = NEVER) -> None:
        new = [(attempt, breach) for attempt, breach in ends if not attempt.ending]
        for attempt, breach in ends:
            # What is too large already is given no time in which it could grow on.
            grace = 0.0 if breach.cause in limits.KILLING else min(attempt.terms.grace, grace_max)
            attempt.kill_at = min(attempt.kill_at, now + grace)
            self.look_at = min(self.look_at, attempt.kill_at)
        if not new:
            return
        self._adopt([attempt for attempt, _ in new])
        for attempt, breach in new:
            session = 0 if attempt.status is not None else attempt.pid
            if session:
                attempt.breach = breach
            if not attempt.waiter and (session or not attempt.stragglers):
                attempt.stragglers.update(self._sweep.in_other_sessions(attempt.tree, session))
        self._sweep.kill([attempt.tree for attempt, _ in new if attempt.kill_at <= now])
        self._sweep.terminate([attempt.tree for attempt, _ in new if attempt.kill_at > now])
        for attempt, _ in new:
            attempt.swept = True
            if attempt.frozen_at:
                attempt.note_thawed(now)

    # -- ends that happen --------------------------------------------------------------------------

    def reap(self, now: float) -> None:
        """Collect every child that has ended, ours or adopted, and settle the attempts that this may complete."""
        touched: dict[Attempt, None] = {}
        orphans = False
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
                attempt.cpu_seconds = usage.ru_utime + usage.ru_stime
                attempt.peak_bytes = max(attempt.peak_bytes, self._peak_bytes(usage.ru_maxrss))
                touched[attempt] = None
                if attempt.waiter:
                    attempt.status = waiter.script_status(status)
                    # Before what it left is reaped, too, and nobody knows any more whose it was.
                    self._adopt([])
                continue
            orphans = True
            self._helpers.discard(pid)  # the next to have that number is not one
            for owner in self._adopted.pop(pid, ()):
                owner.reaped_cpu_seconds += usage.ru_utime + usage.ru_stime
                owner.adopted.discard(pid)
                if pid == owner.init:
                    # What it had waited for, the script, is not counted with the waiter outside.
                    owner.peak_bytes = max(owner.peak_bytes, self._peak_bytes(usage.ru_maxrss))
                if owner.status is None and not owner.swept:
                    # A process of a script that still runs: it has outlived nothing.
                    owner.stragglers.pop(pid, None)
                elif owner.status is not None:
                    touched[owner] = None
        if touched or orphans:
            # Also after the end of one that was nobody's: what it leaves behind is ours from now on.
            self._adopt(list(touched))
        if touched:
            self._settle(list(touched), now)

    def _peak_bytes(self, maxrss: int) -> int:
        """The child's peak; -1 when it cannot be told: until its exec a child is counted with our own memory."""
        if maxrss > self._own_peak:
            self._own_peak = self._host.own_peak()  # it may have grown since we last looked
        return maxrss * _MAXRSS_UNIT if maxrss > self._own_peak else -1

    def _adopt(self, ended: Sequence[Attempt]) -> None:
        """Look at children that we did not spawn: what outlived its parent, whose tag says of which attempt it is.
        `ended` are the attempts of which it may be when nothing says so.

        A tree whose main process was reaped is empty when none of our children is of it: whatever lives on of
        it either has a living parent of the tree, or has become our child.
        """
        for pid, tag in self._host.strays(self._by_pid.keys() | self._adopted.keys() | self._helpers):
            about = self._host.about(pid)
            if about is None:
                continue
            owner = self._by_tag.get(tag) or self._owner_of(pid, about)
            owners = (owner,) if owner is not None else tuple(ended)
            self._adopted[pid] = owners
            for each in owners:
                each.adopted.add(pid)
                if each.waiter and not each.init:
                    each.init = pid
                    waiter.note_stragglers(each, self._host)
                    continue
                # What was told to end together with the script, and does, is no straggler.
                if not about.ended and not (each.swept and about.group == each.pid):
                    each.stragglers[pid] = about.name
            if owner is None:
                # Of an attempt that was settled, or it has put off its tag and its environment.
                self._host.signal(pid, -1, signal.SIGKILL)
        # What is nobody's and dies just now may still have children, which nobody has seen.
        for pid in [pid for pid, owners in self._adopted.items() if ended and not owners]:
            self._adopted[pid] = tuple(ended)
            for each in ended:
                each.adopted.add(pid)

    def _owner_of(self, pid: int, about: About) -> Attempt | None:
        """Whose an orphan without a tag of ours is: anybody may lower the limit that the tag is in.

        It is no stranger's: only what descends from this process can become its child, and besides its helpers, which
        start nothing, that is of some attempt. With one attempt alone there is no doubt of which.
        """
        owner = self._by_tag.get(about.tag) or self._by_pid.get(about.session)
        if owner is None and len(self._by_tag) == 1:
            # Also counted: one that was given up, and of which something is left.
            return next(iter(self._by_tag.values()))
        return owner or next((one for one in self.attempts.values() if one.cell and pid in one.cell.members()), None)

    def _settle(self, attempts: Sequence[Attempt], now: float) -> None:
        """Finish those of which nothing is left; whatever outlived its script is ended now."""
        attempts = [each for each in attempts if each.start.key in self.attempts]
        unsure = [each for each in attempts if each.ending or not self._host.adopts]
        living = self._sweep.living([each.tree for each in unsure]) if unsure else set()
        stragglers = []
        for attempt in attempts:
            if attempt.adopted == {attempt.init} and not attempt.stragglers and not attempt.ending:
                if now - attempt.ended_at < SAMPLE_SECONDS:
                    # It has nobody left to wait for, as far as one look can tell, and ends now.
                    continue
                # It waits for something that was too quick for that look.
                waiter.note_stragglers(attempt, self._host)
            if attempt.adopted or attempt.tag in living or (attempt.cell and not attempt.cell.empty()):
                if not attempt.ending:
                    if not self._host.adopts:
                        self._name_stragglers(attempt)
                    stragglers.append((attempt, Breach("exit", "")))
                self.look_at = min(self.look_at, now + _KILL_AGAIN_SECONDS)
            else:
                self._finish(attempt, now, tree_dead=True)
        self._end(stragglers, now=now)

    def _name_stragglers(self, attempt: Attempt) -> None:
        for pid in self._host.tagged({attempt.tag})[attempt.tag]:
            if (about := self._host.about(pid)) is not None and not about.ended:
                attempt.stragglers[pid] = about.name

    def _finish(self, attempt: Attempt, now: float, *, tree_dead: bool) -> None:
        if tree_dead and self._looks_once_more(attempt, now):
            return
        slot, key = attempt.slot, attempt.start.key
        del self.attempts[key]
        if attempt.cell:
            self._read_cell(attempt, attempt.cell)
        else:
            attempt.cpu_seconds += attempt.reaped_cpu_seconds
        self.beside -= attempt.start.beside
        attempt.output_seen = slot.output_bytes()
        if attempt.waiter:
            attempt.breach = waiter.breach(attempt)
        if tree_dead:
            del self._by_tag[attempt.tag]
            slot.tidy()
        else:
            self.unproved.append(attempt)
            slot.take_secrets_away()
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
                straggler_names=tuple(
                    f"{name} ({pid})" for pid, name in islice(attempt.stragglers.items(), _NAMED_MAX)
                ),
            ),
            now,
        )

    def _read_cell(self, attempt: Attempt, cell: Cell) -> None:
        """What the kernel counted of the whole tree; a limit that it held may have ended the script by itself."""
        if (seconds := cell.cpu_seconds()) >= 0:
            attempt.cpu_seconds = seconds
        if attempt.breach.cause == "exit" and (breach := limits.hit(attempt, cell)):
            attempt.breach = breach

    def _looks_once_more(self, attempt: Attempt, now: float) -> bool:
        """Whether what an ended tree left in its scratch folder is still being looked at; a slice per turn."""
        work = attempt.watched_work() if attempt.breach.cause == "exit" else None
        if work is None:
            return False
        if attempt.last_look is None:
            attempt.last_look = work.look_once_more()
        if next(attempt.last_look, self) is not self:
            self.look_at = min(self.look_at, now)
            return True
        attempt.breach = limits.work_breach(attempt, work) or attempt.breach
        return False

    # -- ends that we bring about ------------------------------------------------------------------

    def keep_deadlines(self, now: float) -> None:
        """Act on every deadline that has come, and find out when the next one may."""
        self.look_at = NEVER
        active = [attempt for attempt in self.attempts.values() if not attempt.frozen_at and not attempt.last_look]
        self._end(self._limits.look(active, now), now=now)
        open_ends = [each for each in self.attempts.values() if each.last_look or each.init]
        self._settle([each for each in open_ends if not each.ending], now)
        attempts = list(self.attempts.values())
        self._watch([attempt for attempt in attempts if not attempt.ending and not attempt.last_look], now)
        self._follow_up([attempt for attempt in attempts if attempt.ending], now)
        for attempt in self.attempts.values():
            if attempt.last_look:
                self.look_at = now
                break
            due = min(attempt.kill_at, now + SAMPLE_SECONDS) if attempt.ending else self._due(attempt, now)
            # The grace has run out and it is still there: not proved dead yet.
            self.look_at = min(self.look_at, due if due > now else now + self._again)
        if self.unproved:
            self._kill_on(now)

    def _watch(self, attempts: Sequence[Attempt], now: float) -> None:
        ends, to_freeze, to_thaw = [], [], []
        for attempt in attempts:
            stage = fence(attempt.renewed_at, attempt.lease, now).stage
            freeze = attempt.paused or stage is Stage.FREEZE
            if stage >= Stage.END:
                ends.append((attempt, Breach("fence", f"its lease of {attempt.lease:g} s was not renewed")))
            elif freeze and not attempt.frozen_at:
                to_freeze.append(attempt)
            elif attempt.frozen_at and not freeze:
                to_thaw.append(attempt)
            elif not attempt.frozen_at and (breach := self._breach(attempt, now)):
                ends.append((attempt, breach))
        self._freeze(to_freeze, now)
        self._thaw(to_thaw, now)
        for attempt in attempts:
            self._tell_paused(attempt)
        self._end(ends, now=now)
        for attempt, breach in ends:
            if breach.cause == "fence":
                attempt.kill_at = min(now + attempt.lease, attempt.renewed_at + KILL_AT * attempt.lease)

    def _breach(self, attempt: Attempt, now: float) -> Breach | None:
        if not attempt.stands_back and attempt.status is None and now - attempt.started_at >= SAMPLE_SECONDS:
            # Dearer than a nice value, so that what is short never pays for it.
            attempt.stands_back = self._host.stand_back_as_session(attempt.pid, attempt.terms.nice)
        breach = limits.overtime(attempt, now)
        if breach is None and now - attempt.started_at >= SAMPLE_SECONDS:
            breach = limits.output_breach(attempt, now)
        return breach

    def _follow_up(self, attempts: Sequence[Attempt], now: float) -> None:
        """What was told to end: has it, or is it to be killed?"""
        if not attempts:
            return
        living = self._sweep.living([attempt.tree for attempt in attempts])
        to_kill = []
        for attempt in attempts:
            attempt.kill_at = min(attempt.kill_at, attempt.renewed_at + KILL_AT * attempt.lease)
            if attempt.status is not None and not attempt.adopted and attempt.tag not in living:
                self._finish(attempt, now, tree_dead=True)
            elif now >= attempt.kill_at:
                to_kill.append(attempt)
        self._again = _KILL_AGAIN_SECONDS
        if to_kill and not self._sweep.kill([attempt.tree for attempt in to_kill]):
            self._again = _CHASE_AGAIN_SECONDS
        for attempt in to_kill:
            attempt.unproved_at = min(attempt.unproved_at, now + _UNPROVED_AFTER_SECONDS)
            if now >= attempt.unproved_at:
                attempt.ended_at = attempt.ended_at or now
                self._finish(attempt, now, tree_dead=False)

    def _kill_on(self, now: float) -> None:
        self.look_at = min(self.look_at, now + SAMPLE_SECONDS)
        self._sweep.kill([attempt.tree for attempt in self.unproved])
        living = self._sweep.living([attempt.tree for attempt in self.unproved])
        for attempt in [each for each in self.unproved if each.tag not in living and each.status is not None]:
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

    def _freeze(self, attempts: Sequence[Attempt], now: float) -> None:
        """A storm that cannot be brought to a halt at once is not called frozen; the next look goes on with it."""
        if attempts and self._sweep.stop([attempt.tree for attempt in attempts]):
            for attempt in attempts:
                attempt.frozen_at = now
        elif attempts:
            self.look_at = min(self.look_at, now + _CHASE_AGAIN_SECONDS)

    def _thaw(self, attempts: Sequence[Attempt], now: float) -> None:
        if attempts:
            self._sweep.thaw([attempt.tree for attempt in attempts])
        for attempt in attempts:
            attempt.note_thawed(now)

    def _tell_paused(self, attempt: Attempt) -> None:
        paused = bool(attempt.paused and attempt.frozen_at)
        if paused != attempt.told_paused:
            attempt.told_paused = paused
            self._news.tell(Paused(attempt.start.key, paused))
