"""The spend ledger as plain values; every amount is in whole micro-dollars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationView:
    """Money promised to one call; `stage` is `held`, `settled`, `released` or `charged` (nobody has settled it).

    `input_tokens` and `output_tokens` are the most that it may use. `actual_micros` is None while it is held.
    """

    task_id: str
    fence: int
    key: str
    agent: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    reserved_micros: int
    stage: str
    actual_micros: int | None
    made_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class TokensUsed:
    """What a call has used."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CapView:
    """A cap; `micros` None: none. `origin` is `default`, `config` or `set` (then by `actor`, at `at`, for `reason`)."""

    scope: str
    per: str
    micros: int | None
    origin: str
    actor: str = ""
    reason: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """What is spent and promised for one scope over one window, and the cap that holds (None: none)."""

    scope: str
    per: str
    window: str
    spent_micros: int
    reserved_micros: int
    cap: CapView | None
    opens_at: datetime | None

    @property
    def remaining_micros(self) -> int | None:
        """What is left; None without a cap."""
        if self.cap is None or self.cap.micros is None:
            return None
        return self.cap.micros - self.spent_micros - self.reserved_micros


@dataclass(frozen=True, slots=True, kw_only=True)
class PausedAttempt:
    """An attempt whose last call did not fit."""

    task_id: str
    fence: int
    agent: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendView:
    """The ledger at one moment; `stopped_by` says why nothing new is spent at all, "": it is."""

    accounts: tuple[AccountView, ...]
    open: tuple[ReservationView, ...]
    paused: tuple[PausedAttempt, ...]
    stopped_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceView:
    """The price of a model from a day on: per million tokens in and out, and per call."""

    provider: str
    model: str
    valid_from: date
    valid_until: date | None
    input_micros: int
    output_micros: int
    call_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """Every known price, and why the files cannot be used as they are ("": they can)."""

    prices: tuple[PriceView, ...]
    fault: str
