"""What was done to secrets reaches the audit log: once, with who did it, whatever fails in between."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from foundation.clock import ManualClock
from foundation.errors import Exhausted
from foundation.ids import SequentialIds
from foundation.secret_acts import SECRET_REMOVE, SECRET_SET, SecretActs
from services.safety.adapters.memory import MemoryStore
from services.safety.adapters.secret_notes import SecretNoteFiles
from services.safety.app.audit import Audit
from services.safety.app.secret_acts import AT_ONCE_MAX, SOURCE, TakeUpSecretActs
from services.safety.domain.audit import Actor, AuditEntry
from services.safety.ports import Changes
from tests.safety.world import World

IDS, CLOCK = SequentialIds(), ManualClock()


class FullStore(MemoryStore):
    """Takes no audit record while it is full."""

    full = False

    async def commit(self, changes: Changes) -> int:
        if self.full and changes.audit:
            raise Exhausted("disk_full", "The disk is full; nothing was stored.")
        return await super().commit(changes)


def note(folder: Path, act: str, name: str) -> None:
    SecretActs(folder).note(act, name, id=IDS.new(), now=CLOCK.now())


def taking(world: World, folder: Path) -> TakeUpSecretActs:
    return TakeUpSecretActs(Audit(world.state, world.store), SecretNoteFiles(folder))


async def recorded(world: World) -> list[AuditEntry]:
    return [record.entry for record in await world.store.audit_after(0, 1_000)]


async def test_who_did_what_to_which_is_recorded_once(tmp_path: Path) -> None:
    world = await World.start()
    note(tmp_path, SECRET_SET, "openai")
    note(tmp_path, SECRET_REMOVE, "chat")
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    await taking(world, tmp_path).sweep()
    assert [(one.act, one.target, one.at) for one in await recorded(world)] == [
        (SECRET_SET, "secret openai", CLOCK.now()),
        (SECRET_REMOVE, "secret chat", CLOCK.now()),
    ]
    assert {one.actor for one in await recorded(world)} == {Actor(name=getpass.getuser(), source=SOURCE)}
    assert list(tmp_path.iterdir()) == []
    # Safety was killed before it could forget them.
    for name, text in kept.items():
        (tmp_path / name).write_bytes(text)
    await world.crash()
    await taking(world, tmp_path).sweep()
    assert (len(await recorded(world)), list(tmp_path.iterdir())) == (2, [])


async def test_notes_wait_while_the_log_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = FullStore()
    world = await World.start(store)
    note(tmp_path, SECRET_SET, "openai")
    take, store.full = taking(world, tmp_path), True
    await take.sweep()
    await take.sweep()
    assert (await recorded(world), len(list(tmp_path.iterdir()))) == ([], 1)
    store.full = False
    await take.sweep()
    assert ([one.target for one in await recorded(world)], list(tmp_path.iterdir())) == (["secret openai"], [])


async def test_what_says_nothing_is_dropped_and_holds_nothing_up(tmp_path: Path) -> None:
    world = await World.start()
    for text in ("", "[]", "x" * 10_000, '{"at": "2026-01-01T00:00:00+00:00", "act": "mode_loosen", "name": "x"}'):
        (tmp_path / IDS.new()).write_text(text)
    (tmp_path / ".half").write_text("a note that is being written")
    for number in range(AT_ONCE_MAX):
        note(tmp_path, SECRET_SET, f"s{number}")
    take = taking(world, tmp_path)
    await take.sweep()
    await take.sweep()
    assert [one.target for one in await recorded(world)] == [f"secret s{number}" for number in range(AT_ONCE_MAX)]
    assert [path.name for path in tmp_path.iterdir()] == [".half"]


async def test_without_a_folder_there_is_nothing(tmp_path: Path) -> None:
    world = await World.start()
    await taking(world, tmp_path / "none").sweep()
    assert await recorded(world) == []
