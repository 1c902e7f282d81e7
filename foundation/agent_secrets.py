"""Secrets that people hand to agents and alert channels: kept in the keychain, with a list of their names beside it.

No keychain can be asked what it holds. So each name is an empty file in `.quantum/secrets`; the secret itself is never
there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from foundation.clock import Clock
from foundation.errors import Invalid, NotFound, did_you_mean
from foundation.files import sync_directory
from foundation.ids import SystemIds
from foundation.secret_acts import SECRET_REMOVE, SECRET_SET, SecretActs
from foundation.secrets import AGENT_SECRET, SecretStore, service_account, wait_for_secret
from foundation.workspace import Workspace

LENGTH_MIN = 4
"""A shorter secret would be found in any text, and masking it would make outputs unreadable."""
BYTES_MAX = 16 * 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
# On macOS a secret is away for a moment while it is set.
_AWAY_FOR = timedelta(seconds=0.5)


class AgentSecrets:
    """The secrets of one workspace on this machine."""

    def __init__(self, workspace: Workspace, store: SecretStore, clock: Clock) -> None:
        self._workspace = workspace
        self._store = store
        self._clock = clock
        self._names = workspace.secret_names
        self._acts = SecretActs(workspace.secret_acts)
        self._ids = SystemIds(clock)

    def set(self, name: str, secret: str) -> bool:
        """Keep a secret, in place of the one that was there; says whether its name is new. Durable on return.

        Raises Invalid for what cannot be a name, or a secret that cannot be masked.
        """
        require_name(name)
        require_secret(name, secret)
        self._note(SECRET_SET, name)
        self._names.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._names / name
        new = not path.exists()
        # The name first: a name without a secret shows as missing, a secret without a name would not show at all.
        path.touch(mode=0o600)
        sync_directory(self._names)
        self._store.set(AGENT_SECRET, self._account(name), secret)
        return new

    def get(self, name: str) -> str:
        """The secret. Raises NotFound with the line that stores it, Invalid for one that cannot be masked."""
        account = self._account(name)
        secret = wait_for_secret(self._store, AGENT_SECRET, account, within=_AWAY_FOR, clock=self._clock)
        if secret is None:
            raise NotFound(
                "no_such_secret",
                f"There is no secret “{name}” in this machine's keychain ({self._store.describe}).",
                remedy=f"quantum secret set {name}",
            )
        require_secret(name, secret)
        return secret

    def names(self) -> Sequence[tuple[str, bool]]:
        """Every name that was set here, and whether the keychain still has its secret."""
        known = [] if not self._names.is_dir() else sorted(path.name for path in self._names.iterdir())
        return [(name, self._store.get(AGENT_SECRET, self._account(name)) is not None) for name in known]

    def remove(self, name: str) -> None:
        """Forget a secret and its name. Raises NotFound with the nearest name for one that is in neither place."""
        require_name(name)
        path = self._names / name
        if not path.exists() and self._store.get(AGENT_SECRET, self._account(name)) is None:
            near = did_you_mean(name, [known for known, _ in self.names()])
            meant = f" Did you mean “{near}”?" if near else ""
            raise NotFound("no_such_secret", f"There is no secret “{name}”.{meant}", remedy="quantum secret list")
        self._note(SECRET_REMOVE, name)
        self._store.delete(AGENT_SECRET, self._account(name))
        path.unlink(missing_ok=True)

    def _note(self, act: str, name: str) -> None:
        # The folder of a runner that joined has no audit log of its own.
        if not self._workspace.joined.exists():
            self._acts.note(act, name, id=self._ids.new(), now=self._clock.now())

    def _account(self, name: str) -> str:
        return service_account(self._workspace, name)


def require_name(name: str) -> None:
    """Raises Invalid, code `bad_secret_name`."""
    if not _NAME.match(name):
        raise Invalid(
            "bad_secret_name",
            f"“{name[:80]}” cannot be the name of a secret: up to 64 of a–z, 0–9, _ and -, beginning with a letter or "
            "digit.",
        )


def require_secret(name: str, secret: str) -> None:
    """Raises Invalid for a secret that cannot be handed over or masked; never shows it."""
    if len(secret) < LENGTH_MIN:
        raise Invalid(
            "secret_too_short",
            f"The secret “{name}” has fewer than {LENGTH_MIN} characters: it could not be told from ordinary text, and "
            "so not be masked.",
            remedy=f"Store a longer one: quantum secret set {name}",
        )
    if len(secret.encode(errors="surrogatepass")) > BYTES_MAX or "\0" in secret or not _encodable(secret):
        raise Invalid(
            "bad_secret", f"The secret “{name}” is over {BYTES_MAX} bytes, is not UTF-8, or has a zero byte in it."
        )


def _encodable(secret: str) -> bool:
    try:
        secret.encode()
    except UnicodeEncodeError:
        return False
    return True
