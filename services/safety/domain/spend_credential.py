"""The credential of an attempt: a token that is worked out anew from a secret, and so is the same when asked again."""

from __future__ import annotations

import hashlib
import hmac

from foundation.tokens import Token, mint
from services.safety.domain.attempt import AttemptKey

SECRET_BYTES = 32


def credential_of(secret: bytes, attempt: AttemptKey) -> Token:
    """The one credential of an attempt and its fence: nobody without the secret can make it, for this or another."""

    def derived(size: int) -> bytes:
        # `mint` asks for the identifier and the secret part in different sizes: the size keeps the two apart.
        what = f"quantum spend {size} {attempt.fence} {attempt.task}"
        return hmac.digest(secret, what.encode(), hashlib.sha256)[:size]

    return mint(derived)
