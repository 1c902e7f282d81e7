"""The mode's ladder: which call each rung takes, what is said, and what undoes it."""

from __future__ import annotations

from tests.cli.conftest import Quantum
from tests.cli.fakes import PlayedSafety


def test_show_is_the_default_and_changes_nothing(quantum: Quantum, played_safety: PlayedSafety) -> None:
    assert quantum("mode").out == "The mode is NORMAL.\n  Work flows.\n"
    assert quantum("mode", "show", "--json").document["mode"]["mode"] == "NORMAL"
    assert played_safety.mode_calls == []


def test_going_up_tightens_and_going_down_loosens(quantum: Quantum, played_safety: PlayedSafety) -> None:
    said = quantum("mode", "frozen", "--reason", "a look")
    assert said.out == (
        "The mode is FROZEN since 2026-01-01 00:00:00 by ann: a look\n"
        "  Nothing new starts, and what runs is frozen where it is.\n"
        "  → quantum resume goes back to NORMAL\n"
        "  undo: quantum mode normal\n"
    )
    assert quantum("mode", "drain", "--json").document["before"] == "FROZEN"
    assert quantum("mode", "normal").code == 0
    assert [(verb, mode) for verb, mode, _ in played_safety.mode_calls] == [
        ("tighten", "FROZEN"),
        ("resume", "DRAIN"),
        ("resume", "NORMAL"),
    ]


def test_without_safety_it_names_what_works(quantum: Quantum, played_safety: PlayedSafety) -> None:
    played_safety.away = True
    said = quantum("mode", "frozen")
    assert said.code == 69
    assert "quantum stop --all" in said.err and "quantum queue pause" in said.err


def test_what_is_no_rung_is_refused(quantum: Quantum) -> None:
    assert quantum("mode", "asleep").code == 2


def test_a_breaker_is_shown_with_its_history(quantum: Quantum, played_safety: PlayedSafety) -> None:
    played_safety.put("agent:build", "open", reason="3 failures in a row")
    said = quantum("breaker", "show", "build")
    assert said.out.startswith("agent:build is open. 3 failures in a row\n")
    missing = quantum("breaker", "show", "bild")
    assert missing.code == 66 and "Did you mean agent:build?" in missing.err
