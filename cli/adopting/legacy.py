"""Reads the tasks of a legacy task_queue.json, whatever shape it has, also one that was cut in the middle."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cli.adopting.across import legal_name

_OPEN = {
    "pending",
    "queued",
    "assigned",
    "new",
    "todo",
    "waiting",
    "scheduled",
    "ready",
    "open",
    "retry",
    "created",
    "",
}
_RUNNING = {"in_progress", "in-progress", "inprogress", "running", "started", "processing", "active", "busy"}
_ENDED = {
    "completed",
    "complete",
    "done",
    "success",
    "succeeded",
    "failed",
    "error",
    "cancelled",
    "canceled",
    "skipped",
}
_ENDED |= {"finished", "closed", "timeout", "expired", "dead"}
_AGENT = ("assigned_agent", "agent", "agent_name", "assigned_to", "assignee", "agentName", "worker")
_PARAMS = ("params", "parameters", "args", "payload", "data", "input")
_WORDS = {"critical": 9, "urgent": 9, "highest": 9, "high": 7, "medium": 5, "normal": 5, "low": 3, "lowest": 1}
_KNOWN = {*_AGENT, *_PARAMS, "id", "task_id", "status", "state", "priority", "project", "dependencies", "depends_on"}
_TIMES = {"created", "created_at", "updated", "updated_at", "assigned_at", "started_at", "completed_at", "timestamp"}
PARAMS_BYTES_MAX = 200 * 1024
PARAMS_DEPTH_MAX = 100
EXAMPLES_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyTask:
    """One task that is to be submitted. `digest` is of the entry as it stands, and tells it from every other."""

    id: str
    digest: str
    agent: str
    project: str
    priority: int | None
    params: Mapping[str, object]
    needs: tuple[str, ...]
    """Ids of legacy tasks that must succeed first and that are imported too."""


@dataclass(slots=True)
class Left:
    """Entries that are not imported: how many for each reason, and the first few."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, example: str) -> None:
        """Leave one out."""
        self.counts[reason] += 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES_MAX and example not in shown:
            shown.append(example[:80])


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The entries of a file. `damage` says, as a sentence, what of it could not be read; empty for a whole file."""

    entries: Sequence[tuple[str, object]]
    """Each with its id where it is the key of a table, else an empty text."""
    damage: str = ""


def read_queue(data: bytes) -> Queue:
    """Every whole entry of a list, of `{"tasks": [...]}` or of a table by ids."""
    text = data.decode("utf-8-sig", errors="replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _salvage(text, error)
    return Queue(entries=list(_entries(document)))


def _entries(document: object) -> Iterator[tuple[str, object]]:
    if isinstance(document, dict):
        for key in ("tasks", "queue", "items", "task_queue"):
            if isinstance(document.get(key), list | dict):
                yield from _entries(document[key])
                return
        if document and all(isinstance(value, dict) for value in document.values()):
            yield from document.items()
    elif isinstance(document, list):
        yield from (("", entry) for entry in document)


def _salvage(text: str, error: Exception) -> Queue:
    """What stands whole before the damage."""
    start = re.search(r'"(?:tasks|queue|items|task_queue)"\s*:\s*([\[{])', text)
    at = start.end(1) if start else next((match.end() for match in [re.search(r"[\[{]", text)] if match), len(text))
    table = at > 0 and text[at - 1] == "{"
    decoder, entries = json.JSONDecoder(), []
    while True:
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n,")) if at < len(text) and text[at] in " \t\r\n," else 0
        try:
            key = ""
            if table:
                key, at_value = decoder.raw_decode(text, at)
                colon = re.compile(r"\s*:\s*").match(text, at_value)
                if not isinstance(key, str) or colon is None:
                    break
                value, end = decoder.raw_decode(text, colon.end())
            else:
                value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        entries.append((key, value))
        at = end
    left = len(text) - at
    said = getattr(error, "msg", str(error))
    return Queue(
        entries=entries,
        damage=f"The file is damaged ({said}): {len(entries)} entries stand whole before that, "
        f"{left} characters were not read.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a task can be for."""

    agents: Mapping[str, str]
    """By name and alias; the value is the agent's name."""
    again: Collection[str]
    """Agents that may run again when nobody saw how they ended."""
    projects: Collection[str]
    services: Collection[str] = ()
    """Names and aliases of what is kept running, and takes no tasks."""


def plan(queue: Queue, known: Known) -> tuple[list[LegacyTask], Left]:
    """The tasks to submit, those first that others need, and what is left out."""
    left = Left()
    wanted: dict[str, LegacyTask] = {}
    ended: set[str] = set()
    for at, (key, entry) in enumerate(queue.entries):
        if not isinstance(entry, dict):
            left.add("no object", f"entry {at + 1}")
            continue
        task_id = _text(entry, "id", "task_id") or key or f"entry {at + 1}"
        task = _task(entry, task_id, known, left, ended)
        if task is None:
            continue
        if task_id in wanted:
            left.add("the same id twice", task_id)
            continue
        wanted[task_id] = task
    return _ordered(wanted, ended, left), left


def _task(entry: Mapping[str, object], task_id: str, known: Known, left: Left, ended: set[str]) -> LegacyTask | None:
    state = _text(entry, "status", "state").lower()
    if state in _ENDED:
        if state in ("completed", "complete", "done", "success", "succeeded", "finished"):
            ended.add(task_id)
        left.add(f"ended already ({state})", task_id)
        return None
    if state not in _OPEN | _RUNNING:
        left.add(f"in a state that is not known ({state[:20]})", task_id)
        return None
    named = _text(entry, *_AGENT)
    if not named:
        left.add("for no agent", task_id)
        return None
    agent = next((known.agents[name] for name in _spellings(named) if name in known.agents), "")
    if not agent and any(name in known.services for name in _spellings(named)):
        left.add(f"for a service, which runs by itself ({named[:40]})", task_id)
        return None
    if not agent:
        left.add(f"for an agent that does not exist ({named[:40]})", task_id)
        return None
    if state in _RUNNING and agent not in known.again:
        left.add("was under way, and may have been done in part", task_id)
        return None
    project = _text(entry, "project")
    if project and project not in known.projects:
        left.add(f"for a project that does not exist ({project[:40]})", task_id)
        return None
    params = _params(entry, task_id)
    fault = _fault_of(params)
    if fault:
        left.add(fault, task_id)
        return None
    needs = _needs(entry)
    if needs is None:
        left.add("waits for something that is no id", task_id)
        return None
    digest = hashlib.sha256(json.dumps([task_id, entry], sort_keys=True, default=str).encode()).hexdigest()
    return LegacyTask(
        id=task_id,
        digest=digest,
        agent=agent,
        project=project,
        priority=_priority(entry.get("priority")),
        params=params,
        needs=needs,
    )


def _fault_of(params: Mapping[str, object]) -> str:
    """Why the coordinator would not take them; one task that it refuses keeps a whole batch from being submitted."""
    if _deeper(params, PARAMS_DEPTH_MAX):
        return "its params are nested too deeply"
    try:
        text = json.dumps(params, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:  # NaN, Infinity, half of a surrogate pair
        return "its params are no JSON"
    return "its params are larger than 200 KiB" if len(text) > PARAMS_BYTES_MAX else ""


def _deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(each, levels - 1) for each in inner)


def _needs(entry: Mapping[str, object]) -> tuple[str, ...] | None:
    """The ids that it waits for, one or a list of them; None for anything else."""
    needs = entry.get("dependencies") or entry.get("depends_on") or []
    listed = needs if isinstance(needs, list) else [needs]
    if any(isinstance(one, bool) or not isinstance(one, str | int) for one in listed):
        return None
    return tuple(str(one).strip() for one in listed)


def _text(entry: Mapping[str, object], *names: str) -> str:
    for name in names:
        value = entry.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return ""


def _spellings(named: str) -> Iterator[str]:
    """An agent as it may be meant: as written, without folder and ending, as a name that is legal."""
    plain = named.rpartition("/")[2]
    plain = re.sub(r"\.(?:sh|py|bash|zsh|swift|js|rb|pl)$", "", plain)
    spellings = [named, plain, plain.lower(), legal_name(plain)]
    # `build_agent` and `agent_build.sh` are one agent in the queues that people have.
    turned = re.sub(
        r"^(?:agent_(.+)|(.+)_agent)$", lambda match: f"{match[1]}_agent" if match[1] else f"agent_{match[2]}", plain
    )
    yield from dict.fromkeys((*spellings, turned))


def _priority(value: object) -> int | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        return _WORDS.get(value.lower(), int(value) if re.fullmatch("[0-9]", value) else None)
    return int(min(max(value, 0), 9)) if isinstance(value, int | float) and value == value else None


def _params(entry: Mapping[str, object], task_id: str) -> dict[str, object]:
    """The params that it has, and whatever else it says, but for the times and marks of the old queue."""
    params: dict[str, object] = {}
    for key in _PARAMS:
        value = entry.get(key)
        if isinstance(value, dict):
            params.update(value)
        elif value not in (None, "", []):
            params[key] = value
    for key, value in entry.items():
        if key not in _KNOWN and key not in _TIMES and value is not None:
            params.setdefault(key, value)
    params.setdefault("legacy_id", task_id)
    return params


def _ordered(wanted: Mapping[str, LegacyTask], ended: Collection[str], left: Left) -> list[LegacyTask]:
    """Those first that others need; whoever needs what is not imported is left out, and so on."""
    behind: dict[str, list[str]] = {}
    open_needs: dict[str, set[str]] = {}
    for task in wanted.values():
        open_needs[task.id] = {need for need in task.needs if need not in ended}
        for need in open_needs[task.id]:
            behind.setdefault(need, []).append(task.id)
    ready = [task_id for task_id, needs in open_needs.items() if not needs]
    done: list[LegacyTask] = []
    for task_id in ready:  # grows while it is walked
        task = wanted[task_id]
        done.append(replace(task, needs=tuple(need for need in task.needs if need not in ended)))
        for other in behind.get(task_id, []):
            open_needs[other].discard(task_id)
            if not open_needs[other]:
                ready.append(other)
    for task_id in wanted.keys() - set(ready):
        missing = any(need not in wanted for need in open_needs[task_id])
        left.add(
            "waits for a task that is left out" if missing else "waits for itself, or behind one that does", task_id
        )
    return done
