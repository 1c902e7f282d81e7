"""Secrets of the keychain reach the script that asks for them as files, nobody else, and no output shows them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest

from clients.attachment_values import AttemptRef, Lease, LeaseTerms
from foundation.agent_secrets import AgentSecrets
from foundation.clock import SystemClock
from foundation.masking import MARK
from foundation.secrets import open_secret_store
from protos.coordinator.v1 import runners_pb2 as pb
from services.agent_runner.warden.protocol import Start, Terms
from tests.runner.fake_coordinator import FakeCoordinator, Offer, RunnerUnderTest
from tests.runner.support import WardenUnderTest
from tests.runner.test_host_hold import Bench
from tests.waiting import until

SECRET = "sk-canary-0815-for-the-model"
HIDDEN = MARK.decode()


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[RunnerUnderTest]:
    runner = RunnerUnderTest(tmp_path, FakeCoordinator())
    _keychain(runner).set("openai", SECRET)
    try:
        yield runner
    finally:
        await runner.close()
    shutil.rmtree(runner.run_dir, ignore_errors=True)


def _keychain(runner: RunnerUnderTest) -> AgentSecrets:
    return AgentSecrets(runner.workspace, open_secret_store(runner.workspace, runner.environ), SystemClock())


def _slot_files(runner: RunnerUnderTest, name: str) -> list[Path]:
    return list((runner.workspace.state / "runner-t" / "slots").glob(f"*/{name}"))


LOOK = 'cd "$QUANTUM_SECRETS"; stat -c %a . *; ls; env; tr "\\0" " " < /proc/$$/cmdline'


async def test_a_script_finds_a_private_file_and_it_goes_with_the_attempt(runner: RunnerUnderTest) -> None:
    await runner.start()
    copy = runner.workspace.root / "copy"
    lease = runner.lease(f"{LOOK}; cat openai > {copy}", secrets=["openai"])
    runner.coordinator.lease(lease)
    result = await runner.coordinator.result(lease)
    assert result.exit_code == 0, result
    assert copy.read_text() == SECRET
    folder, file, name, *rest = result.output_tail.splitlines()
    assert (folder, file, name) == ("700", "600", "openai")
    assert HIDDEN not in "".join(rest), "neither its environment nor its arguments held it"
    assert _slot_files(runner, "out") and _slot_files(runner, "secrets") == []


async def test_what_it_prints_and_reports_of_it_is_masked(runner: RunnerUnderTest) -> None:
    await runner.start(result_output_bytes=1024)
    body = (
        'read -r key < "$QUANTUM_SECRETS/openai"; echo "key: $key"; printf "%s" "$key" | base64\n'
        'for n in $(seq 200); do echo "line $n $key"; done\n'
        'echo "{\\"type\\": \\"x\\", \\"summary\\": \\"$key\\"}" > "$QUANTUM_REPORT"'
    )
    lease, plain = runner.lease(body, secrets=["openai"]), runner.lease(f"echo {SECRET}", agent="plain")
    runner.coordinator.lease(lease, plain)
    result = await runner.coordinator.result(lease)
    assert result.output_cut and SECRET not in result.output_tail and HIDDEN in result.output_tail
    assert json.loads(result.report_json)["summary"] == HIDDEN
    log = runner.workspace.logs / "agent_hello.log"
    text = await asyncio.to_thread(until, lambda: "line 200" in (t := _text(log)) and t, "the log")
    assert str(text).count(HIDDEN) == 202
    kept = [path.read_bytes() for path in (runner.workspace.state / "runner-t" / "output").iterdir()]
    assert len(kept) == 1 and SECRET.encode() not in kept[0]
    # The control: an attempt that was not given it may print it, and then it is found.
    assert (await runner.coordinator.result(plain)).output_tail == f"{SECRET}\n"


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_a_missing_secret_is_configuration_and_names_the_line_that_stores_it(runner: RunnerUnderTest) -> None:
    await runner.start()
    lease = runner.lease("true", secrets=["openai", "anthropic"])
    runner.coordinator.lease(lease)
    result = await runner.coordinator.result(lease)
    assert result.cause == pb.END_CAUSE_SPAWN_CONFIGURATION and not result.HasField("started_at_us")
    assert "“anthropic”" in result.sentence and result.sentence.endswith("→ quantum secret set anthropic")


async def test_a_new_secret_is_seen_by_the_next_attempt(runner: RunnerUnderTest) -> None:
    await runner.start()
    found = []
    for secret in (SECRET, "the-second-one", "and-the-third"):
        _keychain(runner).set("openai", secret)
        copy = runner.workspace.root / "copy"
        lease = runner.lease(f'cp "$QUANTUM_SECRETS/openai" {copy}', secrets=["openai"])
        runner.coordinator.lease(lease)
        assert (await runner.coordinator.result(lease)).exit_code == 0
        found.append(copy.read_text())
    assert found == [SECRET, "the-second-one", "and-the-third"]


async def test_a_slow_keychain_keeps_nobody_else_and_its_attempt_can_go_back(runner: RunnerUnderTest) -> None:
    """On macOS a secret may be away for a moment, so that one that is not there is looked for over half a second."""
    await runner.start()
    for _ in range(10):  # until all of it fell into that half second
        slow, recalled, quick = (
            runner.lease("true", secrets=["nowhere"]),
            runner.lease("true", secrets=["nowhere"]),
            runner.lease("true"),
        )
        runner.coordinator.lease(slow, recalled, quick)
        runner.coordinator.order(recalled, pb.ORDER_KIND_RECALL, "not now")
        assert (await runner.coordinator.result(slow)).cause == pb.END_CAUSE_SPAWN_CONFIGURATION
        assert (await runner.coordinator.result(quick)).exit_code == 0
        what_became = await runner.coordinator.until(lambda one=recalled: ends(runner, one), "an end of the recalled")  # type: ignore[misc]
        ended = [event.attempt.task_id for event in runner.coordinator.events if event.HasField("result")]
        if what_became == ["not now"] and ended.index(quick.task_id) < ended.index(slow.task_id):
            return
    pytest.fail("it was never still being looked for")


def ends(runner: RunnerUnderTest, lease: Offer) -> list[str]:
    """Why it was given back, or that it was not."""
    own = [event for event in runner.coordinator.events if event.attempt.task_id == lease.task_id]
    return [
        event.returned.reason if event.HasField("returned") else "a result"
        for event in own
        if event.HasField("returned") or event.HasField("result")
    ]


class _SlowSource:
    """Has every secret, once it may say so."""

    def __init__(self) -> None:
        self.may_say = asyncio.Event()

    async def fetch(self, names: Sequence[str]) -> Mapping[str, str]:
        await self.may_say.wait()
        return dict.fromkeys(names, SECRET)


async def test_whatever_else_was_leased_while_a_secret_was_fetched_its_own_script_is_started(tmp_path: Path) -> None:
    source = _SlowSource()
    bench = Bench(tmp_path, None, source)
    terms = LeaseTerms(agent="hello", project="", script="/bin/false", folder="/", secrets=("openai",))
    bench.runner.take([Lease(AttemptRef("slow", 7), 1, terms)])
    others = [terms._replace(script=f"/bin/{number}", secrets=()) for number in range(300)]
    bench.runner.take([Lease(AttemptRef(each.script, 7), 1, each) for each in others])
    await asyncio.sleep(0)
    source.may_say.set()
    while not isinstance(start := bench.orders[-1], Start) or start.key != "slow:7":
        await asyncio.sleep(0)
    told = [order for order in bench.orders if isinstance(order, Terms) and order.number == start.terms]
    assert told[-1].argv == ["/bin/false"]


@pytest.mark.parametrize("killed", ["runner", "warden"])
async def test_after_a_crash_none_is_left(runner: RunnerUnderTest, killed: str) -> None:
    await runner.start()
    lease = runner.lease("sleep 100", secrets=["openai"])
    runner.coordinator.lease(lease)
    await runner.coordinator.event(lease, "started")
    [file] = _slot_files(runner, "secrets/openai")
    assert file.read_text() == SECRET
    assert runner.process is not None
    mark = json.loads((runner.workspace.state / "runner-t" / "run.json").read_text())
    runner.process.kill() if killed == "runner" else os.kill(mark["warden_pid"], signal.SIGKILL)
    await runner.wait()
    if killed == "runner":
        await runner.start_runner()
        await asyncio.to_thread(until, lambda: len(runner.coordinator.hellos) == 2, "the next runner")
    await asyncio.to_thread(until, lambda: not file.exists(), "its secrets are gone")


def test_the_next_attempt_in_a_slot_finds_nothing_of_the_one_before(warden: WardenUnderTest) -> None:
    first = warden.run(
        warden.shell('chmod 500 "$QUANTUM_SECRETS"; cat "$QUANTUM_SECRETS"/*'), secrets=(("a", SECRET), ("b", "two"))
    )
    assert warden.output(first.slot) == f"{SECRET}two".encode()
    warden.release(first.slot)
    second = warden.run(warden.shell('echo "<$QUANTUM_SECRETS>"; ls ..'), "b")
    assert second.slot == first.slot
    said = warden.output(second.slot).decode()
    assert "<>" in said and "secrets" not in said
