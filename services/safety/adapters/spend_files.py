"""Prices and caps as they stand in `config/prices.toml` and `config/spend.toml`; read again when they change."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

from foundation.errors import Invalid, QuantumError
from foundation.money import parse_dollars
from services.safety.domain.spend_caps import CapName, Per, cap_name
from services.safety.domain.spend_gate import Tariff
from services.safety.domain.spend_prices import Price, PriceTable

T = TypeVar("T")

_PRICE_KEYS = {"provider", "model", "valid_from", "valid_until", "input", "output", "call"}
_CAP_KEYS = {"scope", "per", "dollars"}
_NO_CAP = "none"


class TariffFiles:
    """The newest readable prices and caps. A file that is not there says nothing: no price is known, the caps are ours.

    While a file has a fault the last good content stays known, and the fault is told: nothing new is spent until it is
    mended.
    """

    def __init__(self, folder: Path) -> None:
        self._prices_file = folder / "prices.toml"
        self._caps_file = folder / "spend.toml"
        self._seen: object = None
        self._tariff = Tariff()

    def read(self) -> Tariff:
        """What holds now; two looks at the file system as long as nothing has changed."""
        seen = [_state(file) for file in (self._prices_file, self._caps_file)]
        if seen != self._seen:
            self._seen = seen
            self._tariff = self._load()
        return self._tariff

    def _load(self) -> Tariff:
        try:
            return Tariff(
                prices=PriceTable(_entries(self._prices_file, "price", _price)),
                caps=dict(_entries(self._caps_file, "cap", _cap)),
            )
        except (QuantumError, OSError, ValueError) as error:
            said = error.message if isinstance(error, QuantumError) else f"prices or caps cannot be read: {error}"
            return Tariff(prices=self._tariff.prices, caps=self._tariff.caps, fault=f"nothing new is spent: {said}")


def _state(file: Path) -> object:
    try:
        status = file.stat()
    except OSError as error:
        return error.errno
    return status.st_mtime_ns, status.st_size, status.st_ino


def _entries(file: Path, name: str, read: Callable[[Mapping[str, Any]], T]) -> list[T]:
    try:
        # Numbers stay the text that was written: no amount is rounded on the way.
        document = tomllib.loads(file.read_text(), parse_float=str)
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise Invalid("bad_spend_file", f"{file.name} is not TOML: {error}") from None
    entries = document.pop(name, [])
    if document or not isinstance(entries, list):
        raise Invalid("bad_spend_file", f"{file.name} may hold [[{name}]] entries and nothing else")
    found = []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(read(entry))
        except QuantumError as error:
            raise Invalid("bad_spend_file", f"{file.name}, [[{name}]] number {number}: {error.message}") from None
    return found


def _price(entry: Mapping[str, Any]) -> Price:
    _require(entry, _PRICE_KEYS, ("provider", "model", "valid_from"))
    if not entry.keys() & {"input", "output", "call"}:
        raise Invalid("bad_price", "it names neither input nor output nor call.")
    return Price(
        provider=_text(entry, "provider"),
        model=_text(entry, "model"),
        valid_from=_day(entry, "valid_from"),
        valid_until=_day(entry, "valid_until") if "valid_until" in entry else None,
        input_micros=_dollars(entry.get("input", 0)),
        output_micros=_dollars(entry.get("output", 0)),
        call_micros=_dollars(entry.get("call", 0)),
    )


def _cap(entry: Mapping[str, Any]) -> tuple[CapName, int | None]:
    _require(entry, _CAP_KEYS, ("scope", "dollars"))
    name = cap_name(_text(entry, "scope"), str(entry.get("per", Per.TOTAL)))
    return name, None if entry["dollars"] == _NO_CAP else _dollars(entry["dollars"])


def _require(entry: Mapping[str, Any], known: set[str], needed: tuple[str, ...]) -> None:
    if not isinstance(entry, dict):
        raise Invalid("bad_entry", "it is no table.")
    unknown = sorted(entry.keys() - known)
    missing = [key for key in needed if key not in entry]
    if unknown or missing:
        said = [f"{', '.join(unknown)} is not known"] if unknown else []
        said += [f"{', '.join(missing)} is missing"] if missing else []
        raise Invalid("bad_entry", f"{' and '.join(said)}.")


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry[key]
    if not isinstance(value, str) or not value.strip():
        raise Invalid("bad_entry", f"{key} must be a text.")
    return value


def _day(entry: Mapping[str, Any], key: str) -> date:
    value = entry[key]
    if not isinstance(value, date) or isinstance(value, datetime):
        raise Invalid("bad_entry", f"{key} must be a day like 2026-01-31, without quotes.")
    return value


def _dollars(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise Invalid("bad_amount", f"{value!r} is not an amount in dollars.")
    return parse_dollars(str(value))
