"""What each command name of the runbook stands for, as runbook/commands.toml has it, and whether that is there yet."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import click

from foundation.errors import NotFound, did_you_mean
from foundation.own_python import PACKAGES

SOURCE = PACKAGES / "runbook"
_RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One name. `quantum` are command lines to try in order, `meanwhile` what helps while none of them is there."""

    place: str
    """Where it is typed, seen from the workspace: `agents/run_agent.py`."""
    option: str = ""
    """The option with which it stands for something of its own."""
    quantum: tuple[tuple[str, ...], ...] = ()
    hook: str = ""
    default: tuple[str, ...] = ()
    meanwhile: str = ""

    @property
    def name(self) -> str:
        """The name alone; no two are alike."""
        return PurePosixPath(self.place).name

    @property
    def stands_for(self) -> str:
        """What it runs, as one would type it."""
        return f"the hook {self.hook}" if self.hook else shlex.join(("quantum", *self.quantum[0], *self.default))

    def words(self, group: click.Group, agents: Sequence[Path]) -> tuple[str, ...] | None:
        """The command line that is there, without the word `quantum`; None when it is still to come."""
        return next((words for words in self.quantum if is_there(words, group, agents)), None)

    def with_typed(self, words: Sequence[str], typed: Sequence[str]) -> list[str]:
        """A command line with what was typed behind it: without the option that chose this row."""
        rest = [word for word in typed if word != self.option]
        return [*words, *(rest or self.default)]


def commands() -> tuple[Command, ...]:
    """Every row of the table, in its order."""
    table = tomllib.loads((SOURCE / "commands.toml").read_text())
    return tuple(_command(key, row) for key, row in table.items())


def _command(key: str, row: Mapping[str, object]) -> Command:
    place, _, option = key.partition(" ")
    lines = row.get("quantum", [])
    assert isinstance(lines, list)
    return Command(
        place=place,
        option=option,
        quantum=tuple(tuple(shlex.split(line)) for line in lines),
        hook=str(row.get("hook", "")),
        default=tuple(shlex.split(str(row.get("default", "")))),
        meanwhile=str(row.get("meanwhile", "")),
    )


def places() -> tuple[str, ...]:
    """Where the names are typed, seen from the workspace."""
    return tuple(dict.fromkeys(command.place for command in commands()))


def command_for(name: str, typed: Sequence[str]) -> Command:
    """The row for what was typed: the one of an option that is among it, else that of the name. Raises NotFound."""
    rows = [command for command in commands() if name in (command.name, command.place)]
    for row in rows:
        if row.option and row.option in typed:
            return row
    for row in rows:
        if not row.option:
            return row
    near = did_you_mean(name, [command.name for command in commands()])
    raise NotFound(
        "no_such_command",
        f"The runbook has no command {name}." + (f" Did you mean {near}?" if near else ""),
        remedy="quantum runbook list shows them all.",
    )


def is_there(words: Sequence[str], group: click.Group, agents: Sequence[Path]) -> bool:
    """Whether this installation has a command line: each verb and option of it, and the agent that it runs."""
    context, rest = click.Context(group), list(words)
    found: click.Command | None = group
    while isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
        found = found.get_command(context, rest.pop(0))
    if found is None:
        return False
    options = {spelling for one in found.params for spelling in (*one.opts, *one.secondary_opts)}
    if any(word.startswith("--") and word not in options for word in rest):
        return False
    agent = words[1:2] if words[0] == _RUN else ()
    return not agent or any(_has(folder, agent[0]) for folder in agents)


def _has(folder: Path, agent: str) -> bool:
    """Whether there is a script of that name in a folder, as `name.*`, `agent_name.*`, or a folder with a manifest."""
    return any(
        next(folder.glob(f"{stem}.*"), None) or (folder / stem / "agent.toml").is_file()
        for stem in (agent, f"agent_{agent}")
    )
