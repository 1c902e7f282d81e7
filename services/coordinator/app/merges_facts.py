"""What is remembered of a guarded repository beside its checks, as small facts of the store."""

import json
from collections.abc import Mapping
from datetime import datetime

from services.coordinator.domain.merge_check import FREEZE_WITHIN, with_flaky
from services.coordinator.domain.merge_freedom import freeze_reason
from services.coordinator.ports import StoreTransaction

_FLAKY, _APPROVED, _LIFTED, _TIPS = "merge_flaky:", "merge_approved:", "merge_lifted:", "merge_tips:"
_FREEZE_TOLD = "merge_freeze_told:"


def flaky(tx: StoreTransaction, repository: str) -> Mapping[str, str]:
    """SHA-256 of each command that is known to be flaky, and until when, in ISO form."""
    return _mapping(tx.fact(_FLAKY + repository))


def remember_flaky(tx: StoreTransaction, repository: str, command: str, now: datetime) -> None:
    """A command was red and green on one tree; "" only forgets those whose time is over."""
    before = flaky(tx, repository)
    after = with_flaky(before, command, now=now)
    if after != before:
        tx.set_fact(_FLAKY + repository, json.dumps(after) if after else None)


def approved_until(tx: StoreTransaction, repository: str) -> datetime | None:
    """Until when a person has let the next merge in; None: nobody has."""
    return _moment(tx.fact(_APPROVED + repository))


def approve(tx: StoreTransaction, repository: str, until: datetime, now: datetime) -> None:
    """Let the next one in, and lift a freeze."""
    tx.set_fact(_APPROVED + repository, until.isoformat())
    tx.set_fact(_LIFTED + repository, now.isoformat())


def use_approval(tx: StoreTransaction, repository: str) -> None:
    """It was good once."""
    tx.set_fact(_APPROVED + repository, None)


def freeze(tx: StoreTransaction, repository: str, now: datetime) -> str:
    """Why merges are frozen by what was rolled back, as a sentence; "": they are not."""
    rollbacks = tx.rollbacks_since(repository, now - FREEZE_WITHIN)
    return freeze_reason(rollbacks, _moment(tx.fact(_LIFTED + repository)), now)


def freeze_was_told(tx: StoreTransaction, repository: str) -> bool:
    """Whether people were told of a freeze, and not yet of its end."""
    return tx.fact(_FREEZE_TOLD + repository) is not None


def note_freeze_told(tx: StoreTransaction, repository: str, *, frozen: bool) -> None:
    """They are told of it, or of its end."""
    tx.set_fact(_FREEZE_TOLD + repository, "frozen" if frozen else None)


def tips(tx: StoreTransaction, repository: str) -> Mapping[str, str] | None:
    """Where its branches were seen last; None: it was never looked at."""
    text = tx.fact(_TIPS + repository)
    return None if text is None else _mapping(text)


def remember_tips(tx: StoreTransaction, repository: str, seen: Mapping[str, str]) -> None:
    """They were seen there."""
    tx.set_fact(_TIPS + repository, json.dumps(seen, ensure_ascii=False))


def _mapping(text: str | None) -> Mapping[str, str]:
    return json.loads(text) if text else {}


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
