"""Spend, as it is asked for and shown; every `…_micros` is a whole number of millionths of a dollar."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from foundation.errors import Invalid
from foundation.money import parse_dollars
from gateway.schemas.base import Input, Output
from gateway.schemas.requests import TASK_ID, Reason


def _is_dollars(text: str) -> str:
    try:
        parse_dollars(text)
    except Invalid:
        raise ValueError("is not an amount in dollars like 5 or 0.25") from None
    return text


Key = Annotated[
    str, Field(min_length=1, max_length=200, description="Your own name for the call, new for each, kept for retries.")
]
Tokens = Annotated[int, Field(ge=0, le=1_000_000_000)]
Dollars = Annotated[
    str,
    AfterValidator(_is_dollars),
    WithJsonSchema({"type": "string", "pattern": r"^\$?[0-9]{1,9}(\.[0-9]{1,6})?$", "examples": ["5", "0.25"]}),
]
Scope = Annotated[
    str,
    Field(
        pattern=r"^(attempt(:[0-9A-Za-z][0-9A-Za-z_-]{0,63})?|(agent|cloud)(:[A-Za-z0-9][A-Za-z0-9._-]{0,63})?|fleet)$",
        description="Every attempt, agent or provider by its kind alone, one by attempt:<task>, agent:<name>,"
        " cloud:<provider>, or the fleet.",
    ),
]
Per = Literal["total", "day", "month"]


class SpendReserve(Input):
    """A call that is about to be made."""

    key: Key
    provider: Annotated[str, Field(min_length=1, max_length=100)]
    model: Annotated[str, Field(min_length=1, max_length=200)]
    input_tokens: Tokens | None = Field(default=None, description="The most that the call can use.")
    output_tokens: Tokens | None = Field(default=None, description="The most that the call can use.")


class SpendExtend(Input):
    """A call that needs more than was reserved: its new totals."""

    key: Key
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None


class SpendSettle(Input):
    """What a call has cost: the tokens that it used, or dollars."""

    key: Key
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    dollars: Dollars | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> SpendSettle:
        tokens = self.input_tokens is not None or self.output_tokens is not None
        if tokens == (self.dollars is not None):
            raise ValueError("needs either the tokens that were used, or dollars")
        return self


class SpendRelease(Input):
    """A call that was not made."""

    key: Key


class SpendCorrect(Input):
    """What a call of an attempt that has ended really cost."""

    task_id: Annotated[str, Field(pattern=TASK_ID)]
    fence: Annotated[int, Field(ge=1, lt=2**63)]
    key: Key
    dollars: Dollars
    reason: Reason = ""


class SpendCapChange(Input):
    """A cap to set, or to clear."""

    scope: Scope
    per: Per = Field(default="total", description="An attempt has a total alone.")
    dollars: Dollars | None = Field(default=None, description="Null: no cap.")
    clear: bool = Field(default=False, description="Forget what was set; config/spend.toml holds again.")
    reason: Reason = ""


class Reservation(Output):
    """Money promised to one call."""

    task_id: str
    fence: int
    key: str
    agent: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    reserved_micros: int
    stage: Literal["held", "settled", "released", "charged"]
    actual_micros: int | None = Field(description="Null while it is held.")
    made_at: datetime | None
    ended_at: datetime | None


class OneReservation(Output):
    """One call."""

    reservation: Reservation


class Cap(Output):
    """A cap that holds, and where it comes from."""

    scope: str
    per: Per
    micros: int | None = Field(description="Null: no cap.")
    origin: Literal["default", "config", "set"]
    actor: str | None
    reason: str | None
    at: datetime | None


class OneCap(Output):
    """What holds now; null: no cap."""

    cap: Cap | None


class Account(Output):
    """What is spent and promised for one scope over one window."""

    scope: str
    per: Per
    window: str | None = Field(description="The day or month in UTC; null: for ever.")
    spent_micros: int
    reserved_micros: int
    remaining_micros: int | None = Field(description="Null: there is no cap.")
    cap: Cap | None
    opens_at: datetime | None = Field(description="When the window gives way to the next; null: never.")


class PausedAttempt(Output):
    """An attempt whose last call did not fit."""

    task_id: str
    fence: int
    agent: str
    reason: str


class Spend(Output):
    """The ledger now."""

    accounts: list[Account]
    open: list[Reservation] = Field(description="Held, and charged because nobody settled them; the newest 1,000.")
    paused: list[PausedAttempt]
    stopped_by: str | None = Field(description="Why nothing new is spent at all; null: it is.")


class Price(Output):
    """The price of a model from a day on, in micro-dollars: per million tokens, and per call."""

    provider: str
    model: str
    valid_from: str
    valid_until: str | None
    input_micros: int
    output_micros: int
    call_micros: int


class Prices(Output):
    """Every known price."""

    prices: list[Price]
    fault: str | None = Field(description="Why the files cannot be used as they are; null: they can.")
