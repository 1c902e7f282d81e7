"""Whether a person may merge into a repository now: the strictest of the mode, the error budgets and the freeze."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.coordinator.domain.merge_check import FREEZE_ROLLBACKS, FREEZE_WITHIN

NO_MERGES = ("GUARDED", "DRAIN", "FROZEN", "STOPPED")
NO_CHECKS = ("DRAIN", "FROZEN", "STOPPED")


class Freeness(StrEnum):
    """The mildest first."""

    FREE = "free"
    APPROVAL = "approval"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True)
class Freedom:
    """`reason` is a sentence, empty where merges are free; `remedy` a line to type."""

    freeness: Freeness
    reason: str = ""
    remedy: str = ""


FREE = Freedom(Freeness.FREE)


def freeze_reason(rollbacks: Sequence[datetime], lifted_at: datetime | None, now: datetime) -> str:
    """Why a repository's merges are frozen by what was rolled back there; empty: they are not."""
    recent = [at for at in rollbacks if now - at < FREEZE_WITHIN and (lifted_at is None or at > lifted_at)]
    if len(recent) < FREEZE_ROLLBACKS:
        return ""
    until = sorted(recent)[-FREEZE_ROLLBACKS] + FREEZE_WITHIN
    return f"{len(recent)} merges were rolled back there within an hour; it thaws at {until:%H:%M} UTC."


def freedom(
    budgets: Freedom, freeze: str, mode: str, *, approved_until: datetime | None, repository: str, now: datetime
) -> Freedom:
    """What holds. An approval outweighs budgets and the freeze, which are about merges, and never the mode."""
    if mode in NO_MERGES:
        return Freedom(Freeness.FROZEN, f"The mode is {mode}: nothing new is merged.", "`quantum resume`")
    held = Freedom(Freeness.FROZEN, freeze) if freeze else budgets
    if held.freeness is Freeness.FREE:
        return FREE
    if approved_until is not None and now < approved_until:
        return FREE
    return Freedom(held.freeness, held.reason, f"`{approve_line(repository)}` lets the next one in.")


def approve_line(repository: str) -> str:
    """The line with which a person lets the next merge in; they say why."""
    return f"quantum merge approve {repository} --reason WHY"
