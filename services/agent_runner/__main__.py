"""Starts a runner: `python -m services.agent_runner --name NAME [--label KEY=VALUE]… [--workspace PATH] [--debug]`."""

from __future__ import annotations

import argparse
import sys

from foundation.labels import labels_of
from foundation.rpc.run import run
from foundation.settings import load
from foundation.unit import add_options, run_process
from foundation.workspace import Workspace
from services.agent_runner.adapters.own_credential import teller
from services.agent_runner.adapters.this_machine import own_labels
from services.agent_runner.domain.names import require_name
from services.agent_runner.settings import RunnerSettings
from services.agent_runner.wiring import serve


def main(arguments: list[str] | None = None) -> int:
    """Returns the process's exit code: 0 after a clean stop, 70 when the warden was lost, 77 when a runner that joined
    is let in no more, else that of an error in foundation/unit."""
    parser = argparse.ArgumentParser(prog="python -m services.agent_runner", description=__doc__)
    parser.add_argument("--name", default="local", help="unique in the fleet (default: local)")
    parser.add_argument(
        "--label", action="append", default=[], metavar="KEY=VALUE", help="what tasks may ask for; may be repeated"
    )
    parser.add_argument("--tell", type=int, help="descriptor that is closed after one line, once it is attached")
    add_options(parser)
    given = parser.parse_args(arguments)

    def work(workspace: Workspace) -> int:
        require_name(given.name)
        settings = load(RunnerSettings, workspace=workspace)
        labels = labels_of(own_labels(given.name), settings.runner_labels, given.label)
        tell = None if given.tell is None else teller(given.tell)
        return run(lambda stop: serve(workspace, given.name, labels, settings, stop, tell))

    return run_process("agent_runner", given, work, record=f"runner-{given.name}")


if __name__ == "__main__":
    sys.exit(main())
