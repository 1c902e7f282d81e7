"""Revokes every token at once, while safety does not run, and lets a few fresh ones in; only `quantum isolate` asks."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

from services.safety.app.provision import tokens_of
from services.safety.app.trail import AuditTrail
from services.safety.domain.audit import Actor, AuditEntry
from services.safety.domain.mode import Mode, tighten
from services.safety.domain.spend_book import SpendBook
from services.safety.domain.spend_ledger import Ledger
from services.safety.ports import Changes, CheckpointFile, SafetyStore


async def isolate(
    store: SafetyStore,
    text: str,
    *,
    actor: Actor,
    now: datetime,
    audit_key: bytes,
    checkpoint: CheckpointFile,
) -> int:
    """Revoke all tokens but those of a JSON document, which are let in, end every attempt's credential, and set the
    mode to STOPPED, in one commit and as one record of the audit log; return how many tokens were revoked.

    The document is that of `provision`, with a "reason" beside the tokens. Done again with the same document it changes
    nothing but the log. A checkpoint that cannot be written keeps nothing from being revoked: the record is in the
    database.
    """
    fresh = {token.id: token for token in tokens_of(text, now)}
    reason = str(json.loads(text).get("reason", ""))
    snapshot = await store.load()
    revoked = [
        replace(token, revoked_at=now)
        for token in snapshot.tokens.values()
        if token.revoked_at is None and token.id not in fresh
    ]
    book = SpendBook(snapshot.spend)
    ledger = Ledger(book)
    for attempt in book.live_attempts:
        ledger.end(attempt, now=now)
    trail = AuditTrail(audit_key, checkpoint, snapshot.audit_head)
    entries = await trail.taken_up(store, now=now)
    names = ", ".join(sorted(token.name for token in fresh.values()))
    entries.append(
        AuditEntry(
            at=now,
            actor=actor,
            act="isolate",
            target="workspace",
            before=f"{len(revoked)} tokens that were not revoked",
            after=f"STOPPED; {len(fresh)} new tokens: {names}",
            reason=reason,
        )
    )
    records = trail.records(entries)
    await trail.stage(records, required=False)
    await store.commit(
        Changes(
            revision=snapshot.revision,
            epoch=snapshot.epoch + 1,
            revocation=snapshot.revocation + 1,
            mode=tighten(snapshot.mode, Mode.STOPPED, actor=actor.name, reason=reason, now=now),
            tokens=(*revoked, *fresh.values()),
            spend=ledger.changes(),
            audit=records,
        )
    )
    await trail.publish(records)
    return len(revoked)
