"""Runners on other hosts: invite, let in once, renew, remove."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from foundation.auth import JOIN, Caller
from foundation.errors import Denied, Exhausted, NotFound
from services.safety.app.draft import Draft
from services.safety.app.state import SafetyState
from services.safety.app.tokens import Issued, Tokens
from services.safety.domain.runner_access import (
    RUNNER_SCOPES,
    check_invitation,
    good_tokens,
    require_free,
    require_invited,
)
from services.safety.domain.token import TokenRecord, unknown
from services.safety.ports import CertificateSigner

SIGNED_AT_ONCE_MAX = 2
_SIGNED_WITHIN = timedelta(seconds=2)
_TLS_OUTLIVES = timedelta(minutes=10)
"""By this an invitation's certificate outlives it: who comes late is told so, and not by a failed handshake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What a newcomer needs: a token for one act, and the identity by which it gets as far as that."""

    token: Issued
    identity: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A runner of the fleet: its certificate, and its credential."""

    certificate: bytes
    token: Issued


class SigningTurns:
    """Each signature takes a process for a moment: one runner has one at a time, and all that ask from outside few."""

    def __init__(self, at_once_max: int = SIGNED_AT_ONCE_MAX) -> None:
        self._at_once_max = at_once_max
        self._under_way: set[str] = set()

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """The turn of a runner. Raises Exhausted, at once, when it has one already or all are taken."""
        if name in self._under_way:
            raise _busy(f"A certificate for runner {name[:80]} is being signed already.")
        if len(self._under_way) >= self._at_once_max:
            raise _busy(f"{self._at_once_max} certificates are being signed, and no more are at a time.")
        self._under_way.add(name)
        try:
            yield
        finally:
            self._under_way.discard(name)


def _busy(sentence: str) -> Exhausted:
    return Exhausted("signing_busy", sentence, remedy="Ask again in a few seconds.", retry_after=_SIGNED_WITHIN)


class Runners:
    """`lifetime` is that of the certificate and of the credential of a runner; both are renewed long before."""

    def __init__(self, state: SafetyState, tokens: Tokens, signer: CertificateSigner, *, lifetime: timedelta) -> None:
        self._state = state
        self._tokens = tokens
        self._signer = signer
        self._lifetime = lifetime
        self._turns = SigningTurns()

    async def invite(self, name: str, lifetime: timedelta, *, replacing: bool) -> Invitation:
        """Make an invitation, durably. Raises Invalid for a bad name or time; Conflict for a runner that is there,
        unless it is to be replaced; NotFound without an authority.
        """
        check_invitation(name, lifetime)
        identity = await self._signer.issue(JOIN, name, lifetime + _TLS_OUTLIVES)

        def work(draft: Draft) -> Issued:
            known = self._state.tokens.values()
            if not replacing:
                require_free(known, name, draft.now)
            open_ones = [one for one in good_tokens(known, name, draft.now) if JOIN in one.scopes]
            self._revoke(draft, open_ones)
            issued = self._tokens.mint_for(draft, f"invitation {name}", {JOIN}, lifetime, runner=name)
            draft.audit(act="runner_invite", target=f"{name} ({issued.record.id})", after=str(lifetime))
            return issued

        return Invitation(token=await self._tokens.revoking(work), identity=identity)

    async def join(self, caller: Caller, name: str, request: bytes) -> Joined:
        """Use an invitation up and make its holder a runner, durably and in one change.

        Raises Denied for another name, Unauthenticated when the invitation has ended or was used (also by somebody who
        was faster by a moment), Invalid for what is no request for a certificate, Exhausted while others are served.
        """
        invitation = self._known(caller.token_id)
        require_invited(invitation, name)
        with self._turns.of(name):
            certificate = await self._signer.answer(request, "runner", name, self._lifetime)

        def work(draft: Draft) -> Issued:
            used = self._known(caller.token_id)
            used.require_good(draft.now)
            others = [one for one in good_tokens(self._state.tokens.values(), name, draft.now) if one.id != used.id]
            self._revoke(draft, others)
            draft.tokens[used.id] = replace(used, used_at=draft.now)
            draft.revocation += 1
            issued = self._tokens.mint_for(draft, f"runner {name}", RUNNER_SCOPES, self._lifetime, runner=name)
            draft.audit(
                act="runner_join",
                target=f"{name} ({issued.record.id})",
                before=" ".join(one.id for one in others),
                after=" ".join(sorted(RUNNER_SCOPES)),
            )
            return issued

        return Joined(certificate=certificate, token=await self._tokens.revoking(work))

    async def renew(self, caller: Caller, request: bytes) -> bytes:
        """A new certificate for the runner that calls. Raises Invalid for what is no request, Denied for a caller whose
        credential is bound to no runner, Exhausted while others are served, or it is itself.
        """
        if not caller.runner:
            raise Denied("not_joined", f"{caller.name} is no runner that joined, and needs no certificate.")
        with self._turns.of(caller.runner):
            return await self._signer.answer(request, "runner", caller.runner, self._lifetime)

    async def remove(self, name: str) -> Sequence[TokenRecord]:
        """Revoke what a runner holds, durably; what was revoked. Raises NotFound when it holds nothing."""

        def work(draft: Draft) -> Sequence[TokenRecord]:
            held = good_tokens(self._state.tokens.values(), name, draft.now)
            if not held:
                raise NotFound(
                    "no_runner",
                    f"There is no runner “{name[:80]}” that joined, and no invitation for one.",
                    remedy="quantum token list shows who may call.",
                )
            draft.audit(act="runner_remove", target=name, before=" ".join(one.id for one in held), tightens=True)
            return self._revoke(draft, held)

        return await self._tokens.revoking(work)

    def _revoke(self, draft: Draft, tokens: Sequence[TokenRecord]) -> list[TokenRecord]:
        revoked = [replace(one, revoked_at=draft.now) for one in tokens]
        draft.tokens |= {one.id: one for one in revoked}
        draft.revocation += bool(revoked)
        return revoked

    def _known(self, token_id: str) -> TokenRecord:
        record = self._state.tokens.get(token_id)
        if record is None:
            raise unknown()
        return record
