"""Signs of life for a service manager: given only when the gateway's own door has answered."""

from __future__ import annotations

import http.client
import ssl
from datetime import timedelta

from foundation import notify
from gateway.address import Address
from gateway.draining import Drain


def beat_while_it_answers(address: Address, drain: Drain) -> None:
    """Ask our own `/health` again and again until the drain begins, and give a sign of life for each answer.

    What it says does not matter: a gateway whose services are away answers too. Returns at once where nobody watches.
    """
    pause = notify.beat_seconds()
    while pause is not None and not drain.begun:
        # With all threads taken an answer takes its time; a second pause of it still leaves one for the next.
        if answers(address, patience_seconds=pause):
            notify.beat()
        drain.wait(timedelta(seconds=pause))


def answers(address: Address, *, patience_seconds: float) -> bool:
    """Whether the gateway at an address answers a request within a time, whatever it says."""
    knock = _knock(address, patience_seconds)
    try:
        knock.request("GET", "/health", headers={"Host": address.hosts[0]})
        return knock.getresponse().status > 0
    except (OSError, http.client.HTTPException):
        return False
    finally:
        knock.close()


def _knock(address: Address, seconds: float) -> http.client.HTTPConnection:
    if not address.tls:
        return http.client.HTTPConnection(address.near, address.port, timeout=seconds)
    # Who answers is known: this very process has the port.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(address.near, address.port, timeout=seconds, context=context)
