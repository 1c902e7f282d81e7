"""The unit that looks from time to time whether tokens and certificates of the running units are to be replaced."""

from __future__ import annotations

from cli.processes.running import read_running
from cli.processes.upkeep import renew_certificates, rotate_tokens
from cli.service.acting import manager_of
from cli.service.parts import PARTS
from cli.session import Session
from foundation.log import configure, get_logger


def keep_up(session: Session) -> bool:
    """Do it if the units run, and have the gateway started again with a new certificate; False when it failed."""
    workspace = session.workspace
    running = read_running(workspace)
    if running is None or not running.units:
        return True
    configure("upkeep", system_log=workspace.system_log, debug=False)
    log = get_logger("upkeep")
    if "gateway" in renew_certificates(workspace, session.secrets, session.environ, log, now=session.clock.now()):
        [gateway] = [part for part in PARTS if part.process == "gateway"]
        manager_of(workspace, session.environ).restart(gateway)
    return rotate_tokens(workspace, session.environ, log)
