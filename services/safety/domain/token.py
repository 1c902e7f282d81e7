"""Tokens: who may call, for what, and until when; only their digests are known here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from foundation.auth import JOIN, SCOPES
from foundation.errors import FieldFault, Invalid, Unauthenticated

NAME_LENGTH_MAX = 64
LIFETIME_MAX = timedelta(days=3_650)
LAST_USE_EXACT_TO = timedelta(minutes=1)
UNCONFIRMED_FOR = timedelta(days=30)
"""How long a new token lives that nobody has confirmed. What was cut short may have left it alone in the keychain: were
it to end before the machine is up again, nobody could get in. Revoking the token before it ends it at once."""
_ISSUE_A_NEW_ONE = "`quantum token show` prints your own; an administrator issues others with `quantum token issue`."


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """What is kept of a token. `digest` is the SHA-256 of its text, 64 hex digits.

    `succeeds` is the id of the token that it replaces once it is confirmed, empty otherwise. `runner` is the one runner
    that may use it, or with the scope `join` join; `used_at` is when an invitation was used.
    """

    id: str
    name: str
    digest: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    succeeds: str = ""
    runner: str = ""
    used_at: datetime | None = None

    def ended(self, now: datetime) -> bool:
        """Whether it is good for nothing any more."""
        gone = self.revoked_at is not None or self.used_at is not None
        return gone or (self.expires_at is not None and now >= self.expires_at)

    def require_good(self, now: datetime) -> None:
        """Raise Unauthenticated, saying why, unless the token may be used at `now`."""
        if self.runner and self.ended(now):
            raise self._ended_of_runner()
        if self.revoked_at is not None:
            raise Unauthenticated(
                "token_revoked", f"The token {self.id} ({self.name}) was revoked.", remedy=_ISSUE_A_NEW_ONE
            )
        if self.expires_at is not None and now >= self.expires_at:
            raise Unauthenticated(
                "token_expired", f"The token {self.id} ({self.name}) has expired.", remedy=_ISSUE_A_NEW_ONE
            )

    def _ended_of_runner(self) -> Unauthenticated:
        """Why a runner on another host, or whoever was invited to be one, is let in no more."""
        again = f"Have it invited again: quantum runner invite {self.runner}, on the coordinator's machine."
        what = (
            f"The invitation of “{self.runner}”" if JOIN in self.scopes else f"The credential of runner {self.runner}"
        )
        if self.used_at is not None:
            said = f"{what} was used already, at {self.used_at:%Y-%m-%d %H:%M} UTC; it is good once."
            return Unauthenticated("invitation_used", said, remedy=again)
        if self.revoked_at is not None:
            return Unauthenticated("token_revoked", f"{what} was revoked.", remedy=again)
        return Unauthenticated("token_expired", f"{what} has expired.", remedy=again)

    def successor(self, token_id: str, digest: str, now: datetime) -> TokenRecord:
        """A token like this one that takes its place once it is confirmed; until then it lives for 30 days at most.

        That of a runner which joined lives as long as this one did, from now on: it ends where its runner stays away.
        """
        end = now + UNCONFIRMED_FOR
        own_end = self.expires_at
        if own_end is not None and self.runner:
            own_end = now + (own_end - self.created_at)
        return TokenRecord(
            id=token_id,
            name=self.name,
            digest=digest,
            scopes=self.scopes,
            created_at=now,
            expires_at=end if own_end is None else min(own_end, end),
            succeeds=self.id,
            runner=self.runner,
        )

    def confirmed(self, before: TokenRecord) -> TokenRecord:
        """It has taken the place of `before`, and lives as long as that would have; a runner's, to its own end."""
        return replace(self, succeeds="", expires_at=self.expires_at if self.runner else before.expires_at)

    def replaced(self, overlap: timedelta, now: datetime) -> TokenRecord:
        """Its successor is there: it ends with the overlap."""
        end = now + overlap
        return self if self.expires_at is not None and self.expires_at <= end else replace(self, expires_at=end)

    def closed_as(self, other: TokenRecord) -> TokenRecord:
        """It ends wherever `other`, a record of the same token, has ended, and no later; nothing of it opens."""
        return replace(
            self,
            revoked_at=_earlier(self.revoked_at, other.revoked_at),
            used_at=_earlier(self.used_at, other.used_at),
            expires_at=_earlier(self.expires_at, other.expires_at),
        )

    def reissued(self, token_id: str, digest: str, now: datetime) -> TokenRecord:
        """A token of the same name and scopes with another text, for one that has ended; it does not expire."""
        return TokenRecord(id=token_id, name=self.name, digest=digest, scopes=self.scopes, created_at=now)

    def use_is_news(self, now: datetime) -> bool:
        """Whether a use at `now` should be noted; uses are kept exact to a minute."""
        return self.last_used_at is None or abs(now - self.last_used_at) >= LAST_USE_EXACT_TO


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)


def unknown() -> Unauthenticated:
    """The refusal of a token that is not ours; it says nothing of whether the id or the secret was wrong."""
    return Unauthenticated(
        "token_unknown", "This token is not known here.", remedy="`quantum token show` prints yours."
    )


def check_issue(name: str, scopes: Iterable[str], lifetime: timedelta | None) -> frozenset[str]:
    """Return the scopes of a token about to be issued; raises Invalid with every fault found.

    The services' own scopes (`service:…`) are given at `quantum init` only and cannot be issued.
    """
    wanted = frozenset(scopes)
    faults = []
    if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        faults.append(FieldFault("name", f"must have 1 to {NAME_LENGTH_MAX} printable characters"))
    if not wanted:
        faults.append(FieldFault("scopes", "at least one is needed"))
    faults += [
        FieldFault("scopes", f"there is no scope {scope!r} to issue; there are {', '.join(sorted(SCOPES))}")
        for scope in sorted(wanted - SCOPES)
    ]
    if lifetime is not None and not timedelta(0) < lifetime <= LIFETIME_MAX:
        faults.append(FieldFault("lifetime", f"must be longer than nothing, and at most {LIFETIME_MAX.days} days"))
    if faults:
        raise Invalid("bad_token_request", "The token cannot be issued as asked.", fields=faults)
    return wanted
