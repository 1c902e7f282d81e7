"""What a call costs: prices with the days from which they hold, and the cost of what a call may use at most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from foundation.errors import Invalid, did_you_mean

TOKENS_MAX = 1_000_000_000
"""Tokens that one call can name on either side; more is a slip, not a call."""
_MILLION = 1_000_000


class Usage(NamedTuple):
    """Tokens of one call: expected at most (to reserve), or used (to settle)."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Whole micro-dollars: per million tokens in and out, and per call whatever its size.

    It holds from `valid_from` until another of the same model does, or to the end of `valid_until`.
    """

    provider: str
    model: str
    valid_from: date
    valid_until: date | None = None
    input_micros: int = 0
    output_micros: int = 0
    call_micros: int = 0

    def cost(self, usage: Usage) -> int:
        """Micro-dollars, rounded up: what was promised is never less than what is paid."""
        tokens = usage.input_tokens * self.input_micros + usage.output_tokens * self.output_micros
        return self.call_micros - (-tokens // _MILLION)


class PriceTable:
    """Every known price, by provider and model."""

    def __init__(self, prices: Iterable[Price] = ()) -> None:
        self._prices: dict[tuple[str, str], list[Price]] = {}
        for price in sorted(prices, key=lambda price: price.valid_from):
            self._prices.setdefault((price.provider, price.model), []).append(price)

    def __iter__(self) -> Iterator[Price]:
        """All of them, by provider, model and day."""
        return (price for _, prices in sorted(self._prices.items()) for price in prices)

    def of(self, provider: str, model: str, day: date) -> Price:
        """The price that holds on a day. Raises Invalid, code `unknown_price`: what it costs must be known first."""
        begun = [price for price in self._prices.get((provider, model), ()) if price.valid_from <= day]
        if begun and (begun[-1].valid_until is None or day <= begun[-1].valid_until):
            return begun[-1]
        names = [f"{provider} {model}" for provider, model in self._prices]
        near = did_you_mean(f"{provider} {model}", names)
        meant = f"; did you mean {near}?" if near and near != f"{provider} {model}" else ""
        raise Invalid(
            "unknown_price",
            f"There is no price for model {model or '(none named)'} of {provider or '(no provider named)'} on"
            f" {day:%Y-%m-%d}{meant}, and a call of unknown cost is not paid for.",
            remedy="Add it to config/prices.toml; it is read at once.",
        )
