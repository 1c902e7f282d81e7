"""Idempotency keys: the same key with the same payload is the same request."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from foundation.auth import Caller
from foundation.errors import Conflict, FieldFault, Invalid
from services.coordinator.domain.request import KEY_LENGTH_MAX
from services.coordinator.domain.task import Task
from services.coordinator.ports import Accepted, StoreTransaction


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """A caller's name for one request. Keys are per token: two callers never meet in one key."""

    token_id: str
    text: str
    digest: str
    good_for: timedelta

    def replay(self, tx: StoreTransaction, *, now: datetime) -> list[Task] | None:
        """The tasks that this key stood for, in order; None for a new key.

        Raises Conflict, code `key_reused`, when it stood for another payload. Tasks that retention has deleted since
        are left out.
        """
        known = tx.accepted(self.token_id, self.text)
        if known is None or known.at <= now - self.good_for:
            return None
        if known.digest != self.digest:
            raise Conflict(
                "key_reused",
                f"The idempotency key “{self.text[:80]}” stands for another request, of {known.at:%Y-%m-%d %H:%M} UTC.",
                remedy="Use a new key for a new request.",
            )
        found = tx.tasks(known.task_ids)
        return [found[task_id] for task_id in known.task_ids if task_id in found]

    def remember(self, tx: StoreTransaction, tasks: Sequence[Task], *, now: datetime) -> None:
        """Bind the key to these tasks, in the transaction that adds them."""
        ids = tuple(task.id for task in tasks)
        tx.remember(self.token_id, self.text, Accepted(digest=self.digest, task_ids=ids, at=now))


def key_of(text: str, caller: Caller, digest: str, good_for: timedelta) -> RequestKey:
    """Raises Invalid for an overlong key."""
    if len(text) > KEY_LENGTH_MAX:
        fault = FieldFault("idempotency_key", f"A key has at most {KEY_LENGTH_MAX} characters, not {len(text)}.")
        raise Invalid("bad_key", "The idempotency key is too long.", fields=(fault,))
    return RequestKey(token_id=caller.token_id, text=text, digest=digest, good_for=good_for)
