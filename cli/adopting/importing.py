"""Submits legacy tasks in batches, each entry once and for all, whatever is cut short in between."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.adopting.legacy import Left, LegacyTask
from clients.coordinator_values import TaskSpec
from foundation.errors import Invalid, NotFound
from foundation.files import sync, sync_directory

BATCH_TASKS = 500
BATCH_BYTES = 512 * 1024

Submit = Callable[[Sequence[TaskSpec], str], Sequence[str]]
"""Submits tasks under an idempotency key, and returns their ids."""


@dataclass(slots=True)
class Ledger:
    """What was imported, by the digest of its entry: idempotency keys are forgotten after a week, this is not.

    A batch is written down before it is submitted, so that one that was cut short is sent again as it was.
    """

    path: Path
    done: dict[str, str] = field(default_factory=dict)
    pending: list[list[str]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """What is written down; a last line that was cut counts as not written."""
        ledger = cls(path)
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        batches: dict[str, list[str]] = {}
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if "ids" in record:
                ledger.done.update(zip(batches.pop(record["key"], []), record["ids"], strict=False))
            else:
                batches[record["key"]] = record["digests"]
        ledger.pending = list(batches.values())
        return ledger

    def begin(self, key: str, digests: Sequence[str]) -> None:
        """A batch is about to be submitted."""
        self._append({"key": key, "digests": list(digests)})

    def end(self, key: str, digests: Sequence[str], ids: Sequence[str]) -> None:
        """It was accepted."""
        self._append({"key": key, "ids": list(ids)})
        self.done.update(zip(digests, ids, strict=True))

    def _append(self, record: Mapping[str, object]) -> None:
        new = not self.path.exists()
        with self.path.open("ab") as file:
            if not new and file.tell() and not self._whole():
                file.write(b"\n")
            file.write(json.dumps(record).encode() + b"\n")
            file.flush()
            sync(file.fileno())
        if new:
            self.path.chmod(0o600)
            sync_directory(self.path.parent)

    def _whole(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) == b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """How many were submitted now, and how many were so earlier."""

    submitted: int
    earlier: int


def import_tasks(tasks: Sequence[LegacyTask], ledger: Ledger, left: Left, submit: Submit) -> Imported:
    """Submit those that were not yet. Raises what `submit` raises; what was accepted by then is written down."""
    by_digest = {task.digest: task for task in tasks}
    ids = {task.id: ledger.done[task.digest] for task in tasks if task.digest in ledger.done}
    earlier, count = len(ids), 0
    unsure: set[str] = set()
    again: list[list[LegacyTask]] = []
    for batch in ledger.pending:
        if all(digest in by_digest for digest in batch):
            again.append([by_digest[digest] for digest in batch])
        else:
            unsure |= set(batch)
    for task in tasks:
        if task.digest in unsure:
            left.add("may have been submitted by an import that was cut short; `quantum tasks` shows", task.id)
    known = {*ledger.done, *unsure, *(task.digest for batch in again for task in batch)}
    rest = [task for task in tasks if task.digest not in known]
    for chunk in (*again, *batches(rest)):
        kept: dict[str, LegacyTask] = {}
        for task in chunk:
            if all(need in ids or need in kept for need in task.needs):
                kept[task.id] = task
            else:
                left.add("waits for a task that is left out", task.id)
        if not kept:
            continue
        specs, digests = _specs(list(kept.values()), ids), [task.digest for task in kept.values()]
        key = "adopt-" + hashlib.sha256("".join(digests).encode()).hexdigest()[:32]
        ledger.begin(key, digests)
        try:
            accepted = submit(specs, key)
        except (Invalid, NotFound):
            ledger.end(key, (), ())  # for sure none of them was taken: they are free to be mended and sent again
            raise
        ledger.end(key, digests, accepted)
        ids.update(zip(kept, accepted, strict=True))
        count += len(kept)
    return Imported(submitted=count, earlier=earlier)


def batches(tasks: Sequence[LegacyTask]) -> Iterator[list[LegacyTask]]:
    """In portions that one call takes."""
    batch: list[LegacyTask] = []
    size = 0
    for task in tasks:
        length = len(json.dumps(task.params)) + 200
        if batch and (len(batch) >= BATCH_TASKS or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(task)
        size += length
    if batch:
        yield batch


def _specs(batch: Sequence[LegacyTask], ids: Mapping[str, str]) -> list[TaskSpec]:
    refs = {task.id: f"t{number}" for number, task in enumerate(batch)}
    return [
        TaskSpec(
            agent=task.agent,
            project=task.project,
            priority=task.priority,
            params=task.params,
            ref=refs[task.id],
            depends_on=tuple(f"#{refs[need]}" if need in refs else ids[need] for need in task.needs),
        )
        for task in batch
    ]
