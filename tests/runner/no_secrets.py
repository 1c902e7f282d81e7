"""A keychain of a runner with nothing in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foundation.errors import NotFound


class NoSecrets:
    """A keychain with nothing in it."""

    async def fetch(self, names: Sequence[str]) -> Mapping[str, str]:
        """See `SecretSource`."""
        raise NotFound("no_such_secret", f"There is no {names}.")
