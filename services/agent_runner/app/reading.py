"""Reads behind the running scripts, and lets others read what was kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable

from foundation.log import Logger
from foundation.masking import Forms, forms_of, masked
from foundation.tokens import mask
from services.agent_runner.app.held import Held, Phase
from services.agent_runner.domain.orders import secret_params
from services.agent_runner.domain.report import ReportReading, read_report
from services.agent_runner.ports import Output, Outputs
from services.agent_runner.warden.protocol import Ended

# Ended attempts whose output a reader may still ask for here.
_RECENT_MAX = 50
_CHUNK_BYTES = 1 << 16
# What an ended attempt has left unread is taken in at once up to this size; more, piece by piece.
_AT_ONCE_BYTES = 1 << 18
_NO_REPORT = ReportReading("", "")


class Reading:
    """The outputs of the attempts in hand, and of those that have ended lately."""

    def __init__(self, outputs: Outputs, report_bytes_max: int, log: Logger) -> None:
        self._outputs = outputs
        self._report_bytes_max = report_bytes_max
        self._log = log
        self._recent: OrderedDict[str, Held] = OrderedDict()
        self._watchers = 0

    @property
    def watched(self) -> bool:
        """Whether somebody follows an output just now."""
        return self._watchers > 0

    def is_far_behind(self, held: Held, ended: Ended) -> bool:
        """Whether so much of an ended attempt's output is unread that `catch_up` should come before `finish`."""
        taken = held.output.taken_bytes if held.output is not None else 0
        return ended.slot >= 0 and ended.output_bytes - taken > _AT_ONCE_BYTES

    async def catch_up(self, held: Held, ended: Ended) -> None:
        """Take in what an ended attempt has left unread, and let others work in between."""
        held.slot = ended.slot
        while self.is_far_behind(held, ended) and self._take_in(held):
            held.notify()
            await asyncio.sleep(0)

    def go_on(self, held: Held, slot: int) -> None:
        """A service's next process writes to this slot; what it prints follows what the one before has printed."""
        held.slot = slot
        if held.output is not None:
            self._outputs.go_on(held.output, slot)

    def peek(self, slot: int, size: int) -> bytes:
        """The beginning of the raw output in a slot, kept by nobody; empty when it cannot be read."""
        try:
            return self._outputs.peek(slot, size)
        except OSError as error:
            self._log.warning(f"The output of slot {slot} cannot be read: {error}.", action="output_unreadable")
            return b""

    def without_secrets(self, held: Held, raw: bytes) -> bytes:
        """A whole text, read elsewhere than in its output, with what the attempt must not show masked."""
        forms = _forms(held)
        return raw if forms is None else masked(raw, forms)

    def finish(self, held: Held, ended: Ended) -> tuple[Output, ReportReading]:
        """Take in the rest of an ended attempt's output, and its report."""
        held.slot = ended.slot
        output = self._output(held)
        if ended.slot < 0:
            output.take_all(ended.output)
        else:
            self._finish(held, output, ended.output_bytes)
        report = self._read_report(held, ended) if ended.reported else _NO_REPORT
        if report.fault:
            self._log.warning(
                f"The report of task {held.ref.task_id} was not taken: {report.fault}.",
                action="report_refused",
                task=held.ref.task_id,
            )
        return output, report

    async def read_behind(self, attempts: Iterable[Held]) -> bool:
        """Take in a piece of what each running script has written; says whether one has more."""
        more = False
        for held in attempts:
            if held.readable:
                before = held.output.total_bytes if held.output is not None else 0
                if self._take_in(held):
                    more = True
                    await asyncio.sleep(0)
                if held.output is not None and held.output.total_bytes != before:
                    held.notify()
        return more

    async def follow(self, held: Held, offset: int, *, follow: bool = True) -> AsyncIterator[tuple[bytes, int]]:
        """(data, offset after it) of an attempt's clean output; with `follow` until it has ended."""
        self._watchers += 1
        try:
            while True:
                change = held.next_change()
                if held.readable:
                    self._take_in(held)
                data = b""
                if held.output is not None:
                    data, offset = held.output.read(offset, _CHUNK_BYTES)
                if data:
                    yield data, offset
                elif held.phase in (Phase.ENDED, Phase.RETURNED) or not follow:
                    return
                else:
                    await change.wait()
        finally:
            self._watchers -= 1

    def remember(self, held: Held) -> None:
        """Its result was taken; its output may be read for a while yet."""
        if held.output is None:
            return
        self._recent[held.key] = held
        if len(self._recent) > _RECENT_MAX:
            _, oldest = self._recent.popitem(last=False)
            if oldest.output is not None:
                oldest.output.close()

    def find(self, attempts: Iterable[Held], task_id: str, fence: int | None = None) -> Held | None:
        """An attempt in hand or lately ended; without a fence the newest of its task."""
        known = [*self._recent.values(), *attempts]
        found = [held for held in known if held.ref.task_id == task_id and fence in (None, held.ref.fence)]
        return max(found, key=lambda held: held.ref.fence, default=None)

    def _take_in(self, held: Held) -> bool:
        """Take in a piece; says whether there may be more."""
        try:
            return self._output(held).read_behind()
        except OSError as error:
            self._say_unreadable(held, error)
            return False

    def _finish(self, held: Held, output: Output, until: int) -> None:
        try:
            output.finish(until)
        except OSError as error:
            self._say_unreadable(held, error)

    def _say_unreadable(self, held: Held, error: OSError) -> None:
        self._log.error(
            f"The output of task {held.ref.task_id} cannot be read: {error}.",
            action="output_unreadable",
            task=held.ref.task_id,
        )

    def _output(self, held: Held) -> Output:
        if held.output is None:
            held.output = self._outputs.open(
                held.slot, held.lease.terms.agent, held.ref.task_id, held.ref.fence, _forms(held)
            )
        return held.output

    def _read_report(self, held: Held, ended: Ended) -> ReportReading:
        try:
            raw = self._outputs.report(ended.slot)
        except OSError as error:
            return ReportReading("", f"the report cannot be read: {error.strerror}")
        report = read_report(self.without_secrets(held, raw), self._report_bytes_max)
        return report._replace(text=mask(report.text))


def _forms(held: Held) -> Forms | None:
    return forms_of((*held.secrets.values(), *secret_params(held.lease)), held.lease.credential)
