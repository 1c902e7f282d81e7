"""What every store must do: outputs, keys, outbox, reports, histories, refusals, facts."""

from dataclasses import replace

from services.coordinator.ports import Accepted, AgentHistory, Refusal, Report, Store, StoreTransaction
from services.coordinator.ports_safety import OutboxEntry
from tests.coordinator.stores import put
from tests.coordinator.tasks import NOW, after, task


async def test_outputs_are_replaced_and_emptied(store: Store) -> None:
    each = task()
    await put(store, each)
    assert await store.read(lambda tx: tx.output(each.id)) == ""
    for text in ("one\n", "two \u0000 ä" * 9_000, ""):
        await store.write(lambda tx, t=text: tx.put_output(each.id, t))  # type: ignore[misc]
        assert await store.read(lambda tx: tx.output(each.id)) == text


async def test_why_a_report_was_not_taken_is_kept_beside_the_output_and_goes_with_it(store: Store) -> None:
    each = task()
    await put(store, each)
    for text, fault in (("one", "it is not JSON"), ("two", ""), ("", "it is too large"), ("", "")):
        await store.write(lambda tx, t=text, f=fault: tx.put_output(each.id, t, f))  # type: ignore[misc]
        assert await store.read(lambda tx: (tx.output(each.id), tx.report_fault(each.id))) == (text, fault)


async def test_stragglers_are_counted_beside_the_output_and_go_with_it(store: Store) -> None:
    each = task()
    await put(store, each)
    assert await store.read(lambda tx: tx.stragglers(each.id)) == 0
    for text, number in (("one", 3), ("", 2), ("two", 0), ("", 0)):
        await store.write(lambda tx, t=text, n=number: tx.put_output(each.id, t, stragglers=n))  # type: ignore[misc]
        assert await store.read(lambda tx: (tx.output(each.id), tx.stragglers(each.id))) == (text, number)


async def test_an_idempotency_key_is_one_token_s_own(store: Store) -> None:
    accepted = Accepted(digest="d", task_ids=("1", "2"), at=NOW)
    assert await store.read(lambda tx: tx.accepted("t", "k")) is None
    await store.write(lambda tx: tx.remember("t", "k", accepted))
    assert await store.read(lambda tx: tx.accepted("t", "k")) == accepted
    assert await store.read(lambda tx: tx.accepted("u", "k")) is None
    again = replace(accepted, digest="e", at=after(1))
    await store.write(lambda tx: tx.remember("t", "k", again))
    assert await store.read(lambda tx: tx.accepted("t", "k")) == again


def _outcome(number: int) -> OutboxEntry:
    return OutboxEntry(
        task_id=f"t{number}",
        fence=number,
        agent="build",
        project="p",
        uses=("cloud:openai", "cloud:b") if number % 2 else (),
        failure_class="script",
        counted=number % 2 == 0,
        detail="Exited with 1.",
        finished_at=after(number),
    )


async def test_the_outbox_keeps_its_order_and_never_reuses_a_sequence(store: Store) -> None:
    await store.write(lambda tx: tx.post([_outcome(1), _outcome(2)]))
    await store.write(lambda tx: tx.post([_outcome(3)]))
    entries = await store.read(lambda tx: tx.outbox(limit=9))
    assert [each._replace(sequence=0) for each in entries] == [_outcome(n) for n in (1, 2, 3)]
    assert entries == sorted(entries, key=lambda each: each.sequence)
    last = entries[-1].sequence
    await store.write(lambda tx: tx.acknowledge(entries[1].sequence))
    assert [each.task_id for each in await store.read(lambda tx: tx.outbox(limit=9))] == ["t3"]
    await store.write(lambda tx: tx.acknowledge(last))
    await store.write(lambda tx: tx.post([_outcome(4)]))
    (entry,) = await store.read(lambda tx: tx.outbox(limit=9))
    assert entry.sequence > last
    assert len(await store.read(lambda tx: tx.outbox(limit=0))) == 0


def _report(type_: str, project: str, seconds: float, agent: str = "cov") -> Report:
    return Report(
        type=type_,
        project=project,
        summary="80 %",
        data='{"a": 1}',
        task_id="t",
        agent=agent,
        published_at=after(seconds),
    )


async def test_the_latest_report_of_a_type_and_project_is_kept(store: Store) -> None:
    old, new, other, bare = (
        _report("coverage", "a", 1),
        _report("coverage", "a", 2),
        _report("coverage", "b", 3, agent="x"),
        _report("audit", "", 0),
    )
    for each in (old, new, old, other, bare):
        await store.write(lambda tx, r=each: tx.publish(r))  # type: ignore[misc]
    assert await store.read(lambda tx: tx.reports(type="", project="")) == [other, new, bare]
    assert await store.read(lambda tx: tx.reports(type="coverage", project="a")) == [new]
    assert await store.read(lambda tx: tx.reports(type="audit", project="")) == [bare]
    assert await store.read(lambda tx: tx.report(agent="cov", project="a")) == new
    assert await store.read(lambda tx: tx.report(agent="cov", project="b")) is None
    assert await store.read(lambda tx: tx.report(agent="cov", project="")) == bare


async def test_histories_are_replaced(store: Store) -> None:
    for ends in ("1", "10"):
        history = AgentHistory(agent="build", ends=ends, last_task_id="t")
        await store.write(lambda tx, h=history: tx.record_history(h))  # type: ignore[misc]
    assert await store.read(lambda tx: tx.histories()) == {"build": history}


async def test_the_newest_ten_thousand_refusals_are_kept(store: Store) -> None:
    def refusal(number: int) -> Refusal:
        return Refusal(task_id=f"t{number % 2}", fence=number, held_fence=9, runner="r", what="result", at=NOW)

    def work(tx: StoreTransaction) -> None:
        for number in range(10_004):
            tx.refuse(refusal(number))

    await store.write(work)
    found = await store.read(lambda tx: tx.refusals("t0"))
    assert [each.fence for each in found] == list(range(4, 10_004, 2))
    assert found[0] == refusal(4)
    assert list(await store.read(lambda tx: tx.refusals("nobody"))) == []


async def test_facts_are_set_and_forgotten(store: Store) -> None:
    for value in ("paused by me", "", None, None):
        await store.write(lambda tx, v=value: tx.set_fact("queue_paused", v))  # type: ignore[misc]
        assert await store.read(lambda tx: tx.fact("queue_paused")) == value
