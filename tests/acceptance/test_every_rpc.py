"""Every method of every service, with every kind of token: exactly the right answer, and none can be forgotten."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import protos
from foundation.rpc.channel import open_channel
from protos.scopes import scopes_of
from tests.acceptance.doors import EVERY_SCOPE, Doors, doors

TABLE = """
safety      AdmissionService  Admit               service:coordinator
safety      AdmissionService  Renew               service:coordinator
safety      AdmissionService  IdentifyAttempt     service:coordinator
safety      AlertService      RaiseAlert          service
safety      AlertService      ListAlerts          read
safety      AlertService      AcknowledgeAlert    operate
safety      AlertService      TestAlerts          operate
safety      AuditService      RecordActs          service:coordinator
safety      AuditService      ListAudit           admin
safety      AuditService      VerifyAudit         admin
safety      BreakerService    ListBreakers        read
safety      BreakerService    ForceOpenBreaker    operate
safety      BreakerService    ForceCloseBreaker   admin
safety      BreakerService    ResetBreaker        operate
safety      BudgetService     ListBudgets         read
safety      BudgetService     ResetBudget         operate
safety      BudgetService     RecordMergeOutcome  service:coordinator
safety      BudgetService     GetMergeStanding    read
safety      ModeService       GetMode             read
safety      ModeService       TightenMode         cancel
safety      ModeService       ResumeMode          operate
safety      RunnerAccessService InviteRunner      admin
safety      RunnerAccessService JoinRunner        join
safety      RunnerAccessService RenewRunner       runner
safety      RunnerAccessService RemoveRunner      admin
safety      SnapshotService   TakeSnapshot        service
safety      SpendService      ReserveSpend        spend
safety      SpendService      ExtendSpend         spend
safety      SpendService      SettleSpend         spend
safety      SpendService      ReleaseSpend        spend
safety      SpendService      CorrectSpend        operate
safety      SpendService      GetSpend            read
safety      SpendService      ListPrices          read
safety      SpendService      SetSpendCap         admin
safety      TokenService      ValidateToken       service
safety      TokenService      IssueToken          admin
safety      TokenService      ListTokens          read
safety      TokenService      RotateToken         rotate
safety      TokenService      ConfirmRotation     rotate
safety      TokenService      RevokeToken         admin
safety      TokenService      WatchRevocations    service
coordinator AgentService      ListAgents          read
coordinator AgentService      GetAgent            read
coordinator AgentService      ReloadAgents        operate
coordinator AgentService      ListProjects        read
coordinator BackupService     TakeSnapshot        operate
coordinator BackupService     TakeSnapshotForAttempt attempt
coordinator BackupService     ConcludeBackup      operate
coordinator BackupService     ConcludeBackupForAttempt attempt
coordinator QueueService      GetQueueStats       read
coordinator QueueService      PauseQueue          operate
coordinator QueueService      ResumeQueue         operate
coordinator QueueService      ClearQueue          operate
coordinator QueueService      UndoClearQueue      operate
coordinator FleetService      ListRunners         read
coordinator FleetService      DrainRunner         operate
coordinator FleetService      ResumeRunner        operate
coordinator MergeService      StartMergeCheck     merge
coordinator MergeService      LeaveMergeCheck     merge
coordinator MergeService      GetMergeCheck       merge
coordinator MergeService      ListMergeChecks     read
coordinator MergeService      WatchMergeCheck     merge
coordinator MergeService      ConfirmMergeCheck   attempt
coordinator MergeService      GetMergeFreedom     read
coordinator MergeService      ApproveMerge        operate
coordinator MergeService      RecordMergeUndone   operate
coordinator ReportService     ListReports         read
coordinator RunnerService     Attach              runner
coordinator RunnerService     GetScript           runner
coordinator ScheduleService   ListSchedules       read
coordinator ScheduleService   ExplainSchedule     read
coordinator ScheduleService   PauseSchedule       operate
coordinator ScheduleService   ResumeSchedule      operate
coordinator ScheduleService   RunSchedule         submit
coordinator TaskService       SubmitTasks         submit
coordinator TaskService       GetTask             read
coordinator TaskService       ListTasks           read
coordinator TaskService       CancelTasks         cancel
coordinator TaskService       RetryTasks          submit
coordinator TaskService       DecideTask          operate
coordinator TaskService       ExplainTask         read
coordinator TaskService       WatchTasks          read
coordinator TaskService       ReadLog             read
agent_runner AgentRunnerService DescribeRunner    read
agent_runner AgentRunnerService FollowLog         read
agent_runner AgentRunnerService DrainRunner       operate
"""
"""The scope that each method should need, written by hand: a method without its line here fails the tests."""

SOCKETS = {"safety": "safety", "coordinator": "coordinator", "agent_runner": "runner-local"}
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"

OF_ATTEMPTS = {"spend", "attempt"}
"""Scopes of an attempt's own credential, which no token has."""
OF_ONE_AGENT = {"BackupService/TakeSnapshotForAttempt", "BackupService/ConcludeBackupForAttempt"}
"""What a built-in agent's attempt alone may ask; the one that is shown here is of a user's agent."""
NOBODY, DENIED, IN = "UNAUTHENTICATED", "PERMISSION_DENIED", "in"
OWN_ANSWERS = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "ABORTED", "ALREADY_EXISTS"}
"""What a method itself answers to an empty request."""
DEADLINE_SECONDS = 120
SILENT_SECONDS = 1.0
"""A stream that should be let in, and says nothing for so long, is taken to stay open; for a refusal we wait."""


def expected() -> dict[str, str]:
    rows = [line.split() for line in TABLE.strip().splitlines()]
    return {f"/quantum.{package}.v1.{service}/{method}": scope for package, service, method, scope in rows}


def contracts() -> list[FileDescriptor]:
    names = [module.name for module in pkgutil.walk_packages(protos.__path__, "protos.")]
    modules = [importlib.import_module(name) for name in sorted(names) if name.endswith("_pb2")]
    return [module.DESCRIPTOR for module in modules]


def methods() -> dict[str, MethodDescriptor]:
    return {
        f"/{service.full_name}/{method.name}": method
        for file in contracts()
        for service in file.services_by_name.values()
        for method in service.methods
    }


def test_the_table_names_every_method_and_its_scope() -> None:
    assert dict(scopes_of(contracts())) == expected()


def satisfying(scope: str) -> frozenset[str]:
    return frozenset(one for one in EVERY_SCOPE if one == scope or (scope == "service" and one.startswith("service:")))


def right(scope: str) -> frozenset[str]:
    """No more than what is needed."""
    return frozenset(sorted(satisfying(scope))[:1])


def wrong(scope: str) -> frozenset[str]:
    """Everything but what is needed."""
    return EVERY_SCOPE - satisfying(scope)


async def test_every_method_with_every_kind_of_token(tmp_path: Path) -> None:
    scopes = set(expected().values()) | {"read"}
    wanted = {right(scope) for scope in scopes - OF_ATTEMPTS} | {wrong(scope) for scope in scopes}
    async with doors(tmp_path, wanted) as at:
        channels = Channels(at)
        served = {name: set(await channels.served(name)) for name in SOCKETS}
        built_in = [await channels.built_in(name, text) for name in SOCKETS for text in (None, at.keyring.unknown)]
        seen = await try_all(channels, at)
        await channels.close()
    assert served == {name: own_services(name) | {HEALTH, REFLECTION} for name in SOCKETS}, (
        "what is served is in no contract"
    )
    assert built_in == [("OK", NOBODY)] * 6, "health is for everybody, reflection is not"
    differ = {key: f"{got}, not {answer}" for key, (got, answer) in seen.items() if got != answer}
    print(f"{len(methods())} methods, {len(seen)} calls: {dict(Counter(got for got, _ in seen.values()))}")
    assert differ == {}
    assert len(seen) >= len(expected()) * 12


def own_services(name: str) -> set[str]:
    return {path.split("/")[1] for path in expected() if path.startswith(f"/quantum.{name}.")}


async def try_all(channels: Channels, at: Doors) -> dict[tuple[str, str], tuple[str, str]]:
    """What each method answers to each text, and what it should."""
    seen = {}
    # What opens comes last: some of it changes how the system stands.
    for kind in ("worthless", "wrong", "attempt", "right"):
        for path, method in methods().items():
            for column, (text, answer) in shown(at, path, kind).items():
                silent_max = SILENT_SECONDS if answer == IN else DEADLINE_SECONDS
                seen[path, column] = (await channels.call(path, method, text, silent_max), answer)
    return seen


def shown(at: Doors, path: str, kind: str) -> dict[str, tuple[str | None, str]]:
    """What is shown at a method, by its kind, and the answer that is right."""
    scope, keyring = expected()[path], at.keyring
    if kind == "worthless":
        return {column: (text, NOBODY) for column, text in keyring.worthless().items()}
    if kind == "wrong":
        # Where the coordinator takes an attempt's credential, it takes nothing else, and knows no token.
        answer = NOBODY if scope == "attempt" else DENIED
        return {"wrong scope": (keyring.with_scopes(wrong(scope)), answer)}
    if kind == "attempt":
        # Safety knows attempts, and they may spend; elsewhere, but for one method, it is a text that nobody knows.
        answer = IN if scope in OF_ATTEMPTS else DENIED if path.startswith("/quantum.safety.") else NOBODY
        if path.rpartition(".")[2] in OF_ONE_AGENT:
            answer = DENIED
        return {"attempt": (keyring.attempt, answer)}
    return {} if scope in OF_ATTEMPTS else {"right": (keyring.with_scopes(right(scope)), IN)}


class Channels:
    """A channel to each service for each text that is shown."""

    def __init__(self, at: Doors) -> None:
        self._at = at
        self._open: dict[tuple[str, str | None], grpc.aio.Channel] = {}

    def to(self, name: str, text: str | None) -> grpc.aio.Channel:
        if (name, text) not in self._open:
            path = self._at.system.workspace.socket(SOCKETS[name])
            self._open[name, text] = open_channel(path, token=lambda: text)
        return self._open[name, text]

    async def close(self) -> None:
        for channel in self._open.values():
            await channel.close()

    async def call(self, path: str, method: MethodDescriptor, text: str | None, silent_max: float) -> str:
        """How a request, empty as far as that goes, fares: `in` when the method itself has answered it."""
        channel = self.to(path.split(".")[1], text)
        request, reply = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        # An empty request to look at a token is answered as a bad token is.
        asked = {}
        if path.endswith("/ValidateToken"):
            asked = {"token": self._at.keyring.with_scopes({"read"})}
        elif path.endswith("/IdentifyAttempt"):
            asked = {"credential": self._at.keyring.attempt}
        # Nothing is written to a stream: a refusal that crosses a write loses its reason inside grpc.
        sent: Any = None if method.client_streaming else request(**asked)
        ways = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, False): channel.stream_unary,
            (True, True): channel.stream_stream,
        }
        way: Any = ways[method.client_streaming, method.server_streaming]
        call = way(path, request_serializer=request.SerializeToString, response_deserializer=reply.FromString)(
            sent, timeout=DEADLINE_SECONDS
        )
        code = await (_of_stream(call, silent_max) if method.server_streaming else call.code())
        return IN if code.name in OWN_ANSWERS else str(code.name)

    async def built_in(self, name: str, text: str | None) -> tuple[str, str]:
        """How a question about its health and one about its methods fare."""
        check = self.to(name, text).unary_unary(
            f"/{HEALTH}/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        health = await check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_SECONDS).code()
        return str(health.name), str((await _of_stream(self._reflection(name, text), DEADLINE_SECONDS)).name)

    async def served(self, name: str) -> list[str]:
        """The services that a server says it has, to one who may read."""
        call = self._reflection(name, self._at.keyring.with_scopes({"read"}))
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await call.read()
        return [service.name for service in answer.list_services_response.service]

    def _reflection(self, name: str, text: str | None) -> Any:
        ask = self.to(name, text).stream_stream(
            f"/{REFLECTION}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        return ask(timeout=DEADLINE_SECONDS)


async def _of_stream(call: Any, silent_max: float) -> grpc.StatusCode:
    """The code of a stream that ends; OK for one that has something to say, or is silent for so long and stays open."""
    try:
        async with asyncio.timeout(silent_max):
            first = await call.read()
    except TimeoutError:  # which has cancelled the read, and with it the call
        return grpc.StatusCode.OK
    except grpc.aio.AioRpcError as error:
        return error.code()
    if first is grpc.aio.EOF:
        code: grpc.StatusCode = await call.code()
        return code
    call.cancel()
    return grpc.StatusCode.OK


def test_a_method_that_is_not_in_the_table_would_be_seen() -> None:
    short = expected()
    short.popitem()
    with pytest.raises(AssertionError):
        assert dict(scopes_of(contracts())) == short
