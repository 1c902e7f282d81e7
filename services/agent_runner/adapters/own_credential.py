"""The runner's own token, and the word to whoever started it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from foundation.clock import SystemClock
from foundation.errors import NotFound
from foundation.secrets import SERVICE_TOKEN, SecretStore, service_account, wait_for_secret
from foundation.workspace import Workspace

_TOKEN_WITHIN = timedelta(seconds=5)


class OwnCredential:
    """The runner's own token, looked up anew for each call: rotation replaces it under a running process."""

    def __init__(self, workspace: Workspace, store: SecretStore) -> None:
        self._store = store
        self._account = service_account(workspace, "runner")
        token = wait_for_secret(self._store, SERVICE_TOKEN, self._account, within=_TOKEN_WITHIN, clock=SystemClock())
        if token is None:
            raise NotFound(
                "no_runner_credential",
                f"The runner's credential is not in this workspace's keychain ({self._store.describe}).",
                remedy="`quantum init` makes it in a new workspace.",
            )
        self._last = token

    def __call__(self) -> str:
        """The token; on macOS it may be missing for a moment while it is replaced, and then the last one
        serves."""
        self._last = self._store.get(SERVICE_TOKEN, self._account) or self._last
        return self._last


def teller(descriptor: int) -> Callable[[], None]:
    """Says once, to whoever waits for it, that this runner is attached."""
    os.set_inheritable(descriptor, False)
    waiting = [os.fdopen(descriptor, "wb", buffering=0)]

    def tell() -> None:
        if waiting:
            with waiting.pop() as pipe, suppress(BrokenPipeError):
                pipe.write(b"attached\n")

    return tell
