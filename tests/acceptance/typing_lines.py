"""Types the operations runbook's lines into a workspace, one after the other, and prints what came of each as JSON.

Started by `typist.told`. With `--short` only those lines are typed that are marked `often`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cli.processes.identity import Process
from tests.acceptance.runbook_lines import LINES, Line
from tests.acceptance.system import REPOSITORY
from tests.acceptance.typist import Typed, Typist, alone, put

MISSING, USAGE = (126, 127), (2, 64)
TO_COME, TO_COME_CODE = "is still to come", 69
LAST = ("pkill -f quantum", "./bootstrap_meta_repo.sh")
"""What ends everything, or makes it anew, is typed when all the rest has been."""

FLAKY = 'echo "flaky cannot reach its mirror" >&2; exit 3'
STEADY = 'echo "steady is done"'
SLOW = 'echo "$$" > "$QUANTUM_WORKSPACE/slow.pid"; while [ ! -e "$QUANTUM_WORKSPACE/slow.gate" ]; do sleep 0.1; done'
HELD_BY = "import socket, time; s = socket.create_server(('127.0.0.1', 5005)); time.sleep(600) # mcp_server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of one line; `fault` is empty when it is as it must be."""

    line: str
    code: int | None
    seconds: float
    said: str
    to_come: bool = False
    fault: str = ""


class Story(Typist):
    """The lines, and what is planted and looked at between them."""

    def __init__(self, folder: Path, *, short: bool) -> None:
        super().__init__(folder)
        typed = [line for line in LINES if not line.not_run and (line.often or not short)]
        self.lines = sorted(typed, key=lambda line: line.typed in LAST)
        self.came: list[Came] = []
        self.missing_before: list[str] = []
        self._to_come: dict[str, bool] = {}
        self._begun: set[str] = set()

    # The workspace

    def prepare(self) -> None:
        """A repository with tests and hooks, a project that can be built, agents that do well and badly, the shims."""
        system, root = self.system, self.system.root
        system.init()
        put(root / "tests/test_smoke.py", "def test_smoke():\n    assert True\n")
        put(root / "tests/test_more.py", "def test_more():\n    assert True\n")
        project = root / "Projects" / "HabitQuest"
        put(project / "Makefile", "build:\n\t@echo it is built\n")
        system.agent("flaky", FLAKY, 'effects = "idempotent"')
        system.agent("steady", STEADY, 'effects = "idempotent"')
        system.agent("agent_slow", SLOW, 'effects = "idempotent"')
        for folder in (project, root):
            self.commit(folder)
        system.quantum("projects", "add", "HabitQuest", str(project), code=0)
        self.missing_before = [
            line.line for line in self.lines if line.name and self.type(line.line).code in (*MISSING, *USAGE)
        ]
        system.quantum("runbook", "install", code=0)
        system.quantum("hooks", "install")
        rows = system.ask("runbook", "list")["commands"]
        self._to_come = {f"{row['place']} {row['option'] or ''}".strip(): not row["there"] for row in rows}

    def run(self) -> None:
        """Every line, in its order; what ends everything comes last."""
        for line in self.lines:
            self._one(line)

    def _one(self, line: Line) -> None:
        to_come = self._is_to_come(line)
        if line.before and not to_come:
            getattr(self, f"plant_{line.before}")()
        typed = self.type(line.line, says=line.says, stays=line.stays)
        fault = self._fault(line, typed, to_come)
        if line.after and not fault and not to_come:
            fault = self._look(line)
        print(f"{typed.seconds:6.2f} s  {line.line}", file=sys.stderr, flush=True)
        self.came.append(
            Came(
                line=line.line,
                code=typed.code,
                seconds=round(typed.seconds, 2),
                said=typed.said[-400:],
                to_come=to_come,
                fault=fault,
            )
        )

    def _is_to_come(self, line: Line) -> bool:
        words = line.typed.split()
        return any(self._to_come.get(f"{line.name} {word}".strip(), False) for word in (*words, "") if line.name)

    def _fault(self, line: Line, typed: Typed, to_come: bool) -> str:
        codes, says = ((TO_COME_CODE,), TO_COME) if to_come else (line.codes, line.says)
        if typed.code in MISSING:
            return "it is missing"
        if typed.code is None:
            return "it hangs"
        if typed.code in USAGE:
            return "it is a usage error"
        if typed.code not in codes and not line.stays:
            return f"it ended with {typed.code}, not {codes}"
        return "" if says in typed.said else f"it did not say “{says}”"

    def _look(self, line: Line) -> str:
        try:
            getattr(self, f"look_{line.after}")(line)
        except AssertionError as error:
            return f"after it: {error}"
        return ""

    # What is planted, and what is looked at

    def look_healthy(self, line: Line) -> None:
        """Everything is up."""
        self.system.until(lambda: self.health() == "ok", what="health")

    def plant_port_held(self) -> None:
        """An old server of one's own has the port."""
        self.system.quantum("down", code=0)
        self.plant(HELD_BY)
        self.system.until(lambda: b":138D " in Path("/proc/net/tcp").read_bytes(), what="the port is held")
        refused = self.system.quantum("up", "--detach")
        assert refused.code == 73, refused
        assert "Port 5005 is in use by process" in refused.err, refused

    def plant_down(self) -> None:
        """Nothing runs, as after damage, or a break-in."""
        self.system.quantum("down", code=0)

    def look_port_free(self, line: Line) -> None:
        """It was that one that the line has ended, and nothing of ours."""
        assert self.plants.pop().wait(60) == -signal.SIGTERM

    def look_up_again(self, line: Line) -> None:
        """Started again, it is healthy, and runs what it is asked for."""
        self.system.up()
        self.system.quantum("resume")
        assert self.system.quantum("run", "steady").code == 0

    def plant_failed_agent(self) -> None:
        """An agent fails three times, and is held."""
        tasks = json.dumps([{"agent": "flaky"}] * 3 + [{"agent": "steady"}])
        self.system.quantum("submit", "-", given=tasks, code=0)
        held = self.system.root / "agent_status.json"
        self.system.until(lambda: self._document(held)["agents"]["flaky"]["state"] == "held", what="flaky is held")

    def look_nothing_held(self, line: Line) -> None:
        """It starts again."""
        assert self.system.quantum("run", "flaky").code == 3
        assert [one["scope"] for one in self.system.ask("breaker", "list", "--open")["breakers"]] == []

    def plant_one_runs(self) -> None:
        """A task runs."""
        pid = self.system.root / "slow.pid"
        pid.unlink(missing_ok=True)
        self._begun.add(self.system.ask("submit", "agent_slow")["tasks"][0]["id"])
        self.system.until(lambda: pid.exists() and pid.read_text().strip(), what="agent_slow runs")

    def look_export_restored(self, line: Line) -> None:
        """The file is whole again, and a sentence says what to type instead."""
        path = self.system.root / line.typed.split()[-1]
        self.system.until(lambda: "written_at" in self._document(path), what=f"{path.name}")
        safe = {"task_queue.json": "quantum queue clear", "agent_status.json": "quantum breaker reset"}[path.name]
        self.system.until(lambda: safe in self.system.workspace.system_log.read_text(), what=f"“{safe}” in the log")

    def look_nothing_lost(self, line: Line) -> None:
        """What was killed runs again; let through the gate, everything that was begun succeeds."""
        gate = self.system.root / "slow.gate"
        gate.touch()
        for one in self._begun:
            self.system.until(lambda: self.system.task(one)["state"] == "succeeded", what=f"task {one}")  # noqa: B023
        gate.unlink()
        self._begun.clear()  # a backup from before them may be put back later on

    def look_begun_again(self, line: Line) -> None:
        """Everything of ours is gone, nothing by halves; once it is up again, what ran is still there, and ends."""
        self.system.until(lambda: self._running() is None, what="everything has ended")
        self.system.up()
        self.look_nothing_lost(line)

    def look_setting_honoured(self, line: Line) -> None:
        """With the variable set, the setting is the one of the environment."""
        name, _, value = line.typed.removeprefix("export ").partition("=")
        environ = {**self.system.environ, name: value}
        shown = subprocess.run(
            self.system.argv("config", "show", "--json"), cwd=self.system.root, env=environ, capture_output=True
        )
        honoured = [one for one in json.loads(shown.stdout)["settings"].values() if name in one["origin"]]
        assert [float(one["value"]) for one in honoured] == [float(value)], honoured

    def look_token_good(self, line: Line) -> None:
        """The new token is good."""
        assert self.system.http("GET", "/agents/status")[0] == 200

    def _running(self) -> Mapping[str, Process] | None:
        from cli.processes.running import read_running

        running = read_running(self.system.workspace)
        return running.alive if running else None

    @staticmethod
    def _document(path: Path) -> Mapping[str, Any]:
        try:
            found = json.loads(path.read_bytes())
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def main(folder: Path, *, short: bool) -> dict[str, Any]:
    """Tell the story and return its report."""
    with alone():
        story = Story(folder, short=short)
        try:
            story.prepare()
            story.run()
        finally:
            story.end()
    return {"missing before": story.missing_before, "lines": [asdict(one) for one in story.came]}


if __name__ == "__main__":
    os.chdir(REPOSITORY)
    print(json.dumps(main(Path(sys.argv[1]), short="--short" in sys.argv)))
