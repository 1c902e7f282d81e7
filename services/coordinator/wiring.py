"""All parts of the coordinator put together; the wiring is the picture."""

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta

from clients.caching_verifier import CachingTokenVerifier
from clients.safety import SafetyClient
from foundation.clock import SystemClock
from foundation.credential import RenewedCredential
from foundation.database_key import read_with_keys
from foundation.disk import FolderDisk, Reserve
from foundation.errors import NotFound
from foundation.ids import SystemIds, SystemRandomness
from foundation.log import get_logger
from foundation.rpc.run import spare_the_loaded
from foundation.rpc.server import RpcServer
from foundation.rpc.tls import door_of
from foundation.secrets import SERVICE_TOKEN, service_account
from foundation.stop_file import StopFile
from foundation.workspace import Workspace
from protos.coordinator.v1 import (
    agents_pb2,
    agents_pb2_grpc,
    backups_pb2,
    backups_pb2_grpc,
    fleet_pb2,
    fleet_pb2_grpc,
    merges_pb2,
    merges_pb2_grpc,
    queue_pb2,
    queue_pb2_grpc,
    reports_pb2,
    reports_pb2_grpc,
    runners_pb2,
    runners_pb2_grpc,
    schedules_pb2,
    schedules_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
)
from protos.scopes import scopes_of
from services.coordinator.adapters.catalogue_files import FileCatalogue
from services.coordinator.adapters.error_files import ErrorFiles
from services.coordinator.adapters.exports import AGENTS_REMEDY, QUEUE_REMEDY, ExportFile
from services.coordinator.adapters.git_repositories import GitRepositories
from services.coordinator.adapters.local_zone import local_zone
from services.coordinator.adapters.merge_safety import AttemptVerifier, ClientMergeSafety
from services.coordinator.adapters.safety_gate import ClientAuditLog, ClientBell, ClientGate
from services.coordinator.adapters.snapshots import WorkspaceSnapshots
from services.coordinator.adapters.sqlite import SqliteStore
from services.coordinator.app.acts import TellActs
from services.coordinator.app.agents import Agents, Breakers
from services.coordinator.app.alerts import TellAlerts
from services.coordinator.app.attachments import Attachments, LeaseTimes
from services.coordinator.app.backups import LOOK_SECONDS, Backups
from services.coordinator.app.cancel import Cancel
from services.coordinator.app.changes import Changes
from services.coordinator.app.clear import Clear, UndoClear
from services.coordinator.app.decide import Decide
from services.coordinator.app.disk_guard import DiskGuard
from services.coordinator.app.dispatch import Dispatch
from services.coordinator.app.drains import Drains
from services.coordinator.app.due import Due
from services.coordinator.app.explain import Explain
from services.coordinator.app.footprints import Footprints
from services.coordinator.app.holdings import Holdings
from services.coordinator.app.intake import Intake
from services.coordinator.app.keep_services import KeepServices
from services.coordinator.app.log import ReadLog
from services.coordinator.app.merges_guard import MergeGuard
from services.coordinator.app.open_tasks import OpenTasksCap
from services.coordinator.app.outbox import Outbox
from services.coordinator.app.queue import Queue
from services.coordinator.app.renewal import Renewal
from services.coordinator.app.retention import Retention, rules_of
from services.coordinator.app.retry import Retry
from services.coordinator.app.schedule_book import ScheduleBook
from services.coordinator.app.services import Services
from services.coordinator.app.submit import Submit, SubmitRules
from services.coordinator.app.tell_errors import TellErrors
from services.coordinator.app.timetable import Timetable
from services.coordinator.backup_servicer import BackupServicer
from services.coordinator.fleet_servicer import FleetServicer
from services.coordinator.loops import RETENTION_INTERVAL, TELL_ACTS_SECONDS, DueLoop, Exports, every, scan
from services.coordinator.merge_servicer import MergeServicer
from services.coordinator.ports import Snapshots, Store
from services.coordinator.ports_merges import MergeSafety
from services.coordinator.ports_safety import AlertBell, AuditLog, SafetyGate
from services.coordinator.runner_servicer import RunnerServicer
from services.coordinator.schedule_servicer import ScheduleServicer
from services.coordinator.servicer import AgentServicer, QueueServicer, ReportServicer, TaskServicer
from services.coordinator.settings import CoordinatorSettings

_SECRET_WITHIN = timedelta(seconds=5)
_STOP_GRACE = timedelta(seconds=2)
_CONTRACTS = (
    *(tasks_pb2, queue_pb2, agents_pb2, reports_pb2, runners_pb2),
    *(fleet_pb2, merges_pb2, schedules_pb2, backups_pb2),
)
_PACKAGE = "quantum.coordinator.v1"
_NARROW = {"runner": frozenset(f"/{_PACKAGE}.RunnerService/{method}" for method in ("Attach", "GetScript"))}
"""What a machine that is only a runner may ask over TCP, whatever token somebody might use there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the coordinator stands on, made once."""

    workspace: Workspace
    settings: CoordinatorSettings
    store: Store
    catalogue: FileCatalogue
    gate: SafetyGate
    audit_log: AuditLog
    bell: AlertBell
    merge_safety: MergeSafety
    snapshots: Snapshots
    clock: SystemClock
    changes: Changes


class Coordinator:
    """All parts wired together; the wiring is the picture."""

    def __init__(self, around: Surroundings) -> None:
        workspace, settings, clock = around.workspace, around.settings, around.clock
        store, catalogue, gate, changes = around.store, around.catalogue, around.gate, around.changes
        self._around = around
        rule = settings.retry_rule
        self.times = LeaseTimes(
            lease=timedelta(seconds=settings.lease_seconds),
            heartbeat=timedelta(seconds=settings.heartbeat_seconds),
            pause_max=timedelta(seconds=settings.paused_seconds_max),
        )
        attachments, holdings, outbox, footprints = Attachments(), Holdings(), Outbox(), Footprints()
        randomness = SystemRandomness()
        self.services = Services(catalogue, changes, around.bell)
        told = self.services
        self.intake = Intake(
            store, changes, catalogue, rule, outbox, holdings, footprints, told, clock=clock, randomness=randomness
        )
        self.dispatch = Dispatch(
            store,
            gate,
            catalogue,
            changes,
            attachments,
            holdings,
            self.intake,
            outbox,
            footprints,
            StopFile(workspace.stop_file),
            workspace_folder=str(workspace.root),
            defaults=settings.defaults,
            paused_max=settings.paused_attempts_max,
            silent_after=self.times.silent_after,
            clock=clock,
        )
        self.drains = Drains(
            store,
            attachments,
            holdings,
            recall=self.dispatch.recall_from,
            wake=self.dispatch.wake,
            clock=clock,
        )
        self.renewal = Renewal(
            store,
            gate,
            catalogue,
            changes,
            attachments,
            holdings,
            self.dispatch,
            outbox,
            rule,
            self.times,
            clock=clock,
            randomness=randomness,
        )
        timetable = Timetable(catalogue, lambda: settings.schedule_timezone or local_zone(os.environ), clock=clock)
        self.agents = Agents(store, catalogue, self.dispatch, Breakers(gate, clock=clock), self.services, timetable)
        ids = SystemIds(clock)
        disk, reserve = FolderDisk(workspace.state), Reserve(workspace.state / "reserve", settings.disk_reserve_bytes)
        self.disk_guard = DiskGuard(disk, settings.disk_free_bytes_min, reserve, around.bell)
        self.cap = OpenTasksCap(settings.open_tasks_max, self.disk_guard.refuse_when_short)
        good_for = settings.keys_good_for
        rules = SubmitRules(timeout=settings.timeout, retries_max=settings.max_retries, keys_good_for=good_for)
        self.submit = Submit(store, catalogue, changes, self.cap, rules, ids=ids, clock=clock)
        self.cancel = Cancel(store, changes, ids=ids, clock=clock)
        self.keep_services = KeepServices(
            store, catalogue, self.submit, self.cancel, end_attempt=self.renewal.end_attempts
        )
        self.due = DueLoop(Due(store, changes, clock=clock), changes, clock=clock)
        self.retention = Retention(store, rules_of(settings), clock=clock)
        self.explain = Explain(store, catalogue, self.dispatch, self.services, clock=clock)
        self.schedules = ScheduleBook(store, timetable, self.submit, self.explain, self.dispatch, clock=clock)
        self.read_log = ReadLog(store, changes, self.dispatch)
        repositories, safety = GitRepositories(workspace.repositories_file), around.merge_safety
        self.merges = MergeGuard(
            store,
            catalogue,
            changes,
            repositories,
            safety,
            self.explain,
            self.read_log,
            attachments,
            disk_short=lambda: self.disk_guard.room.sentence,
            ids=ids,
            clock=clock,
        )
        overdue = timedelta(seconds=settings.backup_overdue_seconds)
        self.backups = Backups(store, catalogue, around.snapshots, overdue_after=overdue, clock=clock)
        self.tell_acts = TellActs(store, around.audit_log)
        self.tell_alerts = TellAlerts(store, around.bell)
        errors = ErrorFiles(workspace.logs / "errors", settings.errors_bytes_max, settings.errors_files_max)
        self.tell_errors = TellErrors(store, errors)
        self.exports = Exports(
            store,
            self.agents,
            changes,
            queue_file=ExportFile(workspace.root / "task_queue.json", QUEUE_REMEDY),
            agents_file=ExportFile(workspace.root / "agent_status.json", AGENTS_REMEDY),
            open_max=settings.export_open_tasks_max,
            ended_max=settings.export_ended_tasks_max,
            bytes_max=settings.exports_bytes_max,
            clock=clock,
        )

    def add_to(self, server: RpcServer) -> None:
        """Put every servicer behind its door."""
        around = self._around
        store, catalogue, changes = around.store, around.catalogue, around.changes
        clock, settings = around.clock, around.settings
        ids = SystemIds(clock)
        cap = self.cap
        tasks = TaskServicer(
            store,
            changes,
            self.services,
            catalogue,
            submit=self.submit,
            cancel=self.cancel,
            retry=Retry(store, catalogue, changes, cap, keys_good_for=settings.keys_good_for, ids=ids, clock=clock),
            decide=Decide(store, changes, clock=clock),
            explain=self.explain,
            read_log=self.read_log,
        )
        queue = QueueServicer(
            Queue(
                store,
                self.dispatch,
                open_max=settings.open_tasks_max,
                disk_free_bytes=FolderDisk(around.workspace.state).free_bytes,
                clock=clock,
            ),
            Clear(store, changes, ids=ids, clock=clock),
            UndoClear(store, catalogue, changes, cap, ids=ids, clock=clock),
        )
        runners = RunnerServicer(self.renewal, self.intake, self.dispatch, self.times, catalogue)
        agents, reports = AgentServicer(self.agents, catalogue), ReportServicer(store)
        fleet = FleetServicer(self.dispatch, self.drains)
        server.add(tasks_pb2_grpc.add_TaskServiceServicer_to_server, tasks, f"{_PACKAGE}.TaskService")
        server.add(queue_pb2_grpc.add_QueueServiceServicer_to_server, queue, f"{_PACKAGE}.QueueService")
        server.add(agents_pb2_grpc.add_AgentServiceServicer_to_server, agents, f"{_PACKAGE}.AgentService")
        server.add(reports_pb2_grpc.add_ReportServiceServicer_to_server, reports, f"{_PACKAGE}.ReportService")
        server.add(runners_pb2_grpc.add_RunnerServiceServicer_to_server, runners, f"{_PACKAGE}.RunnerService")
        server.add(fleet_pb2_grpc.add_FleetServiceServicer_to_server, fleet, f"{_PACKAGE}.FleetService")
        add_backups = backups_pb2_grpc.add_BackupServiceServicer_to_server
        server.add(add_backups, BackupServicer(self.backups), f"{_PACKAGE}.BackupService")
        add_schedules = schedules_pb2_grpc.add_ScheduleServiceServicer_to_server
        server.add(add_schedules, ScheduleServicer(self.schedules, catalogue), f"{_PACKAGE}.ScheduleService")
        merges = MergeServicer(self.merges)
        server.add(merges_pb2_grpc.add_MergeServiceServicer_to_server, merges, f"{_PACKAGE}.MergeService")

    async def run_loops(self, stop: asyncio.Event) -> None:
        """Run everything that runs by itself until `stop`; a loop that ends by a fault of ours ends them all."""
        settings = self._around.settings
        scan_pause, catalogue = settings.catalogue_scan_seconds, self._around.catalogue
        loops = (
            self.dispatch.run(),
            self.intake.run(),
            every(lambda: self.renewal.pause_seconds(settings.tick_seconds), self.renewal.tick, name="leases"),
            every(0, self.due.step, name="due"),
            every(self.schedules.keeper.pause_seconds, self.schedules.keeper.step, name="schedules"),
            every(TELL_ACTS_SECONDS, self.tell_acts.step, name="acts"),
            every(scan_pause, self.keep_services.step, name="services"),
            every(TELL_ACTS_SECONDS, self.services.tell, name="service_alerts"),
            every(TELL_ACTS_SECONDS, self.tell_alerts.step, name="alerts"),
            every(TELL_ACTS_SECONDS, self.tell_errors.step, name="errors"),
            every(1.0, self.disk_guard.step, name="disk"),
            every(TELL_ACTS_SECONDS, self.merges.sweep.step, name="merge_sweep"),
            every(TELL_ACTS_SECONDS, self.merges.tell.step, name="merge_outcomes"),
            every(settings.merge_reconcile_seconds, self.merges.reconcile.step, name="merge_reconcile"),
            every(LOOK_SECONDS, self.backups.step, name="backups"),
            every(RETENTION_INTERVAL.total_seconds(), self.retention.prune, name="retention"),
            every(settings.export_interval_seconds, self.exports.step, name="exports"),
            every(scan_pause, lambda: scan(catalogue, self._catalogue_changed), name="catalogue"),
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop) for loop in loops]
            await stop.wait()
            for task in tasks:
                task.cancel()

    def _catalogue_changed(self) -> None:
        self.exports.touch()
        self.dispatch.wake()


async def serve(workspace: Workspace, settings: CoordinatorSettings, stop: asyncio.Event) -> None:
    """Serve on the workspace's socket until `stop` is set.

    Safety may be out of reach: then callers that it has not vouched for are refused and nothing starts, until it
    answers.
    """
    if not workspace.coordinator_db.exists():
        raise NotFound("no_database", f"There is no {workspace.coordinator_db}.", remedy="`quantum init` makes it.")
    own = (SERVICE_TOKEN, service_account(workspace, "coordinator"))
    keys, [token] = read_with_keys(workspace, [own], within=_SECRET_WITHIN)
    clock = SystemClock()
    store = SqliteStore.open(workspace.coordinator_db, key=keys.key_of(workspace.coordinator_db))
    workspace.make_sockets()
    try:
        logger = get_logger("coordinator")
        credential = RenewedCredential(workspace, "coordinator", token, logger)
        async with SafetyClient.dial(workspace.socket("safety"), token=credential) as safety:
            verifier = CachingTokenVerifier(
                safety,
                clock,
                fresh_for=timedelta(seconds=settings.token_cache_seconds),
                grace=timedelta(seconds=settings.token_offline_seconds),
            )
            scopes = scopes_of(contract.DESCRIPTOR for contract in _CONTRACTS)
            roles = ("gateway", "runner", "user")
            door = door_of(workspace, "coordinator", settings.coordinator_listen, roles=roles, narrow=_NARROW)
            attempts = AttemptVerifier(safety)
            server = RpcServer(
                "coordinator", verifier=verifier, scopes=scopes, logger=logger, clock=clock, tcp=door, attempts=attempts
            )
            coordinator = Coordinator(
                Surroundings(
                    workspace=workspace,
                    settings=settings,
                    store=store,
                    catalogue=FileCatalogue(workspace.agents, workspace.projects_file),
                    gate=ClientGate(safety),
                    audit_log=ClientAuditLog(safety),
                    bell=ClientBell(safety),
                    merge_safety=ClientMergeSafety(safety, StopFile(workspace.stop_file)),
                    snapshots=WorkspaceSnapshots(workspace, store, safety),
                    clock=clock,
                    changes=Changes(),
                )
            )
            coordinator.add_to(server)
            await coordinator.drains.load()
            await coordinator.dispatch.start()
            await server.start(workspace.socket("coordinator"))
            await server.set_serving(True)
            spare_the_loaded()
            keeping = [
                asyncio.create_task(verifier.follow(safety.watch_revocations)),
                asyncio.create_task(credential.keep(timedelta(seconds=settings.token_overlap_seconds))),
            ]
            try:
                await coordinator.run_loops(stop)
            finally:
                for task in keeping:
                    task.cancel()
                await server.stop(_STOP_GRACE)
    finally:
        await store.close()
