"""The operating mode: one switch over the whole fleet, a ladder from NORMAL to STOPPED."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from foundation.errors import Conflict


class Mode(IntEnum):
    """The rungs, the stricter the higher."""

    NORMAL = 1
    GUARDED = 2
    """No new spend, no new merges."""
    DRAIN = 3
    """Nothing new starts."""
    FROZEN = 4
    """Running trees are paused."""
    STOPPED = 5
    """All trees are ended and proved dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeRecord:
    """The mode that was set: why, by whom (the name of a token), since when; None until somebody set one."""

    mode: Mode
    reason: str = ""
    actor: str = ""
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOrder:
    """What the STOP file says; `since` is None when it does not say."""

    actor: str
    reason: str
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeStatus:
    """The mode that holds, with the STOP file taken into account; `since` is None when nobody has set it."""

    mode: Mode
    reason: str
    actor: str
    since: datetime | None
    stop_file: bool

    @property
    def lets_start(self) -> bool:
        """Whether anything new may start in this mode."""
        return self.mode < Mode.DRAIN

    @property
    def lets_spend(self) -> bool:
        """Whether new money may be promised in this mode; what is reserved already may be settled in every mode."""
        return self.mode < Mode.GUARDED


def effective(record: ModeRecord, order: StopOrder | None) -> ModeStatus:
    """The mode that holds: the recorded one, but STOPPED while the STOP file is there, whatever was recorded."""
    if order is None or record.mode is Mode.STOPPED:
        return ModeStatus(
            mode=record.mode,
            reason=record.reason,
            actor=record.actor,
            since=record.since,
            stop_file=order is not None,
        )
    return ModeStatus(mode=Mode.STOPPED, reason=order.reason, actor=order.actor, since=order.since, stop_file=True)


def tighten(record: ModeRecord, to: Mode, *, actor: str, reason: str, now: datetime) -> ModeRecord:
    """Make the mode stricter; the same record when it is that mode already.

    Raises Conflict for a rung below the present one.
    """
    if to < record.mode:
        raise Conflict(
            "mode_not_stricter",
            f"{to.name} is less strict than {record.mode.name}, which holds now.",
            remedy="`quantum resume` goes back to NORMAL.",
        )
    return record if to is record.mode else ModeRecord(mode=to, reason=reason, actor=actor, since=now)


def loosen(record: ModeRecord, to: Mode, *, actor: str, reason: str, now: datetime) -> ModeRecord:
    """Make the mode less strict; the same record when it is that mode already.

    Raises Conflict for a rung above the present one.
    """
    if to > record.mode:
        raise Conflict(
            "mode_stricter",
            f"{to.name} is stricter than {record.mode.name}, which holds now.",
            remedy=f"`quantum mode {to.name.lower()}` tightens it.",
        )
    return record if to is record.mode else ModeRecord(mode=to, reason=reason, actor=actor, since=now)
