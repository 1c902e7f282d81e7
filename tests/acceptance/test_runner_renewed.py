"""A runner on another host gets new certificates and credentials while it works, and goes on with them."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from clients.coordinator import CoordinatorClient
from clients.coordinator_values import TaskSpec, TaskState
from foundation.authority import describe
from foundation.secrets import SERVICE_TOKEN, open_secret_store, service_account
from foundation.tokens import parse
from tests.acceptance.elsewhere import attached, fleet, invite, other_host
from tests.waiting import CLOCK, eventually


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_everything_is_replaced_under_a_task_that_runs(tmp_path: Path) -> None:
    # Of a certificate that lives for a minute, half is over at once: it is dated back by five.
    async with (
        fleet(tmp_path, runner_certificate_seconds=60, token_overlap_seconds=3) as system,
        other_host(tmp_path / "other", token_rotation_seconds=4, token_overlap_seconds=3) as host,
    ):
        system.agent("works", system.runs.gate())
        assert (await asyncio.to_thread(host.join, await invite(system))).code == 0
        host.runs.gate()
        secrets = open_secret_store(host.workspace, host.environ)
        account = service_account(host.workspace, "runner")
        first_token, pem = secrets.get(SERVICE_TOKEN, account), host.workspace.identity("runner")
        first = describe(pem.read_bytes())
        host.start()
        await attached(system)
        async with system.coordinator() as client:
            await client.reload_agents()
            [task] = (await client.submit([TaskSpec(agent="works")])).tasks
            await eventually(host.runs.alive, "it runs there")
            await eventually(lambda: host.log("credential_renewed") >= 2, "two new credentials")
            await eventually(lambda: host.log("identity_renewed") >= 2, "two new certificates")
            await eventually(lambda: host.log("runner_attached") >= 2, "its stream ends with the first credential")
            assert secrets.get(SERVICE_TOKEN, account) != first_token
            assert describe(pem.read_bytes()).serial != first.serial
            assert first_token is not None
            async with system.safety() as safety:
                tokens = [one for one in await safety.list_tokens() if one.runner == "attic"]
            print(f"{len(tokens)} tokens, {host.log('identity_renewed')} certificates")
            before = host.log("runner_attached")
            await system.stop("coordinator")
            await system.up("coordinator")
            await eventually(lambda: host.log("runner_attached") > before, "it attaches with what is new")
            with host.runs.open_gate():
                await eventually(partial(_succeeded, client, task.id), "the same attempt has ended well")
            assert (await client.get_task(task.id)).attempt == 1
        assert host.child is not None and host.child.poll() is None
        [first_view] = [one for one in tokens if one.id == parse(first_token).id]
        assert first_view.expires_at is not None and first_view.expires_at <= CLOCK.now(), "it has ended"


async def _succeeded(client: CoordinatorClient, task_id: str) -> bool:
    return (await client.get_task(task_id)).state is TaskState.SUCCEEDED
