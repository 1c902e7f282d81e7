"""The runner as a real process, attached to a coordinator that the test plays."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protos.coordinator.v1 import runners_pb2 as pb
from tests.runner.fake_coordinator import FakeCoordinator, RunnerUnderTest, _duration
from tests.runner.support import wait_until


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[RunnerUnderTest]:
    runner = RunnerUnderTest(tmp_path, FakeCoordinator())
    yield runner
    await runner.close()
    shutil.rmtree(runner.run_dir, ignore_errors=True)


async def test_runs_a_script_and_reports_all_of_it(runner: RunnerUnderTest) -> None:
    await runner.start()
    lease = runner.lease(
        'cat "$QUANTUM_PARAMS"; echo " $QUANTUM_AGENT $QUANTUM_TASK_ID $QUANTUM_ATTEMPT $QUANTUM_FENCE"; pwd; '
        """echo '{"type": "trial", "summary": "fine", "data": {}}' > "$QUANTUM_REPORT"; exit 7""",
        params_json=b'{"a": 1}',
        memory_bytes=1 << 30,
        timeout=_duration(30),
    )
    runner.coordinator.lease(lease)
    result = await runner.coordinator.result(lease)
    assert result.cause == pb.END_CAUSE_EXIT and result.exit_code == 7 and not result.HasField("signal")
    assert result.output_tail == f'{{"a": 1}} hello task1 1 7\n{runner.workspace.root}\n'
    assert result.output_bytes == len(result.output_tail) and not result.output_cut
    assert json.loads(result.report_json)["type"] == "trial" and not result.report_fault
    assert result.tree_dead and result.stragglers == 0
    assert result.duration.nanos > 0 and result.started_at.ToNanoseconds() < result.finished_at.ToNanoseconds()
    assert {limit.name for limit in result.limits} == {"memory", "timeout"}
    started = [event for event in runner.coordinator.events if event.WhichOneof("event") == "started"]
    assert len(started) <= 1
    log = runner.workspace.logs / "agent_hello.log"
    line = wait_until(lambda: log.read_text() if log.exists() else "", "the agent's log")
    assert all(" task1 " in each for each in line.splitlines())
