"""Starts the gateway: `python -m gateway --workspace PATH [--debug]`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from foundation.errors import Kind, QuantumError
from foundation.identity import IdentityFile
from foundation.log import configure, get_logger
from foundation.settings import load
from foundation.workspace import Workspace, find_workspace
from gateway.address import address_of
from gateway.draining import Drain
from gateway.listening import claim_port
from gateway.settings import GatewaySettings

EXIT_CODES = {Kind.INVALID: 78, Kind.NOT_FOUND: 78, Kind.CONFLICT: 69, Kind.DENIED: 77}
"""As in sysexits.h: a configuration that is not right, something that is taken, rights that are missing."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the gateway until SIGTERM or SIGINT; the exit code is 0, or one of `EXIT_CODES`, or 1."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description="The HTTP gateway of a workspace.")
    parser.add_argument("--workspace", type=Path, help="default: QUANTUM_WORKSPACE, else the nearest one upwards")
    parser.add_argument("--debug", action="store_true", help="say more, on standard error")
    given = parser.parse_args(arguments)
    try:
        if given.workspace is None:
            workspace = find_workspace(os.environ, Path.cwd())
        else:
            workspace = Workspace(given.workspace.resolve())
        settings = load(GatewaySettings, workspace=workspace)
        configure("gateway", system_log=workspace.system_log, debug=given.debug)
        serve(workspace, settings)
    except QuantumError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return EXIT_CODES.get(error.kind, 1)
    return 0


def serve(workspace: Workspace, settings: GatewaySettings) -> None:
    """Takes the port and serves until told to stop.

    Raises Conflict or Denied when the port cannot be had, NotFound beyond loopback without an identity.
    """
    wanted = address_of(settings.gateway_host, settings.gateway_port, settings.gateway_names)
    identity = IdentityFile(workspace.identity("gateway")) if wanted.tls else None
    if identity is not None:
        identity.current()
    port, held = claim_port(wanted.host, wanted.port)
    address = replace(wanted, port=port)
    # Only now what takes time to load, so that a port in use is said at once.
    from gateway.server import Server
    from gateway.wiring import wire

    log, drain = get_logger("gateway"), Drain()

    def listening() -> None:
        where = f"{address.scheme}://{address.hosts[0]}"
        log.info(f"The gateway answers on {where}.", action="gateway_listening", port=port)

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
