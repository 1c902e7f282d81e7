"""The tokens' verbs: validate, issue, list, revoke, watch revocations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from foundation import tokens as token_form
from foundation.auth import Caller
from foundation.errors import Conflict, NotFound
from services.safety.app.draft import Draft
from services.safety.app.state import SafetyState
from services.safety.domain.token import TokenRecord, check_issue, unknown

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A new token; its text exists here and in the reply, nowhere else."""

    record: TokenRecord
    text: str


class Tokens:
    """Who may call. Also the verifier of safety's own server."""

    def __init__(
        self,
        state: SafetyState,
        *,
        random_bytes: Callable[[int], bytes],
        beat: timedelta,
        overlap: timedelta = timedelta(minutes=15),
    ) -> None:
        self._state = state
        self._random_bytes = random_bytes
        self._beat = beat
        self._overlap = overlap
        self._revoked = asyncio.Event()

    @property
    def revocation(self) -> int:
        """The revocation number; grows with each revocation."""
        return self._state.revocation

    def validate(self, text: str) -> TokenRecord:
        """The record of a good token; raises Unauthenticated, saying why, for any other."""
        parsed = token_form.parse(text)
        record = self._state.tokens.get(parsed.id)
        if record is None or not token_form.matches(parsed, record.digest):
            raise unknown()
        now = self._state.clock.now()
        record.require_good(now)
        if record.use_is_news(now):
            record = replace(record, last_used_at=now)
            self._state.note_use(record)
        return record

    def require_good(self, caller: Caller) -> None:
        """Raise Unauthenticated, saying why, when the token of a caller who was let in has since become worthless."""
        record = self._state.tokens.get(caller.token_id)
        if record is None:
            raise unknown()
        record.require_good(self._state.clock.now())

    async def verify(self, token: str) -> Caller:
        """The caller behind a token (the TokenVerifier of safety's own server)."""
        record = self.validate(token)
        return Caller(token_id=record.id, name=record.name, scopes=record.scopes, runner=record.runner)

    async def issue(self, name: str, scopes: Iterable[str], lifetime: timedelta | None) -> Issued:
        """Make a token, durably; raises Invalid for a bad name, scope or lifetime."""
        wanted = check_issue(name, scopes, lifetime)

        def work(draft: Draft) -> Issued:
            issued = self.mint_for(draft, name, wanted, lifetime)
            draft.audit(act="token_issue", target=f"{name} ({issued.record.id})", after=" ".join(sorted(wanted)))
            return issued

        return await self._state.change(work)

    def mint_for(
        self, draft: Draft, name: str, scopes: Iterable[str], lifetime: timedelta | None, *, runner: str = ""
    ) -> Issued:
        """A new token in a change under way; whoever asks for it checks what it may have, and has it recorded."""
        token = self._mint()
        record = TokenRecord(
            id=token.id,
            name=name,
            digest=token.digest,
            scopes=frozenset(scopes),
            created_at=draft.now,
            expires_at=draft.now + lifetime if lifetime else None,
            runner=runner,
        )
        draft.tokens[record.id] = record
        return Issued(record=record, text=token.text)

    async def rotate(self, token_id: str) -> Issued:
        """Make a successor of a token, durably. Raises NotFound for what is no token of ours, Unauthenticated for one
        that has ended since it was let in, Conflict for one that is itself not confirmed.
        """

        def work(draft: Draft) -> Issued:
            before = self._known(token_id)
            before.require_good(draft.now)
            if before.succeeds:
                raise Conflict("rotation_open", f"The token {token_id} is new itself and was not confirmed yet.")
            for unused in [record for record in self._state.tokens.values() if record.succeeds == token_id]:
                draft.tokens[unused.id] = replace(unused, expires_at=draft.now, succeeds="")  # nobody kept its text
            token = self._mint()
            record = before.successor(token.id, token.digest, draft.now)
            draft.tokens[record.id] = record
            draft.audit(act="token_rotate", target=token_id, after=record.id)
            return Issued(record=record, text=token.text)

        return await self._state.change(work)

    async def confirm(self, token_id: str) -> TokenRecord | None:
        """A successor's text is kept: let it take the place of the token before it, which this returns.

        Nothing happens the second time. Raises NotFound for what is no token of ours, Unauthenticated when it or the
        one before it has ended: what was made of a revoked token is worth as little.
        """

        def work(draft: Draft) -> TokenRecord | None:
            record = self._known(token_id)
            record.require_good(draft.now)
            if not record.succeeds:
                return None
            before = self._known(record.succeeds)
            before.require_good(draft.now)
            draft.tokens[token_id] = record.confirmed(before)
            draft.revocation += 1  # so that nobody goes by an answer without the end of the one before
            replaced = before.replaced(self._overlap, draft.now)
            draft.tokens[before.id] = replaced
            draft.audit(act="token_rotation_confirmed", target=token_id, before=record.succeeds)
            return replaced

        return await self.revoking(work)

    def list(self) -> Sequence[TokenRecord]:
        """Every token, the oldest first, the revoked ones too."""
        return sorted(self._state.tokens.values(), key=lambda record: (record.created_at, record.id))

    async def revoke(self, token_id: str) -> TokenRecord:
        """Make a token worthless, durably, and with it an unconfirmed one that was made of it: whoever stole it may
        have asked for that. A revoked one stays as it was. Raises NotFound for an unknown id.
        """

        def work(draft: Draft) -> TokenRecord:
            record = self._known(token_id)
            if record.revoked_at is None:
                record = replace(record, revoked_at=draft.now)
                heirs = [one for one in self._state.tokens.values() if one.succeeds == token_id]
                draft.tokens |= {one.id: replace(one, revoked_at=draft.now) for one in heirs}
                draft.tokens[token_id] = record
                draft.revocation += 1
                # A token that leaked must die whatever else is broken.
                draft.audit(act="token_revoke", target=f"{record.name} ({token_id})", tightens=True)
            return record

        return await self.revoking(work)

    async def revoking(self, work: Callable[[Draft], T]) -> T:
        """Make a change that may revoke; whoever watches hears of it at once."""
        before = self._state.revocation
        result = await self._state.change(work)
        if self._state.revocation != before:
            self._tell_watchers()
        return result

    def _known(self, token_id: str) -> TokenRecord:
        record = self._state.tokens.get(token_id)
        if record is None:
            raise NotFound("no_token", f"There is no token {token_id}.", remedy="`quantum token list` shows them.")
        return record

    def _mint(self) -> token_form.Token:
        token = token_form.mint(self._random_bytes)
        if token.id in self._state.tokens:
            raise Conflict("token_id_taken", "The new token's id is taken.", remedy="Try again.")
        return token

    async def watch_revocations(self) -> AsyncGenerator[int, None]:
        """The revocation number at once, at every beat, and as soon as it has grown."""
        while True:
            revoked = self._revoked
            yield self.revocation
            try:
                async with asyncio.timeout(self._beat.total_seconds()):
                    await revoked.wait()
            except TimeoutError:
                continue

    def _tell_watchers(self) -> None:
        told, self._revoked = self._revoked, asyncio.Event()
        told.set()
