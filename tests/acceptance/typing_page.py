"""Types RUNBOOK.md, line by line, with the fault of each trouble planted before its block, and looks at the end of it.

Started by `typist.told`; prints what came of each line as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.acceptance.runbook_page import NOT_TYPED, PAGE, Step, steps
from tests.acceptance.system import REPOSITORY
from tests.acceptance.typist import Typist, alone, put

OTHER_PORT = 5006
HELD_BY = "import socket, time; s = socket.create_server(('127.0.0.1', 5005)); time.sleep(600)"
BROKEN = 'echo "cannot reach the mirror" >&2; exit 3'
MENDED = 'echo "the report is written"'
STUBBORN = 'trap "" TERM; while :; do sleep 0.1; done'
RUNNING = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of one line; `fault` is empty when it is as it must be, `not_there` says that its verb is to come."""

    heading: str
    line: str
    code: int | None = None
    said: str = ""
    fault: str = ""
    not_there: bool = False


class Reader(Typist):
    """Reads the page, and does what it says."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.came: list[Came] = []
        self.healed: list[str] = []
        self.stolen = ""

    def read(self) -> None:
        """Every block under its heading: the fault is planted, its lines are typed, and then all must be well."""
        self._prepare()
        for heading, block in groupby(steps(PAGE.read_text()), key=lambda step: step.heading):
            plant, look = self.troubles.get(heading, (None, None))
            listed = list(block)
            if not all(step.there for step in listed):
                self.came += [Came(heading=heading, line=step.line, not_there=True) for step in listed]
                continue
            if plant:
                plant()
            if heading == "Every week":
                self.system.quantum("backup", code=0)  # as every night has made one
            for step in listed:
                self._one(step)
            if look and not any(one.fault for one in self.came):
                look()
                assert self.system.quantum("run", "steady").code == 0, f"after “{heading}” nothing runs"
                self.healed.append(heading)
            if heading == "Installation" and self.health() != "ok":
                self.system.up()

    def _prepare(self) -> None:
        """A project with a build and a smoke test; the agents that the page names."""
        self.project = self.root / "Projects" / "HabitQuest"
        put(
            self.project / "Makefile",
            "build:\n\t@echo it is built\nsmoke:\n\t@test ! -e broken || { echo a test is red; exit 1; }\n",
        )
        self.commit(self.project)
        put(self.root / "README.md", "Mine.\n")
        self.commit(self.root)
        (self.root / "agents").mkdir()
        for name, body in (("nightly-report", MENDED), ("steady", "echo done"), ("stubborn", STUBBORN)):
            self.system.agent(name, body, 'effects = "idempotent"')
        put(self.root / "logs" / "agent_nightly-report.log", "")

    def _one(self, step: Step) -> None:
        if step.line in NOT_TYPED:
            return
        line = step.line
        if "ID" in line.split():
            line = line.replace("ID", self._failed() if step.heading == "Tests fail" else self._waiting())
        typed = self.type(line)
        fault = "" if typed.code in step.codes else f"it exited with {typed.code}, not {step.codes}"
        if step.says not in typed.said:
            fault = f"it did not say “{step.says}”"
        print(f"{typed.code!s:>4} {typed.seconds:6.2f} s  {line}", file=sys.stderr, flush=True)
        self.came.append(
            Came(heading=step.heading, line=step.line, code=typed.code, said=typed.said[-1500:], fault=fault)
        )

    def _failed(self) -> str:
        """The task that the line above has listed."""
        listed = self.system.ask("tasks", "--project", "HabitQuest", "--state", "failed")["tasks"]
        return str(listed[0]["id"])

    def _waiting(self) -> str:
        """A task that is not started yet."""
        submitted = self.system.ask("submit", "steady", "--not-before", "2099-01-01T00:00:00Z")
        return str(submitted["tasks"][0]["id"])

    # Each trouble: what is planted, and what must be well after its block

    @property
    def troubles(self) -> Mapping[str, tuple[Callable[[], None], Callable[[], None]]]:
        """By heading."""
        return {
            "The server does not start": (self._hold_port, self._free_port),
            "An agent fails": (self._break_agent, self._agent_is_well),
            "Tests fail": (self._break_test, self._mend_test),
            "The git hook does nothing": (self._disable_hook, self._hook_is_well),
            "Everything hangs": (self._hang, self._nothing_hangs),
            "Data are damaged": (self._damage, self._data_are_back),
            "Somebody is in": (self._steal, self._shut_out),
        }

    def _hold_port(self) -> None:
        self.system.quantum("down", code=0)
        self.plant(HELD_BY)
        self.system.until(lambda: b":138D " in Path("/proc/net/tcp").read_bytes(), what="the port is held")

    def _free_port(self) -> None:
        assert self.health(OTHER_PORT) == "ok"
        self.system.quantum("down", code=0)
        held = self.plants.pop()
        held.kill()
        held.wait()
        self.system.up()

    def _break_agent(self) -> None:
        self.system.agent("nightly-report", BROKEN, 'effects = "idempotent"')
        self.system.quantum("agents", "--reload", code=0)
        for _ in range(3):
            assert self.system.quantum("run", "nightly-report").code == 3
        assert self._held() == ["agent:nightly-report"]
        self.system.agent("nightly-report", MENDED, 'effects = "idempotent"')

    def _agent_is_well(self) -> None:
        assert self._held() == []

    def _held(self) -> list[str]:
        return [one["scope"] for one in self.system.ask("breaker", "list", "--open")["breakers"]]

    def _break_test(self) -> None:
        (self.project / "broken").touch()

    def _mend_test(self) -> None:
        (self.project / "broken").unlink()
        assert self.system.quantum("run", "smoke", "--project", "HabitQuest").code == 0

    def _disable_hook(self) -> None:
        self.system.quantum("hooks", "install", code=0)
        (self.root / ".git" / "hooks" / "post-merge").chmod(0o644)
        assert self.system.quantum("hooks", "status").code == 1, "the fault is seen"

    def _hook_is_well(self) -> None:
        assert self.system.quantum("hooks", "status").code == 0
        assert os.access(self.root / ".git" / "hooks" / "post-merge", os.X_OK)

    def _hang(self) -> None:
        tasks = json.dumps([{"agent": "stubborn"}] * RUNNING)
        self.system.quantum("submit", "-", given=tasks, code=0)
        self.system.until(lambda: self._states("stubborn").count("running") == RUNNING, what="they run")

    def _nothing_hangs(self) -> None:
        """What ran was ended, and waits to run again: none was lost."""
        self.system.quantum("queue", "pause", code=0)
        assert len(self._states("stubborn")) == RUNNING
        ids = [task["id"] for task in self.system.ask("tasks", "--agent", "stubborn")["tasks"]]
        self.system.quantum("cancel", *ids)
        self.system.until(
            lambda: not {"running", "queued", "scheduled"} & set(self._states("stubborn")), what="they have ended"
        )
        self.system.quantum("queue", "resume", code=0)

    def _states(self, agent: str) -> list[str]:
        return [task["state"] for task in self.system.ask("tasks", "--agent", agent)["tasks"]]

    def _damage(self) -> None:
        self.before = {task["id"] for task in self.system.ask("tasks", "--limit", "1000")["tasks"]}
        self.system.quantum("backup", code=0)
        self.system.quantum("down", code=0)
        path = self.system.workspace.coordinator_db
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(64 * 1024))

    def _data_are_back(self) -> None:
        assert self.health() == "ok"
        assert self.before <= {task["id"] for task in self.system.ask("tasks", "--limit", "1000")["tasks"]}

    def _steal(self) -> None:
        self.stolen = self.system.token
        assert self.system.http("GET", "/agents/status", token=self.stolen)[0] == 200
        self.system.quantum("submit", "stubborn", code=0)

    def _shut_out(self) -> None:
        assert self.system.http("GET", "/agents/status", token=self.stolen)[0] == 401
        assert self.system.http("GET", "/agents/status")[0] == 200
        self._nothing_hangs_any_more()

    def _nothing_hangs_any_more(self) -> None:
        ids = [task["id"] for task in self.system.ask("tasks", "--agent", "stubborn", "--limit", "1000")["tasks"]]
        self.system.quantum("cancel", *ids)


def main(folder: Path) -> dict[str, Any]:
    """Read the page and return what came of it."""
    with alone():
        reader = Reader(folder)
        try:
            reader.read()
        finally:
            reader.end()
    return {"lines": [asdict(one) for one in reader.came], "healed": reader.healed}


if __name__ == "__main__":
    os.chdir(REPOSITORY)
    print(json.dumps(main(Path(sys.argv[1]))))
