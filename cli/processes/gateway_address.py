"""Where this workspace's gateway is found, and what it says of its health."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass

from foundation.addresses import is_loopback, is_wildcard
from foundation.workspace import Workspace


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """The address on which it listens; beyond loopback it speaks TLS, to this machine too."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Its address for whoever sits at this machine."""
        if is_loopback(self.host):
            return f"http://localhost:{self.port}"
        return f"https://{'localhost' if is_wildcard(self.host) else self.host}:{self.port}"

    def health(self, workspace: Workspace, timeout_seconds: float = 2.0) -> str:
        """What its bare /health says: "ok", "degraded" or "down"; "" when nobody answers, or somebody else."""
        # No proxy from the environment: this is our own machine. localhost may mean ::1 first, where nobody listens.
        url = self.url.replace("http://localhost:", "http://127.0.0.1:")
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        try:
            if url.startswith("https:"):
                handlers.append(urllib.request.HTTPSHandler(context=_trusting(workspace)))
            with urllib.request.build_opener(*handlers).open(f"{url}/health", timeout=timeout_seconds) as answer:
                return str(json.load(answer)["status"])
        except urllib.error.HTTPError as error:
            return "down" if error.code == 503 else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""


def _trusting(workspace: Workspace) -> ssl.SSLContext:
    """A context that trusts this workspace's own authority alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(workspace.authority)
    return context
