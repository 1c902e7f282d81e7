"""One at a time: what is refused because another attempt runs is asked for again as soon as that one's end is told."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.coordinator.app.attachments import Attachment, Grant, Order
from services.coordinator.domain.task import Task
from services.coordinator.ports_safety import Admission, Candidate, OutboxEntry, Verdict
from tests.coordinator.fleet import ADMITTED, FakeGate, Fleet, ended, sent, started

pytestmark = pytest.mark.asyncio


class OneAtATime(FakeGate):
    """Safety with one place in a scope, as it gives it out: an end gives it back, without a new epoch."""

    scope = "agent:a"
    holder = ""
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    async def admit(self, outcomes: Sequence[OutboxEntry], candidates: Sequence[Candidate]) -> Admission:
        """The first that asks has the place until its end is told."""
        if self.holder in {outcome.task_id for outcome in outcomes}:
            self.holder = ""
        verdicts = []
        for candidate in candidates:
            if self.scope not in (f"agent:{candidate.agent}", *candidate.uses):
                verdicts.append(ADMITTED)
                continue
            self.holder = self.holder or candidate.task_id
            refused = Verdict(
                admitted=False,
                scope=self.scope,
                code="budget",
                reason="it waits",
                ask_again_at=self.now + timedelta(seconds=35),
            )
            verdicts.append(ADMITTED if self.holder == candidate.task_id else refused)
        self.asked += candidates
        return Admission(verdicts=tuple(verdicts), mode="NORMAL", epoch=self.epoch)


@pytest.fixture
async def fleet(tmp_path: Path) -> Fleet:
    fleet = Fleet(tmp_path)
    gate = OneAtATime()
    gate.now = fleet.now()
    fleet.gate = fleet.dispatch._gate = gate
    await fleet.dispatch.start()
    return fleet


def leased(runner: Attachment) -> tuple[list[Task], list[Order]]:
    """What went out: leases, and recalls."""
    messages = sent(runner)
    return (
        [message.task for message in messages if isinstance(message, Grant)],
        [message for message in messages if isinstance(message, Order)],
    )


async def test_the_next_starts_when_the_end_is_told_and_nobodys_leases_are_recalled(fleet: Fleet) -> None:
    tasks = [await fleet.submit("a") for _ in range(3)]
    other = await fleet.submit("b")
    runner = await fleet.runner()
    order = []
    for _ in range(3):
        await fleet.round()
        leases, recalls = leased(runner)
        assert not recalls
        [lease] = [one for one in leases if one.agent == "a"]
        order.append(lease.id)
        asked = len(fleet.gate.asked)
        await fleet.round()
        assert len(fleet.gate.asked) == asked, "those that wait cost nothing"
        await fleet.tell(runner, started(lease, fleet.now()), ended(lease, fleet.now()))
    assert order == [task.id for task in tasks]
    assert (await fleet.task(other)).leased


async def test_a_class_frees_each_agent_that_waits_for_it(fleet: Fleet) -> None:
    fleet.gate.scope = "cloud:x"  # type: ignore[attr-defined]
    specs = fleet.catalogue.specs
    for name in "ab":
        specs[name] = replace(specs[name], uses=("cloud:x",))
    first, second = await fleet.submit("a"), await fleet.submit("b")
    runner = await fleet.runner()
    await fleet.round()
    [lease], _ = leased(runner)
    assert lease.id == first.id
    await fleet.tell(runner, started(lease, fleet.now()), ended(lease, fleet.now()))
    await fleet.round()
    [lease], _ = leased(runner)
    assert lease.id == second.id
