"""What a caller may say of a call: its key, the tokens that it can use at most, and what it has cost."""

from __future__ import annotations

from collections.abc import Callable

from foundation.errors import FieldFault, Invalid
from services.safety.domain.spend_prices import TOKENS_MAX, Price, Usage

KEY_LENGTH_MAX = 200


def require_key(key: str) -> None:
    """Raises Invalid for a key that cannot name a call."""
    if not 0 < len(key) <= KEY_LENGTH_MAX or not key.isprintable():
        fault = FieldFault("key", f"must have 1 to {KEY_LENGTH_MAX} printable characters")
        raise Invalid("bad_spend_key", "A call is named by a key of the caller's choice.", fields=(fault,))


def _bounded(name: str, tokens: int | None) -> int:
    if tokens is not None and not 0 <= tokens <= TOKENS_MAX:
        fault = FieldFault(name, f"must be from 0 to {TOKENS_MAX:,}")
        raise Invalid("bad_estimate", "That is no number of tokens that one call can use.", fields=(fault,))
    return tokens or 0


def usage_of(input_tokens: int | None, output_tokens: int | None) -> Usage:
    """The most tokens that a call can use; none where nothing is said. Raises Invalid for what is no number of them."""
    return Usage(_bounded("input_tokens", input_tokens), _bounded("output_tokens", output_tokens))


def require_estimate(price: Price, input_tokens: int | None, output_tokens: int | None) -> None:
    """Raises Invalid where a price counts tokens of which nobody has said how many there can be."""
    sides = (("input_tokens", input_tokens, price.input_micros), ("output_tokens", output_tokens, price.output_micros))
    faults = [FieldFault(name, "is missing") for name, tokens, micros in sides if micros and tokens is None]
    if faults:
        raise Invalid(
            "unbounded_estimate",
            f"What a call of {price.model} can cost at most is not known without {faults[0].path}.",
            remedy="Say how many tokens the call can use at most, and hold the call to it (max_tokens).",
            fields=faults,
        )


def cost_of(actual: Usage | int) -> Callable[[Price], int]:
    """What a call has cost, by its price: of tokens, or micro-dollars as they are. Raises Invalid."""
    if isinstance(actual, int):
        if not 0 <= actual <= TOKENS_MAX * 1_000_000:
            raise Invalid("bad_amount", "That is no amount that one call can cost.")
        return lambda price: actual
    usage = usage_of(*actual)
    return lambda price: price.cost(usage)
