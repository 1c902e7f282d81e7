"""Merge checks over real services: at once though every slot is taken, over kills, and told where they count.

The agent is a played one, which asks whether it may move the branch with its attempt's own credential.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from clients.coordinator_values import TaskSpec, TaskState
from foundation.rpc.channel import open_channel
from protos.coordinator.v1 import merges_pb2 as pb
from protos.coordinator.v1 import merges_pb2_grpc
from tests.acceptance.deployment import Deployment, Service, deployed
from tests.acceptance.played_check import play
from tests.measured import measured
from tests.waiting import PATIENCE_SECONDS, Stopwatch, eventually

AT_ONCE_SECONDS = 3.0
SLOTS = 10


class Guarded:
    """A system with a played agent and a repository that it guards."""

    def __init__(self, system: Deployment, folder: Path) -> None:
        self.system = system
        self.folder = folder
        self.repository = folder / "repository"
        self._builtin = folder / "builtin"
        self.played = system.workspace.root / "played"

    def prepare(self) -> None:
        """Make the repository, with one commit and a branch that is one ahead."""
        play(self._builtin, self.system.workspace.socket("coordinator"))
        self.repository.mkdir()
        self.git("init", "-q", "-b", "main")
        self.git("commit", "-q", "--allow-empty", "-m", "first")
        self.git("checkout", "-q", "-b", "topic")
        self.git("commit", "-q", "--allow-empty", "-m", "second")
        self.git("checkout", "-q", "main")
        self.git("config", "quantum.repository", "trial")
        repository = self.repository.resolve()
        self.system.workspace.repositories_file.write_text(
            f'[trial]\nfolder = "{repository}"\ncommon_dir = "{repository}/.git"\nproject = "HabitQuest"\n'
        )

    def git(self, *arguments: str) -> str:
        """Run git there, as a person does."""
        identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgSign=false")
        done = subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.repository,
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        return done.stdout.strip()

    def start_coordinator(self) -> None:
        """The real one, but for the folder of its built-in agents."""
        system = self.system
        out = system.workspace.logs / "coordinator.out"
        with out.open("ab") as file:
            child = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.acceptance.played_check", str(self._builtin)),
                    *("serve", "--workspace", str(system.workspace.root)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=system.environ,
                cwd=Path(__file__).parents[2],
                start_new_session=True,
            )
        system.running["coordinator"] = Service("coordinator", child, out)

    @asynccontextmanager
    async def merges(self, token: str = "") -> AsyncIterator[merges_pb2_grpc.MergeServiceAsyncStub]:
        """The door of merge checks, for the user unless told otherwise."""
        socket = self.system.workspace.socket("coordinator")
        async with open_channel(socket, token=lambda: token or self.system.token) as channel:
            yield merges_pb2_grpc.MergeServiceStub(channel)

    async def start(self) -> pb.MergeCheck:
        """What the hook asks for."""
        request = pb.StartMergeCheckRequest(
            repository_id="trial",
            folder=str(self.repository.resolve()),
            event=pb.MERGE_EVENT_POST_MERGE,
            new_commit=self.git("rev-parse", "HEAD"),
        )
        async with self.merges() as merges:
            return (await merges.StartMergeCheck(request, timeout=PATIENCE_SECONDS)).check

    async def get(self, check_id: str) -> pb.MergeCheck:
        """A check as it stands."""
        async with self.merges() as merges:
            return (await merges.GetMergeCheck(pb.GetMergeCheckRequest(id=check_id), timeout=PATIENCE_SECONDS)).check

    async def checks(self) -> list[pb.MergeCheck]:
        """All, newest first."""
        async with self.merges() as merges:
            return list((await merges.ListMergeChecks(pb.ListMergeChecksRequest(), timeout=PATIENCE_SECONDS)).checks)

    def go(self, check_id: str) -> None:
        """Let its attempt ask and end."""
        (self.played / f"{check_id}.go").touch()

    def credentials(self, check_id: str) -> list[str]:
        """Of its attempts so far, in order."""
        return [path.read_text() for path in sorted(self.played.glob(f"{check_id}.*.credential"))]

    async def has_run(self, check_id: str, times: int = 1) -> None:
        """Return when so many of its attempts have begun."""
        await eventually(lambda: len(self.credentials(check_id)) == times, f"attempt {times} of {check_id} runs")

    async def ended(self, check_id: str) -> pb.MergeCheck:
        """The check once it has ended."""

        async def look() -> pb.MergeCheck | None:
            check = await self.get(check_id)
            return check if check.state == pb.MERGE_CHECK_STATE_ENDED else None

        return await eventually(look, f"check {check_id} has ended")


@asynccontextmanager
async def guarded(folder: Path, **settings: object) -> AsyncIterator[Guarded]:
    """All services of a new workspace, and a guarded repository that was looked at once."""
    async with deployed(folder, **settings) as system:
        at = Guarded(system, folder)
        at.prepare()
        system.agent("hold", "exec sleep 300")
        at.start_coordinator()
        system.start("safety", "runner-local")
        await system.serving("safety", "coordinator", "runner-local")
        yield at


async def confirmed(at: Guarded, check_id: str, token: str) -> str:
    """How the coordinator answers whoever asks whether a check may move its branch."""
    request = pb.ConfirmMergeCheckRequest(id=check_id, old_commit="a" * 40, new_commit="b" * 40)
    async with at.merges(token) as merges:
        try:
            return "may" if (await merges.ConfirmMergeCheck(request, timeout=PATIENCE_SECONDS)).may_move else "may not"
        except grpc.aio.AioRpcError as error:
            code: grpc.StatusCode = error.code()
            return str(code.name)


@pytest.mark.parametrize("within", measured(AT_ONCE_SECONDS))
async def test_with_ten_tasks_running_a_check_starts_at_once_and_is_known_by_its_credential(
    tmp_path: Path, within: float
) -> None:
    async with guarded(tmp_path) as at, at.system.coordinator() as client:
        await client.reload_agents()
        held = (await client.submit([TaskSpec(agent="hold")] * (SLOTS + 1))).tasks

        async def states() -> list[TaskState]:
            return [(await client.get_task(task.id)).state for task in held]

        async def all_run() -> bool:
            return (await states()).count(TaskState.RUNNING) == SLOTS

        await eventually(all_run, "every slot is taken")
        at.git("merge", "-q", "topic")
        watch = Stopwatch()
        check = await at.start()
        answered = watch.seconds
        await at.has_run(check.id)
        took = watch.seconds
        print(f"with {SLOTS} tasks in {SLOTS} slots: answered after {answered:.3f} s, its test runs after {took:.3f} s")
        assert took < within
        assert (await states()).count(TaskState.RUNNING) == SLOTS, "no task gave its place away, and none got one"
        assert (await client.get_task(check.task_id)).agent == "merge-check"

        (credential,) = at.credentials(check.id)
        others = {token: await confirmed(at, check.id, token) for token in (at.system.token, "qtm_nonsense")}
        assert set(others.values()) == {"UNAUTHENTICATED"}, "neither a person nor anybody else asks in its place"
        async with at.merges() as merges:
            seen = []
            async for each in merges.WatchMergeCheck(pb.WatchMergeCheckRequest(id=check.id)):
                seen.append(each.check)
                if each.check.progress == "run 1 of 5: red":
                    at.go(check.id)
        over = seen[-1]
        assert (over.verdict, over.action) == (pb.MERGE_VERDICT_BAD, pb.MERGE_ACTION_ROLLED_BACK)
        assert over.undo == f"quantum merge undo {check.id}"

        async def refused() -> bool:
            return await confirmed(at, check.id, credential) == "UNAUTHENTICATED"

        assert await eventually(refused, "it has died with its attempt")
        async with at.system.safety() as safety:

            async def told() -> tuple[int, int] | None:
                budgets = {each.scope: each for each in await safety.budgets.list()}
                found = budgets.get("project:HabitQuest")
                return (found.attempts, found.failures) if found else None

            assert await eventually(told, "the project's budget has heard") == (1, 1)

            async def rung() -> bool:
                causes = {alert.cause for alert in (await safety.alerts.list()).alerts}
                return "merge_rolled_back:trial" in causes

            await eventually(rung, "people are told")


async def test_a_check_outlives_the_coordinator_and_its_runner(tmp_path: Path) -> None:
    async with guarded(tmp_path, heartbeat_seconds=0.5) as at:
        check = await at.start()
        await at.has_run(check.id)
        at.system.kill("coordinator")
        at.start_coordinator()
        await at.system.serving("coordinator", "runner-local")
        (first,) = at.credentials(check.id)
        at.system.kill("runner-local")
        # What was lost with it is to be seen soon: until here, no lease was to run out.
        at.system.environ.update(QUANTUM_LEASE_SECONDS="4")
        at.system.kill("coordinator")
        at.start_coordinator()
        await at.system.serving("coordinator")
        await at.system.up("runner-local")
        await at.has_run(check.id, 2)
        assert await confirmed(at, check.id, first) == "UNAUTHENTICATED", "the first attempt may not move anything now"
        at.go(check.id)
        over = await at.ended(check.id)
        assert over.action == pb.MERGE_ACTION_ROLLED_BACK
        assert len(await at.checks()) == 1
        async with at.system.coordinator() as client:
            task = await client.get_task(check.task_id)
        assert (task.state, task.attempt) == (TaskState.SUCCEEDED, 2)
        print("2 kills of the coordinator, 1 of the runner: 2 attempts, 1 result")


async def test_a_merge_without_a_hook_is_found_and_a_reset_is_told(tmp_path: Path) -> None:
    async with guarded(tmp_path, merge_reconcile_seconds=0.2) as at:
        await eventually(lambda: at.system.workspace.system_log.exists(), "it has looked once")
        await _looked(at)
        at.git("merge", "-q", "topic")

        async def found() -> list[pb.MergeCheck]:
            return await at.checks()

        (check,) = await eventually(found, "the merge is found")
        assert (check.event, check.branch) == (pb.MERGE_EVENT_RECONCILE, "main")
        assert (check.old_commit, check.new_commit) == (at.git("rev-parse", "HEAD~1"), at.git("rev-parse", "HEAD"))
        await at.has_run(check.id)
        at.git("reset", "-q", "--hard", "HEAD~1")

        async def told() -> pb.MergeCheck | None:
            return next((each for each in await at.checks() if each.action == pb.MERGE_ACTION_REPORTED), None)

        report = await eventually(told, "the reset is told")
        assert "reset: moving to HEAD~1" in report.sentence
        assert len(await at.checks()) == 2


async def _looked(at: Guarded) -> None:
    """The first sight is only remembered: a note of a hook that is taken away says that it was."""
    notes = at.repository / ".git" / "quantum"
    notes.mkdir()
    (notes / "unchecked").write_text("2026-11-28T15:00:00Z post-rewrite - -\n")
    await eventually(lambda: not any(notes.iterdir()), "the pass has gone round")


@pytest.mark.parametrize("mode", ["DRAIN"])
async def test_in_drain_nothing_is_checked_until_it_is_over(tmp_path: Path, mode: str) -> None:
    async with guarded(tmp_path, merge_reconcile_seconds=0.2) as at, at.system.safety() as safety:
        await _looked(at)
        await safety.tighten_mode(mode, reason="a trial")
        at.git("merge", "-q", "topic")
        with pytest.raises(grpc.aio.AioRpcError) as said:
            await at.start()
        assert said.value.code() is grpc.StatusCode.UNAVAILABLE
        await _looked_again(at)
        assert await at.checks() == []
        await safety.resume_mode(reason="it is over")

        async def found() -> list[pb.MergeCheck]:
            return await at.checks()

        (check,) = await eventually(found, "what came meanwhile is looked at then")
        assert check.event == pb.MERGE_EVENT_RECONCILE


async def _looked_again(at: Guarded) -> None:
    await eventually(lambda: at.system.log_lines("merge_not_watched"), "the pass has tried in vain")
