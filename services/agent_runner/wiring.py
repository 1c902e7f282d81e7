"""All parts of a runner put together; the wiring is the picture."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.attachment import Attachment
from clients.attachment_values import Hello, Welcome
from clients.safety import CachingTokenVerifier, SafetyClient
from foundation.agent_secrets import AgentSecrets
from foundation.clock import SystemClock
from foundation.disk import FolderDisk
from foundation.errors import Denied, QuantumError, Unauthenticated
from foundation.ids import SystemIds, SystemRandomness, random_bytes
from foundation.log import Logger, get_logger
from foundation.log_keeping import LogKeeper
from foundation.rpc.channel import Target
from foundation.rpc.server import RpcServer
from foundation.secrets import open_secret_store
from foundation.workspace import Workspace, WorkspaceLock
from protos.agent_runner.v1 import agent_runner_pb2, agent_runner_pb2_grpc
from protos.scopes import scopes_of
from services.agent_runner.adapters.agent_logs import LogFiles
from services.agent_runner.adapters.fetched_scripts import FetchedScripts, ProjectsHere
from services.agent_runner.adapters.kept_output import OutputBounds, SlotOutputs
from services.agent_runner.adapters.keychain import KeychainSecrets
from services.agent_runner.adapters.own_credential import OwnCredential
from services.agent_runner.adapters.own_services import OwnServices
from services.agent_runner.adapters.script_files import LocalScripts
from services.agent_runner.adapters.this_machine import gauges_of, memory_bytes
from services.agent_runner.adapters.warden_process import WardenProcess, end_orphans
from services.agent_runner.app.elsewhere import Elsewhere
from services.agent_runner.app.followers import Followers
from services.agent_runner.app.host_watch import HostWatch
from services.agent_runner.app.outbox import Outbox
from services.agent_runner.app.reading import Reading
from services.agent_runner.app.runner import Runner
from services.agent_runner.domain.reach import Confinement
from services.agent_runner.loops import Stream, read_behind_for_ever, watch_host_for_ever
from services.agent_runner.servicer import AgentRunnerServicer
from services.agent_runner.settings import RunnerSettings
from services.agent_runner.warden.facts import WardenFacts
from services.agent_runner.warden.host import RunMark
from services.agent_runner.warden.protocol import Message
from services.agent_runner.warden.slots import forget_secrets
from services.agent_runner.warden.this_host import this_host

if TYPE_CHECKING:
    from services.agent_runner.adapters.membership import Membership, SafetyElsewhere

Tell = Callable[[], None]
# A running attempt is handed back once its tree is proved dead, 12 s at the most.
_SHUT_DOWN_PATIENCE = timedelta(seconds=12)
_ACKNOWLEDGED_WITHIN_SECONDS = 1.0
_STOP_GRACE = timedelta(seconds=1)
_CHECKS_MAX = 2
"""Merge checks at the same time, beside the tasks. A runner that joined has none: the repositories are not there."""
_EXIT_WARDEN_LOST = 70
_EXIT_NOT_LET_IN = 77


async def serve(
    workspace: Workspace,
    name: str,
    labels: Mapping[str, str],
    settings: RunnerSettings,
    stop: asyncio.Event,
    tell: Tell | None = None,
) -> int:
    """Run attempts until `stop` is set; returns the exit code. `tell` hears that it is attached."""
    log, clock = get_logger("agent_runner"), SystemClock()
    folder = workspace.state / f"runner-{name}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with WorkspaceLock(folder / "lock"):
        parts = _Parts(workspace, name, labels, settings, folder, clock, log, tell or (lambda: None))
        starting, stopping = asyncio.create_task(parts.start_warden()), asyncio.create_task(stop.wait())
        # Reaping what an earlier run left may take a while; whoever wants us gone need not wait for it.
        ends: list[asyncio.Future[Any]] = [starting, stopping]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            return 0
        starting.result()
        return await parts.serve(stop)


class _Parts:
    """The wiring of one runner."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        labels: Mapping[str, str],
        settings: RunnerSettings,
        folder: Path,
        clock: SystemClock,
        log: Logger,
        tell: Tell,
    ) -> None:
        self._tell = tell
        self._workspace = workspace
        self._name = name
        self._labels = labels
        self._settings = settings
        self._folder = folder
        self._clock = clock
        self._log = log
        self._incarnation = SystemIds(clock).new()
        self._outbox = Outbox()
        files_max = settings.agent_log_files_max
        self._keeper = LogKeeper(workspace.logs, log, bytes_max=settings.logs_bytes_max, files_max=files_max)
        self._logs = LogFiles(
            workspace.logs,
            clock,
            asyncio.get_running_loop(),
            bytes_max=settings.agent_log_bytes_max,
            files_max=files_max,
            keeper=self._keeper,
        )
        bounds = OutputBounds(
            result=settings.result_output_bytes,
            head=settings.output_head_bytes,
            tail=max(settings.output_tail_bytes, settings.result_output_bytes),
            line=settings.output_line_bytes_max,
            report=settings.report_bytes_max,
        )
        kept, room = folder / "output", settings.attempt_files_bytes_max
        outputs = SlotOutputs(folder / "slots", kept, self._logs, bounds, bytes_max=room)
        self._secrets = open_secret_store(workspace, os.environ)
        self._reading = Reading(outputs, settings.report_bytes_max, log)
        self._runner: Runner | None = None
        self._membership = _membership(workspace, name, clock) if settings.is_elsewhere else None

    async def start_warden(self) -> None:
        """Have what an earlier run left behind ended, then be ready to spawn."""
        self._warden = await WardenProcess.start(
            self._folder,
            self._workspace.stop_file,
            random_bytes(16).hex(),
            WardenFacts(
                at_once=self._settings.max_concurrent_agents,
                paused_max=self._settings.paused_attempts_max,
                kernel_limits=self._settings.kernel_limits,
                cpu_limit=self._settings.cpu_limit,
                run_as_user=self._settings.run_as_user,
            ),
            self._on_news,
        )
        ready = self._warden.ready.result()
        self._mark = RunMark(*ready.mark)
        if ready.reaped:
            self._log.warning(
                f"{ready.reaped} processes of an earlier run were still there and have been ended.",
                action="runner_reaped",
                count=ready.reaped,
            )
        self._runner = Runner(
            slots=self._settings.max_concurrent_agents,
            prefetch=self._settings.prefetch,
            paused_max=self._settings.paused_attempts_max,
            terms=Welcome(self._settings.lease_seconds, self._settings.heartbeat_seconds, ()),
            enforcement=ready.enforcement,
            workspace=str(self._workspace.root),
            gateway=self._settings.gateway_url,
            # A cgroup's weight puts the user's work first already, and costs no switching to and fro.
            nice=0 if ready.enforcement.get("cpu") == "kernel" else self._settings.agents_nice,
            warden=self._warden,
            reading=self._reading,
            secrets=KeychainSecrets(AgentSecrets(self._workspace, self._secrets, self._clock)),
            outbox=self._outbox,
            scripts=LocalScripts(),
            clock=self._clock,
            log=self._log,
            confinement=Confinement(*ready.confinement),
        )

    def _on_news(self, messages: Sequence[Message]) -> None:
        if self._runner is not None:
            self._runner.news(messages)

    async def serve(self, stop: asyncio.Event) -> int:
        """Attach, answer, and end cleanly; returns the exit code."""
        runner = self._runner
        assert runner is not None, "the warden is started first"
        token = OwnCredential(self._workspace, self._secrets)
        young: list[asyncio.Task[None]] = []
        safety: SafetyClient | SafetyElsewhere
        if self._membership is None:
            safety = SafetyClient.dial(self._target("safety"), token=token)
        else:
            safety, renewing = self._elsewhere(self._membership, token)
            young.append(asyncio.create_task(renewing))
        verifier = CachingTokenVerifier(safety, self._clock)
        server = RpcServer(
            f"runner-{self._name}",
            verifier=verifier,
            scopes=scopes_of([agent_runner_pb2.DESCRIPTOR]),
            logger=self._log,
            clock=self._clock,
        )
        servicer = AgentRunnerServicer(self._name, self._mark.warden_pid, runner, self._reading, self._clock)
        server.add(
            agent_runner_pb2_grpc.add_AgentRunnerServiceServicer_to_server,
            servicer,
            "quantum.agent_runner.v1.AgentRunnerService",
        )
        self._workspace.make_sockets()
        await server.start(self._workspace.socket(f"runner-{self._name}"))
        await server.set_serving(True)
        self._keeper.start()
        keeping = asyncio.create_task(self._stream(runner, token).keep())
        reading = asyncio.create_task(read_behind_for_ever(runner, self._reading))
        watching = asyncio.create_task(watch_host_for_ever(self._host_watch(runner)))
        services = asyncio.create_task(runner.services.keep_alive())
        following = asyncio.create_task(verifier.follow(safety.watch_revocations))
        stopping = asyncio.create_task(stop.wait())
        try:
            ends: list[asyncio.Future[Any]] = [stopping, keeping, reading, watching, services, self._warden.gone]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._warden.gone.done():
                return self._bury()
            if keeping.done() and isinstance(error := keeping.exception(), QuantumError):
                return await self._leave(runner, error)
            for loop in (keeping, reading, watching, services):
                if loop.done():
                    loop.result()
            return await self._end(runner)
        finally:
            for end in (keeping, reading, watching, services, following, stopping, *young):
                end.cancel()
            await server.stop(_STOP_GRACE)
            await safety.close()
            self._logs.flush()
            self._keeper.close()
            self._warden.close()

    def _target(self, service: str) -> Target:
        """Where a service is: at its socket, or for a runner that joined, where it joined."""
        if self._membership is None:
            return self._workspace.socket(service)
        addresses = {"coordinator": self._settings.coordinator_address, "safety": self._settings.safety_address}
        return self._membership.target(addresses[service], service)

    def _elsewhere(
        self, membership: Membership, token: OwnCredential
    ) -> tuple[SafetyElsewhere, Coroutine[Any, Any, None]]:
        """Safety on another host, and what keeps this runner known there."""
        from services.agent_runner.adapters.membership import SafetyElsewhere, keep_young

        safety = SafetyElsewhere(lambda: SafetyClient.dial(self._target("safety"), token=token))
        renewing = keep_young(
            membership,
            safety,
            age=timedelta(seconds=self._settings.token_rotation_seconds),
            overlap=timedelta(seconds=self._settings.token_overlap_seconds),
            log=self._log,
        )
        return safety, renewing

    async def _leave(self, runner: Runner, error: QuantumError) -> int:
        """It is of the fleet no more: end what runs, which belongs to others now, and say why."""
        self._log.error(f"This runner is not let in any more: {error.message}", action="runner_refused")
        await runner.shut_down(_SHUT_DOWN_PATIENCE)
        print(f"agent_runner: {error.message}", *([f"→ {error.remedy}"] if error.remedy else []), file=sys.stderr)
        return _EXIT_NOT_LET_IN

    def _host_watch(self, runner: Runner) -> HostWatch:
        gauges = gauges_of(self._mark, OwnServices(self._workspace.runtime, self._workspace.units).pids)
        disk, least = FolderDisk(self._folder), self._settings.disk_free_bytes_min
        limits = self._settings.host_limits
        return HostWatch(gauges, limits, runner, self._clock, disk=disk, disk_free_bytes_min=least)

    def _stream(self, runner: Runner, token: OwnCredential) -> Stream:
        followers = Followers(
            self._reading, lambda ref: self._reading.find(runner.view(), ref.task_id, ref.fence), self._outbox
        )
        return Stream(
            dial=lambda: Attachment.dial(self._target("coordinator"), token=token),
            hello=lambda: Hello(
                name=self._name,
                host=platform.node(),
                incarnation=self._incarnation,
                slots=runner.slots,
                labels=self._labels,
                version=metadata_version(),
                held=runner.refs(),
                services_max=self._settings.max_services,
                memory_bytes=memory_bytes(),
                enforcement=runner.enforcement,
                checks_max=_CHECKS_MAX if self._membership is None else 0,
                returning=runner.welcomed,
            ),
            runner=runner,
            followers=followers,
            outbox=self._outbox,
            clock=self._clock,
            randomness=SystemRandomness(),
            log=self._log,
            elsewhere=self._leases_elsewhere(),
            # A runner of this workspace waits for better times; one that joined has lost its place for good.
            final=(Unauthenticated, Denied) if self._membership is not None else (),
            on_attached=self._tell,
        )

    def _leases_elsewhere(self) -> Elsewhere | None:
        if self._membership is None:
            return None
        workspace = self._workspace
        scripts = FetchedScripts(workspace.fetched_scripts / self._name)
        return Elsewhere(str(workspace.root), scripts, ProjectsHere(workspace.projects_file))

    async def _end(self, runner: Runner) -> int:
        if not await runner.shut_down(_SHUT_DOWN_PATIENCE):
            self._log.error("Some processes did not end in time; the warden goes on.", action="runner_stop_slow")
        if runner.attached:
            with suppress(TimeoutError):
                async with asyncio.timeout(_ACKNOWLEDGED_WITHIN_SECONDS):
                    await runner.debts.settled()
        return 0

    def _bury(self) -> int:
        self._log.error("The warden has ended unasked; its processes are ended now.", action="warden_lost")
        dead = end_orphans(this_host(), self._mark, self._clock, self._settings.stop_grace_seconds)
        if not dead:
            self._log.error("Some processes could not be ended.", action="orphans_left")
        forget_secrets(self._folder / "slots")
        return _EXIT_WARDEN_LOST


def _membership(workspace: Workspace, name: str, clock: SystemClock) -> Membership:
    # It brings a library for certificates, which a runner of this workspace does without.
    from services.agent_runner.adapters.membership import Membership

    return Membership(workspace, name, open_secret_store(workspace, os.environ), clock)


def metadata_version() -> str:
    """The version of this installation; `0` in a bare checkout."""
    try:
        return metadata.version("quantum")
    except metadata.PackageNotFoundError:
        return "0"
