"""Slots: what one attempt had of its slot is worth nothing to it once the next has one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.agent_runner.warden.slots import Slot, Slots, forget_secrets


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


def nest(folder: str, depth: int = 1500) -> None:
    """Folders in folders, deeper than Python calls itself or a path may be long."""
    Path(folder).unlink(missing_ok=True)
    os.mkdir(folder)
    inner = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=inner)
        outer, inner = inner, os.open("d", os.O_RDONLY, dir_fd=inner)
        os.close(outer)
    os.close(inner)


@pytest.mark.parametrize("place", ["report", "last_report", "params", "credential", "secrets", "work", "folder"])
def test_no_folder_that_a_script_leaves_is_too_deep(tmp_path: Path, place: str) -> None:
    slots = Slots(tmp_path / "slots")
    slot = slots.take()
    slot.prepare("{}", "{}", "credential", [("openai", "a secret")])
    path = getattr(slot, place)
    nest(f"{path}/deep" if os.path.isdir(path) else path)
    slot.output_bytes()
    assert slot.has_report() is (place == "report")
    slot.tidy()
    slots.release(slot.index)
    assert os.path.exists(path) is (place == "folder")
    slots.remove_all()
    assert not any((tmp_path / "slots").iterdir())


def test_what_a_killed_warden_left_is_gone_before_the_next_begins(tmp_path: Path) -> None:
    slot = Slots(tmp_path / "slots").take()
    slot.prepare("{}", "", "credential", [("openai", "a secret")])
    nest(f"{slot.secrets}/deep")
    nest(slot.report)
    forget_secrets(tmp_path / "slots")
    assert not os.path.exists(slot.secrets) and not os.path.exists(slot.credential)
    Slots(tmp_path / "slots")
    assert not any((tmp_path / "slots").iterdir())
