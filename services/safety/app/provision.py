"""Makes safety's database at the first start and puts the first tokens into it; only `quantum init` asks for it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from foundation.errors import Conflict, FieldFault, Invalid
from services.safety.app.trail import AuditTrail
from services.safety.domain.audit import Actor, AuditEntry
from services.safety.domain.token import TokenRecord
from services.safety.ports import Changes, CheckpointFile, SafetyStore

_INIT = Actor(name="quantum init", source="the first start")
_FIELDS = {"id", "digest", "name", "scopes", "expires_at"}


async def provision(
    store: SafetyStore, text: str, *, now: datetime, audit_key: bytes, checkpoint: CheckpointFile
) -> int:
    """Put the tokens of a JSON document into the store; return how many were new. Done twice, it changes nothing.

    The audit log begins here, and nowhere else: a service that finds it empty and without a checkpoint says so.

    The document is `{"tokens": [{"id", "digest", "name", "scopes": […], "expires_at": null}]}`. Raises Invalid for
    another form, Conflict for an id that is there with another digest.
    """
    wanted = tokens_of(text, now)
    snapshot = await store.load()
    new = []
    for token in wanted:
        known = snapshot.tokens.get(token.id)
        if known is None:
            new.append(token)
        elif known.digest != token.digest:
            raise Conflict("token_id_taken", f"There is another token with the id {token.id}.")
    trail = AuditTrail(audit_key, checkpoint, snapshot.audit_head)
    begins = trail.head.count == 0 and not trail.begun
    if not (new or begins):
        return 0
    first = [_begun(now)] if begins else await trail.taken_up(store, now=now)
    records = trail.records([*first, *(_issued(token) for token in new)])
    await trail.stage(records, required=True)
    await store.commit(
        Changes(
            revision=snapshot.revision,
            epoch=snapshot.epoch,
            revocation=snapshot.revocation,
            tokens=tuple(new),
            audit=records,
        )
    )
    await trail.publish(records)
    return len(new)


def tokens_of(text: str, now: datetime) -> list[TokenRecord]:
    """The tokens of such a document, as records made at `now`. Raises Invalid."""
    return [_token(entry, f"tokens[{number}]", now) for number, entry in enumerate(_entries(text))]


def _begun(now: datetime) -> AuditEntry:
    return AuditEntry(at=now, actor=_INIT, act="audit_begin", target="audit")


def _issued(token: TokenRecord) -> AuditEntry:
    scopes = " ".join(sorted(token.scopes))
    return AuditEntry(
        at=token.created_at, actor=_INIT, act="token_issue", target=f"{token.name} ({token.id})", after=scopes
    )


def _entries(text: str) -> list[Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise Invalid("bad_provision", f"What was given to provision is not JSON: {error}.") from None
    entries = document.get("tokens") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise Invalid("bad_provision", 'What was given to provision has no list "tokens".')
    return entries


def _token(entry: Any, path: str, now: datetime) -> TokenRecord:
    if not isinstance(entry, dict) or not _FIELDS - {"expires_at"} <= entry.keys() <= _FIELDS:
        raise _bad(path, f"must have {', '.join(sorted(_FIELDS))} and nothing else")
    scopes, expires_at = entry["scopes"], entry.get("expires_at")
    texts = [entry["id"], entry["digest"], entry["name"], *(scopes if isinstance(scopes, list) else [None])]
    if not all(isinstance(value, str) and value for value in texts) or not scopes:
        raise _bad(path, "id, digest, name and every scope must be texts, with at least one scope")
    token = TokenRecord(
        id=entry["id"],
        name=entry["name"],
        digest=entry["digest"],
        scopes=frozenset(scopes),
        created_at=now,
    )
    return token if expires_at is None else replace(token, expires_at=_moment(expires_at, path))


def _moment(value: object, path: str) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise _bad(path, "expires_at must be null or a time like 2026-12-01T06:00:00Z") from None
    if moment.tzinfo is None:
        raise _bad(path, "expires_at needs a time zone")
    return moment


def _bad(path: str, fault: str) -> Invalid:
    return Invalid("bad_provision", f"{path} {fault}.", fields=(FieldFault(path, fault),))
