"""The verifier of safety's own server: tokens, and the credentials of attempts, which nobody else takes."""

from __future__ import annotations

from foundation.auth import Caller, TokenVerifier
from services.safety.app.spend import Spend


class AttemptsToo:
    """Knows an attempt by its credential, everybody else by their token.

    An attempt's caller has the scope `spend` alone, with which no token can be issued; `ValidateToken`, which the other
    services ask, knows tokens only. The coordinator asks `IdentifyAttempt` whose a credential is, for the one method
    that an attempt may call there; a credential opens no other door.
    """

    def __init__(self, spend: Spend, tokens: TokenVerifier) -> None:
        self._spend = spend
        self._tokens = tokens

    async def verify(self, token: str) -> Caller:
        """The caller behind a text; raises Unauthenticated when it is not good."""
        return self._spend.verify(token) or await self._tokens.verify(token)
