"""Who may join the fleet from another host: invitations, tokens for one act, and the credentials that follow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from foundation.auth import JOIN
from foundation.errors import Conflict, Denied, Invalid
from services.safety.domain.token import TokenRecord

INVITATION_MIN = timedelta(minutes=1)
INVITATION_MAX = timedelta(days=1)
RUNNER_SCOPES = frozenset({"runner", "service:runner", "rotate"})
"""What a runner may: attach, look at the tokens of those who call it, and replace its own."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_OWN_NAME = re.compile(r"local(-[0-9]+)?")


def check_invitation(name: str, lifetime: timedelta) -> None:
    """Raise Invalid for a name that no runner elsewhere can have, or a time that is too short or too long."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            "bad_name", f"“{name[:80]}” is no name for a runner: small letters, digits, - and _, at most 48 of them."
        )
    if _OWN_NAME.fullmatch(name):
        raise Invalid("bad_name", f"“{name}” is what the runners of this workspace's own machine are called.")
    if not INVITATION_MIN <= lifetime <= INVITATION_MAX:
        raise Invalid("bad_lifetime", "An invitation is good for a minute at least, and for a day at most.")


def good_tokens(tokens: Iterable[TokenRecord], name: str, now: datetime) -> list[TokenRecord]:
    """The tokens of a runner, its open invitation among them, that have not ended. No name is no runner."""
    return [token for token in tokens if token.runner and token.runner == name and not token.ended(now)]


def require_free(tokens: Iterable[TokenRecord], name: str, now: datetime) -> None:
    """Raise Conflict while a runner of that name can still call."""
    if any(JOIN not in token.scopes for token in good_tokens(tokens, name, now)):
        raise Conflict(
            "runner_exists",
            f"There is a runner “{name}” already, and its credential is good.",
            remedy=f"Choose another name, or let the new one take its place: quantum runner invite {name} --replace.",
        )


def require_invited(invitation: TokenRecord, name: str) -> None:
    """Raise Denied when somebody wants to join under another name than the invitation's."""
    if not invitation.runner or invitation.runner != name:
        raise Denied(
            "other_name",
            f"This invitation is for “{invitation.runner}”, not for “{name[:80]}”.",
            remedy=f"Have one made for that name: quantum runner invite {name[:80]}.",
        )
