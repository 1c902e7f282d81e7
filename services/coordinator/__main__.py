"""Starts the coordinator: `python -m services.coordinator [serve|…] [--workspace PATH] [--debug]`."""

from __future__ import annotations

import argparse
import sys

from foundation.unit import add_options, run_process
from foundation.workspace import Workspace
from services.coordinator.offline import TAKES_INPUT, VERBS, answer


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m services.coordinator", description=__doc__)
    parser.add_argument("verb", nargs="?", choices=("serve", *VERBS), default="serve")
    parser.add_argument("--backup", default="", help="the id of a backup, for `snapshot`")
    add_options(parser)
    options = parser.parse_args()
    return run_process("coordinator", options, lambda workspace: _do(options, workspace))


def _do(options: argparse.Namespace, workspace: Workspace) -> None:
    if options.verb == "serve":
        _serve(workspace)
        return
    given = sys.stdin.read() if options.verb in TAKES_INPUT else ""
    print(answer(options.verb, workspace, given, options.backup), end="")


def _serve(workspace: Workspace) -> None:
    # Loaded here: an offline verb is asked several times in one backup, and needs neither gRPC nor any servicer.
    from foundation.rpc.run import run
    from foundation.settings import load
    from services.coordinator.settings import CoordinatorSettings
    from services.coordinator.wiring import serve

    settings = load(CoordinatorSettings, workspace=workspace)
    run(lambda stop: serve(workspace, settings, stop))


if __name__ == "__main__":
    sys.exit(main())
