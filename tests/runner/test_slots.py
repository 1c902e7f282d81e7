"""Slots: what one attempt had of its slot is worth nothing to it once the next has one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.agent_runner.warden.slots import Slot, Slots


def run(slots: Slots, *, given: bool) -> tuple[Slot, int]:
    """One attempt from its start to its end; its slot, and a descriptor of the folder that outlives it."""
    slot = slots.take()
    slot.prepare("{}", "")
    if given:
        slot.give_to(-1, -1)
    kept = os.open(slot.folder, os.O_RDONLY | os.O_DIRECTORY)
    slot.output_bytes()
    slot.tidy()
    slots.release(slot.index)
    return slot, kept


def test_a_sandbox_leaves_no_way_into_the_slot_of_the_next_attempt(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "slots")
    before, kept = run(slots, given=True)
    after = slots.take()
    after.prepare("{}", "", secrets=[("openai", "a secret")])
    assert (after.index, after.folder) == (before.index, before.folder), "numbers are used again, folders are not"
    assert Path(after.secrets, "openai").read_text() == "a secret"
    with pytest.raises(FileNotFoundError):
        os.open("secrets/openai", os.O_RDONLY, dir_fd=kept)
    os.close(kept)


def test_a_slot_without_a_sandbox_is_used_again(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "slots")
    before, kept = run(slots, given=False)
    assert slots.take() is before
    os.close(kept)
