"""What an attempt left beside its output, such as why its report was not taken, goes with the next one."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from services.coordinator.app.due import Due
from tests.coordinator.fleet import Fleet, ended, granted, sent, started


async def test_why_a_report_was_not_taken_stays_until_the_next_attempt(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.dispatch.start()
    task = await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    end = replace(ended(lease, fleet.now(), code=75), report_fault="the report is not JSON in UTF-8", stragglers=2)
    await fleet.tell(runner, started(lease, fleet.now()), end)
    assert await fleet.store.read(lambda tx: tx.report_fault(task.id)) == "the report is not JSON in UTF-8"
    assert await fleet.store.read(lambda tx: tx.stragglers(task.id)) == 2
    fleet.clock.advance(timedelta(minutes=11))
    await Due(fleet.store, fleet.changes, clock=fleet.clock).release()
    await fleet.round()
    [lease] = granted(sent(runner))
    end = replace(ended(lease, fleet.now()), output_tail="")
    await fleet.tell(runner, started(lease, fleet.now()), end)
    assert await fleet.store.read(lambda tx: (tx.report_fault(task.id), tx.output(task.id))) == ("", "")
    assert await fleet.store.read(lambda tx: tx.stragglers(task.id)) == 0
