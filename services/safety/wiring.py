"""All parts of safety put together; the wiring is the picture."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

from foundation.clock import SystemClock
from foundation.errors import NotFound
from foundation.ids import SystemRandomness, random_bytes
from foundation.log import get_logger
from foundation.rpc.server import RpcServer
from foundation.rpc.tls import door_of
from foundation.secrets import AGENT_SECRET, service_account
from foundation.secrets_apart import read_secrets_apart
from foundation.stop_file import StopFile
from foundation.workspace import Workspace
from protos.safety.v1 import (
    admission_pb2,
    admission_pb2_grpc,
    alerts_pb2,
    alerts_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    breakers_pb2,
    breakers_pb2_grpc,
    budgets_pb2,
    budgets_pb2_grpc,
    mode_pb2,
    mode_pb2_grpc,
    runners_pb2,
    runners_pb2_grpc,
    snapshots_pb2,
    snapshots_pb2_grpc,
    spend_pb2,
    spend_pb2_grpc,
    tokens_pb2,
    tokens_pb2_grpc,
)
from protos.scopes import scopes_of
from services.safety.adapters.alert_channels import open_channels
from services.safety.adapters.alert_config import AlertConfig, read_alert_config
from services.safety.adapters.authority_apart import AuthorityApart
from services.safety.adapters.checkpoint_file import FileCheckpoint
from services.safety.adapters.secret_notes import SecretNoteFiles
from services.safety.adapters.snapshots import WorkspaceSnapshots
from services.safety.adapters.spend_files import TariffFiles
from services.safety.adapters.sqlite import SqliteStore
from services.safety.adapters.stop_file import WorkspaceStopSignal
from services.safety.app.admit import Admission
from services.safety.app.alerts import Alerts
from services.safety.app.audit import Audit
from services.safety.app.breakers import Breakers
from services.safety.app.budgets import Budgets
from services.safety.app.mode import Modes
from services.safety.app.runners import Runners
from services.safety.app.secret_acts import TakeUpSecretActs
from services.safety.app.spend import Spend
from services.safety.app.spend_overview import SpendOverview
from services.safety.app.spend_verifier import AttemptsToo
from services.safety.app.state import SafetyState
from services.safety.app.tokens import Tokens
from services.safety.loops import flush_until
from services.safety.offline import keys_of, open_database
from services.safety.servicer import AdmissionServicer, BreakerServicer, ModeServicer, TokenServicer
from services.safety.servicer_alerts import AlertServicer
from services.safety.servicer_audit import AuditServicer
from services.safety.servicer_budgets import BudgetServicer
from services.safety.servicer_runners import RunnerAccessServicer
from services.safety.servicer_snapshots import SnapshotServicer
from services.safety.servicer_spend import SpendServicer
from services.safety.settings import SafetySettings

_STOP_GRACE = timedelta(seconds=2)
_CONTRACTS = (
    *(admission_pb2, alerts_pb2, audit_pb2, breakers_pb2, budgets_pb2),
    *(mode_pb2, runners_pb2, snapshots_pb2, spend_pb2, tokens_pb2),
)
_TOKENS, _RUNNERS = "/quantum.safety.v1.TokenService/", "/quantum.safety.v1.RunnerAccessService/"
_NARROW = {
    "join": frozenset({f"{_RUNNERS}JoinRunner"}),
    "runner": frozenset(
        {
            *(
                f"{_TOKENS}{method}"
                for method in ("ValidateToken", "WatchRevocations", "RotateToken", "ConfirmRotation")
            ),
            f"{_RUNNERS}RenewRunner",
        }
    ),
}
"""What a machine that is only a runner may ask over TCP, whatever token somebody might use there."""


async def serve(workspace: Workspace, settings: SafetySettings, stop: asyncio.Event) -> None:
    """Serve on the workspace's socket until `stop` is set."""
    clock, logger = SystemClock(), get_logger("safety")
    if not workspace.safety_db.exists():
        raise NotFound(
            "no_safety_database",
            f"There is no {workspace.safety_db}.",
            remedy="`quantum init` makes it.",
        )
    keys, audit_key = keys_of(workspace)
    alert_config = read_alert_config(workspace.alert_config)
    channels = open_channels(
        alert_config.channels, logger=logger, secret=_alert_secrets(workspace, alert_config).get, environ=os.environ
    )
    with open_database(workspace, keys) as database:
        store = SqliteStore(database)
        signal = WorkspaceStopSignal(StopFile(workspace.stop_file))
        state = await SafetyState.load(
            store,
            signal,
            clock,
            audit_key=audit_key,
            checkpoint=FileCheckpoint(workspace.audit),
            budget_rules=settings.budget_rules,
        )
        spend = Spend(state, TariffFiles(workspace.config_file.parent).read, settings.reservation_grace)
        tokens = Tokens(state, random_bytes=random_bytes, beat=settings.beat, overlap=settings.overlap)
        admission = Admission(state, settings.rules, SystemRandomness(), spend=spend)
        scopes = scopes_of(contract.DESCRIPTOR for contract in _CONTRACTS)
        roles = ("coordinator", "gateway", "runner", "user", "join")
        door = door_of(workspace, "safety", settings.safety_listen, roles=roles, narrow=_NARROW)
        server = RpcServer(
            "safety", verifier=AttemptsToo(spend, tokens), scopes=scopes, logger=logger, clock=clock, tcp=door
        )
        add = server.add
        add(
            admission_pb2_grpc.add_AdmissionServiceServicer_to_server,
            AdmissionServicer(admission, tokens),
            "quantum.safety.v1.AdmissionService",
        )
        alerts = Alerts(state, channels, alert_config.rules, workspace=str(workspace.root), logger=logger)
        add(
            alerts_pb2_grpc.add_AlertServiceServicer_to_server,
            AlertServicer(alerts),
            "quantum.safety.v1.AlertService",
        )
        audit = Audit(state, store)
        secret_acts = TakeUpSecretActs(audit, SecretNoteFiles(workspace.secret_acts))
        add(
            audit_pb2_grpc.add_AuditServiceServicer_to_server,
            AuditServicer(audit),
            "quantum.safety.v1.AuditService",
        )
        add(
            breakers_pb2_grpc.add_BreakerServiceServicer_to_server,
            BreakerServicer(Breakers(state, store)),
            "quantum.safety.v1.BreakerService",
        )
        add(
            budgets_pb2_grpc.add_BudgetServiceServicer_to_server,
            BudgetServicer(Budgets(state)),
            "quantum.safety.v1.BudgetService",
        )
        add(
            mode_pb2_grpc.add_ModeServiceServicer_to_server,
            ModeServicer(Modes(state, signal)),
            "quantum.safety.v1.ModeService",
        )
        add(
            spend_pb2_grpc.add_SpendServiceServicer_to_server,
            SpendServicer(spend, SpendOverview(state, spend)),
            "quantum.safety.v1.SpendService",
        )
        add(
            tokens_pb2_grpc.add_TokenServiceServicer_to_server,
            TokenServicer(tokens),
            "quantum.safety.v1.TokenService",
        )
        runners = Runners(state, tokens, AuthorityApart(workspace, clock), lifetime=settings.runner_lifetime)
        add(
            runners_pb2_grpc.add_RunnerAccessServiceServicer_to_server,
            RunnerAccessServicer(runners),
            "quantum.safety.v1.RunnerAccessService",
        )
        add(
            snapshots_pb2_grpc.add_SnapshotServiceServicer_to_server,
            SnapshotServicer(WorkspaceSnapshots(workspace, database.copy_to)),
            "quantum.safety.v1.SnapshotService",
        )
        workspace.make_sockets()
        await server.start(workspace.socket("safety"))
        await server.set_serving(True)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(flush_until(stop, state, sweeps=(spend.sweep, secret_acts.sweep)))
                group.create_task(alerts.run(stop))
        finally:
            await server.stop(_STOP_GRACE)
            await state.flush()


def _alert_secrets(workspace: Workspace, config: AlertConfig) -> dict[str, str]:
    """The secrets that channels name, from the keychain; one that is not there is missed when it is needed."""
    names = sorted({channel.secret for channel in config.channels if channel.secret})
    if not names:
        return {}
    wanted = [(AGENT_SECRET, service_account(workspace, name)) for name in names]
    _, found = read_secrets_apart(workspace, wanted, within=timedelta(0))
    return {name: secret for name, secret in zip(names, found, strict=True) if secret is not None}
