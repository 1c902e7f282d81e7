"""For whom spend is counted, over which time, and up to which cap."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from foundation.errors import Invalid
from foundation.money import MICROS_PER_DOLLAR
from services.safety.domain.attempt import FLEET, scope_in_words

_SCOPE = re.compile(r"attempt(:[0-9A-Za-z][0-9A-Za-z_-]{0,63})?|(agent|cloud)(:[A-Za-z0-9][A-Za-z0-9._-]{0,63})?|fleet")


class Per(StrEnum):
    """The time over which a cap counts; days and months are those of UTC."""

    TOTAL = "total"
    DAY = "day"
    MONTH = "month"


class AccountKey(NamedTuple):
    """One sum that is kept: for `attempt:<task>`, `agent:<name>`, `cloud:<provider>` or `fleet`.

    `window` is "" (for ever), a day like "2026-11-23" or a month like "2026-11".
    """

    subject: str
    window: str

    @property
    def per(self) -> Per:
        """The kind of its window."""
        return {0: Per.TOTAL, 7: Per.MONTH}.get(len(self.window), Per.DAY)

    @property
    def in_words(self) -> str:
        """For people: `agent writer, for the day 2026-11-23`."""
        kind, _, name = self.subject.partition(":")
        what = f"task {name} with its retries and children" if kind == "attempt" else scope_in_words(self.subject)
        return what if self.per is Per.TOTAL else f"{what}, for the {self.per} {self.window}"


class CapName(NamedTuple):
    """What a cap is set for: one scope (`agent:build`) or every one of its kind (`agent`), over a time."""

    scope: str
    per: Per


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A cap that holds; `micros` None: none. `actor` and `at` are those of whoever set it at run time."""

    name: CapName
    micros: int | None
    origin: str
    """`default`, `config` or `set`."""
    actor: str = ""
    reason: str = ""
    at: datetime | None = None


DEFAULTS: Mapping[CapName, int] = {
    CapName("attempt", Per.TOTAL): 5 * MICROS_PER_DOLLAR,
    CapName("agent", Per.DAY): 20 * MICROS_PER_DOLLAR,
    CapName("cloud", Per.DAY): 50 * MICROS_PER_DOLLAR,
    CapName(FLEET, Per.DAY): 50 * MICROS_PER_DOLLAR,
    CapName(FLEET, Per.MONTH): 500 * MICROS_PER_DOLLAR,
}
"""Caps where nobody has said anything: an agent that loops over night must not cost a fortune."""


def cap_name(scope: str, per: str) -> CapName:
    """Read what a cap is set for; raises Invalid for what is no scope or no time."""
    if _SCOPE.fullmatch(scope) is None:
        raise Invalid(
            "bad_spend_scope",
            f"“{scope}” is nothing that spend is counted for.",
            remedy="Write attempt, agent, cloud (every one), attempt:<task>, agent:<name>, cloud:<provider> or fleet.",
        )
    if per not in tuple(Per):
        raise Invalid("bad_spend_period", f"“{per}” is no time that a cap counts over.", remedy="total, day or month.")
    if scope.startswith("attempt") and per != Per.TOTAL:
        raise Invalid("bad_spend_period", "An attempt has one cap in all, over no day or month.", remedy="--per total")
    return CapName(scope, Per(per))


class Caps:
    """Which cap holds for an account: the narrower name goes first, and what was set goes before what is written."""

    def __init__(self, configured: Mapping[CapName, int | None], was_set: Callable[[CapName], Cap | None]) -> None:
        self._configured = configured
        self._was_set = was_set

    def of(self, account: AccountKey) -> Cap | None:
        """The cap of an account; None when nobody has named one and there is no default."""
        return self.holding(CapName(account.subject, account.per))

    def holding(self, name: CapName) -> Cap | None:
        """The cap that holds for a name: its own, else that of its kind."""
        kind = name.scope.partition(":")[0]
        return self.named(name) or (self.named(CapName(kind, name.per)) if kind != name.scope else None)

    def named(self, name: CapName) -> Cap | None:
        """The cap of exactly this name."""
        if cap := self._was_set(name):
            return cap
        if name in self._configured:
            return Cap(name=name, micros=self._configured[name], origin="config")
        if name in DEFAULTS:
            return Cap(name=name, micros=DEFAULTS[name], origin="default")
        return None


def accounts_of(root: str, agent: str, provider: str, at: datetime) -> tuple[AccountKey, ...]:
    """Every account that a call is booked on, in UTC; `root` is the task with which its family began."""
    attempt = AccountKey(f"attempt:{root}", "")
    subjects = (f"agent:{agent}", f"cloud:{provider}", FLEET)
    return (attempt, *(AccountKey(subject, window) for subject in subjects for window in windows(at)))


def windows(at: datetime) -> tuple[str, str, str]:
    """The windows of a moment: for ever, its month, its day."""
    day = at.astimezone(UTC).strftime("%Y-%m-%d")
    return "", day[:7], day


def is_past(account: AccountKey, at: datetime) -> bool:
    """Whether an account's window is over."""
    return account.window not in windows(at)


def opens_at(account: AccountKey, at: datetime) -> datetime | None:
    """When a window that holds at `at` gives way to the next; None: never."""
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match account.per:
        case Per.DAY:
            return midnight + timedelta(days=1)
        case Per.MONTH:
            return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        case _:
            return None
