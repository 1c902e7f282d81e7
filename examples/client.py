#!/usr/bin/env python3
"""An internal tool that speaks gRPC: submits a task, follows its output live, and ends with its exit code.

To talk it needs the stubs in `protos/`, grpcio, a token and the coordinator's socket, and nothing else of Quantum:

    quantum token show | python -m examples.client hello '{"name": "Ada"}'

The token comes on stdin, because an argument can be read by every process of the machine. The socket is that of the
workspace that `quantum` would choose, unless `--socket` names one; `--where` prints it, for `buf curl`. From another
machine it is `--connect HOST:PORT --identity FILE`, the file being what `quantum ca issue --role user` wrote.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc

from foundation.workspace import find_workspace
from protos.coordinator.v1 import tasks_pb2, tasks_pb2_grpc

# Every unary call carries a deadline; a server of Quantum refuses one without.
DEADLINE_SECONDS = 10
ENDED_WELL = tasks_pb2.TASK_STATE_SUCCEEDED


def dial(socket: str) -> grpc.Channel:
    """A channel to a coordinator on this machine."""
    return grpc.insecure_channel(f"unix:{socket}")


def dial_tcp(address: str, identity: Path) -> grpc.Channel:
    """A channel to a coordinator elsewhere: TLS on both sides, by certificates of its workspace's authority.

    The file holds our key, our certificate and the authority's. What the server shows must be the coordinator's,
    whatever the address is called.
    """
    key, certificate, authority = re.findall(rb"-----BEGIN.+?-----END [A-Z ]+-----\n", identity.read_bytes(), re.DOTALL)
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    options = (("grpc.ssl_target_name_override", "coordinator.quantum.internal"),)
    return grpc.secure_channel(address, credentials, options)


def run(opened: grpc.Channel, token: str, agent: str, params_json: str, project: str) -> int:
    """Run one agent to its end, copying its output to stdout, and return its exit code.

    Raises grpc.RpcError when a call is refused: its details() are a sentence. An end without an exit code (cancelled,
    dead) gives 1.
    """
    metadata = (("x-auth-token", token),)
    with opened as channel:
        tasks = tasks_pb2_grpc.TaskServiceStub(channel)
        spec = tasks_pb2.TaskSpec(agent=agent, params_json=params_json.encode(), project=project)
        submitted = tasks.SubmitTasks(
            tasks_pb2.SubmitTasksRequest(tasks=[spec]), metadata=metadata, timeout=DEADLINE_SECONDS
        )
        task = submitted.tasks[0]
        print(f"Accepted as {task.id}", file=sys.stderr)
        for chunk in tasks.ReadLog(tasks_pb2.ReadLogRequest(id=task.id, follow=True), metadata=metadata):
            sys.stdout.buffer.write(chunk.data)
            sys.stdout.buffer.flush()
            if chunk.HasField("ended"):
                task = chunk.ended
    words = tasks_pb2.TaskState.Name(task.state).removeprefix("TASK_STATE_").lower()
    print(f"{task.id} {words} {task.reason}".rstrip(), file=sys.stderr)
    if task.HasField("exit_code"):
        return task.exit_code
    return 0 if task.state == ENDED_WELL else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, and the token from stdin."""
    parser = argparse.ArgumentParser(description="Run one agent through the coordinator's gRPC socket.")
    parser.add_argument("--socket", help="path of the coordinator's socket; without it, this workspace's")
    parser.add_argument(
        "--connect", metavar="HOST:PORT", help="a coordinator that listens on TCP, in place of a socket"
    )
    parser.add_argument("--identity", type=Path, help="with --connect: the file that `quantum ca issue` wrote")
    parser.add_argument("--where", action="store_true", help="print that path and end")
    parser.add_argument("--project", default="", help="project to run in; without it, the workspace")
    parser.add_argument("agent", nargs="?", default="hello", help="name of the agent")
    parser.add_argument("params", nargs="?", default="{}", help="params as a JSON object")
    arguments = parser.parse_args(argv)
    if arguments.connect:
        if arguments.identity is None:
            parser.error("--connect needs --identity")
        channel = dial_tcp(arguments.connect, arguments.identity)
    else:
        socket = arguments.socket or str(find_workspace(os.environ, Path.cwd()).socket("coordinator"))
        if arguments.where:
            print(socket)
            return 0
        channel = dial(socket)
    token = sys.stdin.readline().strip()
    try:
        return run(channel, token, arguments.agent, arguments.params, arguments.project)
    except grpc.RpcError as refusal:
        print(f"{refusal.code().name}: {refusal.details()}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
