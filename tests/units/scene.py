"""A workspace whose units a real systemd keeps: what is looked at, and what is done to it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.processes.gateway_address import GatewayAddress
from cli.service.parts import PARTS, Part
from tests.units.place import Place
from tests.units.user_systemd import UserSystemd
from tests.waiting import Stopwatch, until

SAFETY, COORDINATOR, RUNNER, GATEWAY = PARTS
BACK_WITHIN_SECONDS = 10.0
TASKS = 10


@dataclass(frozen=True, slots=True)
class Scene:
    """One workspace and the manager of its units."""

    manager: UserSystemd
    place: Place

    def unit(self, part: Part) -> str:
        """The name of a unit."""
        return part.unit(self.place.workspace)

    def main_pid(self, part: Part) -> int:
        """Its process, by the id that it has in there; 0 while there is none."""
        return int(self.manager.show(self.unit(part), "MainPID"))

    def shown(self, name: str) -> dict[str, str]:
        """One property of each unit, by the names of the parts."""
        units = [self.unit(part) for part in PARTS]
        lines = self.manager.systemctl("show", *units, f"--property={name}", "--value").split("\n\n")
        return {part.name: line.strip() for part, line in zip(PARTS, lines, strict=True)}

    def states(self) -> dict[str, str]:
        """How systemd sees each unit."""
        return self.shown("ActiveState")

    def limits(self, part: Part) -> dict[str, str]:
        """The soft limits of its process, by the kernel's own names."""
        lines = self.manager.run("cat", f"/proc/{self.main_pid(part)}/limits").out.splitlines()[1:]
        return {line[:26].strip(): line[26:].split()[0] for line in lines}

    def healthy(self) -> bool:
        """Whether every unit is active and the gateway is content."""
        port = json.loads(self.place.workspace.config_file.read_bytes())["gateway_port"]
        # The network is that of this test, too.
        word = GatewayAddress("127.0.0.1", port).health(self.place.workspace)
        return word == "ok" and set(self.states().values()) == {"active"}

    def signal(self, parts: Iterable[Part], name: str, *, within: float = BACK_WITHIN_SECONDS) -> float:
        """Send the processes of these units a signal and wait until others do their work; seconds that took.

        Fails when that takes longer than it may.
        """
        names = [part.name for part in parts]
        before = self.shown("MainPID")
        watch = Stopwatch()
        assert self.manager.run("kill", f"-{name}", *(before[part] for part in names)).code == 0

        def back() -> bool:
            now = self.shown("MainPID")
            return all(now[part] not in ("0", before[part]) for part in names) and self.healthy()

        until(back, f"{', '.join(names)} back and healthy", within=within)
        seconds = watch.seconds
        assert seconds <= within
        return seconds

    def alter(self, part: Part, *lines: str) -> None:
        """Change a unit as its user would, by a drop-in."""
        folder = Path(self.manager.environ["HOME"], ".config", "systemd", "user", f"{self.unit(part)}.d")
        folder.mkdir(exist_ok=True)
        (folder / "altered.conf").write_text("\n".join(("[Service]", *lines, "")))
        self.manager.systemctl("daemon-reload")

    def alter_back(self) -> None:
        """Take every such change away."""
        folder = Path(self.manager.environ["HOME"], ".config", "systemd", "user")
        for one in folder.glob("*.d"):
            shutil.rmtree(one)
        self.manager.systemctl("daemon-reload")

    def submit(self, agent: str, count: int = TASKS) -> list[str]:
        """Submit an agent so many times; the tasks' ids."""
        specs = json.dumps([{"agent": agent}] * count)
        return [task["id"] for task in self.place.ask("submit", "-", given=specs)["tasks"]]

    def ended_once(self, ids: Iterable[str], *, within: float = 90) -> Mapping[str, int]:
        """Wait until each of these has succeeded; how often each was begun. Fails for one that ended twice or badly."""
        wanted = set(ids)

        def all_ended() -> bool:
            tasks = self.place.ask("tasks", "--limit", "100")["tasks"]
            seen = {task["id"]: task["state"] for task in tasks if task["id"] in wanted}
            assert not set(seen.values()) & {"failed", "dead", "needs_decision", "cancelled", "timed_out"}, seen
            return set(seen) == wanted and set(seen.values()) == {"succeeded"}

        until(all_ended, "all tasks have succeeded", within=within)
        records = [path.name.split(".")[0] for path in self._notes("end")]
        assert all(records.count(one) >= 1 for one in wanted)
        begun = [path.name.split(".")[0] for path in self._notes("begin")]
        return {one: begun.count(one) for one in wanted}

    def noting_agent(self, name: str, *works: str) -> None:
        """An agent that notes its begin, works, and notes its end."""
        self._folder.mkdir(exist_ok=True)
        note = f'touch "{self._folder}/$QUANTUM_TASK_ID.$QUANTUM_FENCE'
        self.place.agent(name, f'{note}.begin"', *works, f'{note}.end"')

    def begun(self) -> None:
        """Return once the first of them has noted its begin."""
        until(lambda: self._notes("begin"), "one has begun")

    @property
    def _folder(self) -> Path:
        return self.place.root.parent / "notes"

    def _notes(self, kind: str) -> list[Path]:
        return [Path(name) for name in os.listdir(self._folder) if name.endswith(f".{kind}")]
