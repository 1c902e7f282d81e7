"""Prices and caps from their files: read again when they change, and never half."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from foundation.errors import Invalid
from foundation.money import format_dollars, parse_dollars
from services.safety.adapters.spend_files import TariffFiles
from services.safety.domain.spend_caps import AccountKey, CapName, Caps, Per
from services.safety.domain.spend_prices import Usage

PRICES = """
[[price]]
provider = "acme"
model = "words"
valid_from = 2026-01-01
input = 0.25
output = "2"

[[price]]
provider = "acme"
model = "words"
valid_from = 2026-03-01
valid_until = 2026-03-31
input = "0.5"
output = 4
call = 0.000001
"""
CAPS = """
[[cap]]
scope = "agent"
per = "day"
dollars = "none"

[[cap]]
scope = "agent:writer"
per = "day"
dollars = 1.5
"""


def test_prices_hold_from_their_day_on(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(PRICES)
    prices = TariffFiles(tmp_path).read().prices
    assert prices.of("acme", "words", date(2026, 2, 28)).cost(Usage(1_000_000, 1)) == 250_002
    assert prices.of("acme", "words", date(2026, 3, 31)).cost(Usage(0, 0)) == 1
    for model, day in (("words", date(2025, 12, 31)), ("words", date(2026, 4, 1)), ("wrods", date(2026, 2, 1))):
        with pytest.raises(Invalid) as refused:
            prices.of("acme", model, day)
        assert refused.value.code == "unknown_price"
    assert "did you mean acme words" in refused.value.message


def test_the_narrower_cap_goes_first(tmp_path: Path) -> None:
    (tmp_path / "spend.toml").write_text(CAPS)
    caps = Caps(TariffFiles(tmp_path).read().caps, lambda name: None)
    found = {
        subject: caps.of(AccountKey(subject, "2026-01-01"))
        for subject in ("agent:writer", "agent:x", "cloud:x", "fleet")
    }
    said = {subject: (cap.micros, cap.origin) if cap else None for subject, cap in found.items()}
    assert said == {
        "agent:writer": (1_500_000, "config"),
        "agent:x": (None, "config"),
        "cloud:x": (50_000_000, "default"),
        "fleet": (50_000_000, "default"),
    }
    assert caps.of(AccountKey("fleet", "")) is None
    assert caps.named(CapName("agent", Per.MONTH)) is None


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("prices.toml", "[[price", "is not TOML"),
        ("prices.toml", PRICES.replace('"acme"', "5", 1), "number 1: provider must be a text"),
        ("prices.toml", PRICES.replace("0.25", "0.0000001"), "is not an amount"),
        ("prices.toml", PRICES.replace("0.25", "-1"), "is not an amount"),
        ("prices.toml", PRICES.replace("2026-01-01", '"soon"'), "valid_from must be a day"),
        ("prices.toml", PRICES.replace("input =", "inptu ="), "inptu is not known"),
        ("prices.toml", "price = 5", "[[price]] entries and nothing else"),
        ("spend.toml", CAPS.replace('"agent"', '"agents"'), "nothing that spend is counted for"),
        ("spend.toml", CAPS.replace('"day"', '"week"'), "no time that a cap counts over"),
        ("spend.toml", "[[cap]]\nscope = 'fleet'", "dollars is missing"),
    ],
)
def test_a_fault_is_told_and_what_was_known_stays(tmp_path: Path, file: str, text: str, said: str) -> None:
    (tmp_path / "prices.toml").write_text(PRICES)
    files = TariffFiles(tmp_path)
    good = files.read()
    assert not good.fault and files.read() is good
    (tmp_path / file).write_text(text)
    os.utime(tmp_path / file, ns=(1, 1))
    bad = files.read()
    assert said in bad.fault and bad.fault.startswith("nothing new is spent: ")
    assert bad.prices is good.prices
    (tmp_path / file).unlink()
    assert not files.read().fault


def test_without_files_no_price_is_known(tmp_path: Path) -> None:
    tariff = TariffFiles(tmp_path).read()
    assert (list(tariff.prices), tariff.caps, tariff.fault) == ([], {}, "")


@pytest.mark.parametrize(
    ("text", "micros"), [("5", 5_000_000), ("$0.25", 250_000), ("0.000001", 1), (" 1.5 ", 1_500_000), ("0", 0)]
)
def test_dollars_are_read_exactly(text: str, micros: int) -> None:
    assert parse_dollars(text) == micros


@pytest.mark.parametrize("text", ["", "-1", "1.0000001", "1e3", "١", "1,5", "9999999999", "nan"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_dollars(text)


def test_dollars_are_shown_with_as_many_decimals_as_they_need() -> None:
    assert [format_dollars(micros) for micros in (0, 1_250_000, 1, -2_500_000, 1_234_567_890_000)] == [
        "$0.00",
        "$1.25",
        "$0.000001",
        "-$2.50",
        "$1,234,567.89",
    ]
