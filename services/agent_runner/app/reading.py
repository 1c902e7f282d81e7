"""Reads behind the running scripts, and lets others read what was kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable

from foundation.log import Logger
from services.agent_runner.app.held import Held, Phase
from services.agent_runner.domain.report import ReportReading, read_report
from services.agent_runner.ports import Output, Outputs
from services.agent_runner.warden.protocol import Ended

# Ended attempts whose output a reader may still ask for here.
_RECENT_MAX = 50
_CHUNK_BYTES = 1 << 16
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

    def finish(self, held: Held, ended: Ended) -> tuple[Output, ReportReading]:
        """Take in the rest of an ended attempt's output, and its report."""
        held.slot = ended.slot
        if ended.slot < 0:
            output = self._output(held)
            output.take_all(ended.output)
        else:
            output = self._take_in(held, final=True)
        report = self._read_report(ended) if ended.reported else _NO_REPORT
        if report.fault:
            self._log.warning(
                f"The report of task {held.ref.task_id} was not taken: {report.fault}.",
                action="report_refused",
                task=held.ref.task_id,
            )
        return output, report

    def read_behind(self, attempts: Iterable[Held]) -> None:
        """Take in what running scripts have written."""
        for held in attempts:
            if held.readable:
                before = held.output.total_bytes if held.output is not None else 0
                if self._take_in(held).total_bytes != before:
                    held.notify()

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

    def _take_in(self, held: Held, *, final: bool = False) -> Output:
        output = self._output(held)
        try:
            output.read_behind(final=final)
        except OSError as error:
            self._log.error(
                f"The output of task {held.ref.task_id} cannot be read: {error}.",
                action="output_unreadable",
                task=held.ref.task_id,
            )
        return output

    def _output(self, held: Held) -> Output:
        if held.output is None:
            held.output = self._outputs.open(held.slot, held.lease.terms.agent, held.ref.task_id, held.ref.fence)
        return held.output

    def _read_report(self, ended: Ended) -> ReportReading:
        try:
            return read_report(self._outputs.report(ended.slot), self._report_bytes_max)
        except OSError as error:
            return ReportReading("", f"the report cannot be read: {error.strerror}")
