"""Starts the gateway: `python -m gateway --workspace PATH [--debug]`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace

from foundation import notify
from foundation.identity import IdentityFile
from foundation.log import get_logger
from foundation.settings import load
from foundation.unit import add_options, run_process, until_free, write_record
from foundation.workspace import Workspace
from gateway.address import address_of
from gateway.beating import beat_while_it_answers
from gateway.draining import Drain
from gateway.listening import claim_port
from gateway.settings import GatewaySettings


def main(arguments: list[str] | None = None) -> int:
    """Runs the gateway until SIGTERM or SIGINT; the exit code is 0, or that of an error in foundation/unit."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description="The HTTP gateway of a workspace.")
    add_options(parser)
    given = parser.parse_args(arguments)
    return run_process(
        "gateway", given, lambda workspace: serve(workspace, load(GatewaySettings, workspace=workspace), given.unit)
    )


def serve(workspace: Workspace, settings: GatewaySettings, unit: str | None) -> None:
    """Takes the port and serves until told to stop; as a unit it waits for a port that somebody else has.

    Raises Conflict or Denied when the port cannot be had, NotFound beyond loopback without an identity.
    """
    wanted = address_of(settings.gateway_host, settings.gateway_port, settings.gateway_names)
    identity = IdentityFile(workspace.identity("gateway")) if wanted.tls else None
    if identity is not None:
        identity.current()
    port, held = until_free(unit, "gateway", lambda: claim_port(wanted.host, wanted.port))
    address = replace(wanted, port=port)
    if unit is not None:
        write_record(workspace, "gateway", host=wanted.host, port=port)
    # Only now what takes time to load, so that a port in use is said at once.
    from gateway.server import Server
    from gateway.wiring import wire

    log, drain = get_logger("gateway"), Drain()

    def listening() -> None:
        where = f"{address.scheme}://{address.hosts[0]}"
        log.info(f"The gateway answers on {where}.", action="gateway_listening", port=port)
        notify.ready(f"Answers on {where}.")
        beat_while_it_answers(address, drain)

    app = wire(workspace, settings, address=address, drain=drain)
    server = Server(settings, address, identity, drain=drain, listening=listening)
    try:
        server.run(app)
    finally:
        if held is not None:
            held.close()
    if server.fault is not None:
        raise server.fault
    log.info("The gateway stopped.", action="gateway_stopped", port=port)


if __name__ == "__main__":
    code = main()
    # A request that outlived the drain sits in a thread that would keep this process alive.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
