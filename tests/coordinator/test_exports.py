"""Exports: whole, only when something changed, and over every hand."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.coordinator import loops
from services.coordinator.adapters.exports import ExportFile
from services.coordinator.app.export import Document, queue_document
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import TaskState
from services.coordinator.loops import Exports
from services.coordinator.ports import Store
from tests.coordinator.desk import Desk

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Files:
    """Both exports in a folder."""

    def __init__(self, folder: Path, desk: Desk, bytes_max: int = 1 << 20) -> None:
        self.queue, self.agents = folder / "task_queue.json", folder / "agent_status.json"
        self.exports = Exports(
            desk.store,
            desk.agents,
            desk.changes,
            queue_file=ExportFile(self.queue, "`quantum queue clear`"),
            agents_file=ExportFile(self.agents, "`quantum recover --all`"),
            open_max=3,
            ended_max=2,
            bytes_max=bytes_max,
            clock=desk.clock,
        )

    @property
    def stamps(self) -> tuple[int, int]:
        return self.queue.stat().st_ino, self.agents.stat().st_ino


@pytest.fixture
def files(tmp_path: Path, desk: Desk) -> Files:
    return Files(tmp_path, desk)


async def test_the_queue_shows_its_head_and_its_tail_and_no_params(files: Files, desk: Desk) -> None:
    tasks = await desk.add(*[TaskRequest(agent="build", params=b'{"password": "hunter2"}')] * 7)
    for task in tasks[:3]:
        await desk.end(task, output="hunter2")
    await desk.run(tasks[6])
    await files.exports.step()
    text = files.queue.read_text()
    shown = json.loads(text)
    assert shown["counts"] | {"queued": 3, "running": 1, "succeeded": 3} == shown["counts"]
    assert set(shown["counts"]) == {state.value for state in TaskState}
    assert [task["id"] for task in shown["open"]] == [tasks[6].id, tasks[3].id, tasks[4].id]
    assert len(shown["ended"]) == 2
    assert "hunter2" not in text


async def test_every_agent_is_shown_with_its_state(files: Files) -> None:
    await files.exports.step()
    agents = json.loads(files.agents.read_text())["agents"]
    assert {name: agent["state"] for name, agent in agents.items()} == {
        "broken": "invalid",
        "build": "idle",
        "hello": "idle",
        "plain": "undeclared",
    }
    assert agents["build"]["success_rate"] is None


async def test_nothing_is_written_while_nothing_changes(files: Files, desk: Desk) -> None:
    await files.exports.step()
    before = files.stamps
    for _ in range(20):
        desk.clock.advance(desk.clock.now() - desk.clock.now())
        await files.exports.step()
    files.exports.touch()
    await files.exports.step()
    assert files.stamps == before
    await desk.add()
    await files.exports.step()
    assert files.stamps[0] != before[0]


async def test_a_queue_that_takes_long_to_write_is_written_less_often(
    files: Files, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(store: Store, *, open_max: int, ended_max: int) -> Document:
        desk.clock.advance(timedelta(seconds=0.04))
        return await queue_document(store, open_max=open_max, ended_max=ended_max)

    monkeypatch.setattr(loops, "queue_document", slow)
    seen = []
    for _ in range(6):
        await desk.add()
        await files.exports.step()
        seen.append(json.loads(files.queue.read_text())["counts"]["queued"])
        desk.clock.advance(timedelta(seconds=1))
    assert seen == [1, 1, 3, 3, 5, 5]


@pytest.mark.parametrize("edit", ["[]", "", None])
async def test_a_hand_edit_is_written_over_with_a_sentence(
    edit: str | None, files: Files, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.add()
    await files.exports.step()
    for path in (files.queue, files.agents):
        if edit is None:
            path.unlink()
        else:
            path.write_text(edit)
    await files.exports.step()
    assert json.loads(files.queue.read_text())["counts"]["queued"] == 1
    assert json.loads(files.agents.read_text())["agents"]
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "`quantum queue clear`" in said
    assert "`quantum recover --all`" in said


async def test_a_folder_that_cannot_be_written_is_complained_of_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = ExportFile(tmp_path / "gone" / "x.json", "")
    assert not file.put({"a": 1}, now=NOW)
    assert not file.restore(now=NOW)
    assert len(caplog.records) == 1
    (tmp_path / "gone").mkdir()
    assert file.restore(now=NOW)
    assert json.loads((tmp_path / "gone" / "x.json").read_text())["a"] == 1


async def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "x.json").symlink_to(precious)
    ExportFile(tmp_path / "x.json", "").put({}, now=NOW)
    assert precious.read_text() == "mine"


async def test_the_document_of_an_empty_queue_is_whole(desk: Desk) -> None:
    document = await queue_document(desk.store, open_max=1, ended_max=1)
    assert (document["open"], document["ended"]) == ([], [])


async def test_an_export_that_would_be_too_long_lists_fewer_tasks_and_counts_them_all(
    tmp_path: Path, desk: Desk
) -> None:
    for _ in range(3):
        await desk.add(TaskRequest(agent="hello"))
    listed = {}
    for bytes_max in (1 << 20, 800, 100):
        files = Files(tmp_path, desk, bytes_max)
        await files.exports.step()
        document = json.loads(files.queue.read_text())
        listed[bytes_max] = len(document["open"])
        assert document["counts"]["queued"] == 3
    print(listed)
    assert listed[1 << 20] == 3 > listed[800] >= listed[100] == 0
