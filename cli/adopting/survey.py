"""Looks at a whole folder: every script, the machine around it, and what the coordinator would make of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cli.adopting import across, checking
from cli.adopting.block import agent_toml, with_block
from cli.adopting.observing import Observation, observe
from cli.adopting.proposing import Known, Proposal, propose
from cli.adopting.reading import FILES_MAX, find_scripts
from cli.adopting.restarters import Machine, Restarter
from cli.adopting.trial import Catalogue, read_catalogue, try_out
from cli.adopting.writing import Change
from foundation.errors import Invalid
from foundation.workspace import Workspace

SCRIPT_MODE = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found, a proposal for each script, in the order of their paths."""

    folder: Path
    proposals: tuple[Proposal, ...]
    unknown: tuple[str, ...]
    """What could not be looked at, as sentences."""

    @property
    def adopted(self) -> list[Proposal]:
        """Those that would become agents."""
        return [one for one in self.proposals if one.name]


def survey(folder: Path, workspace: Workspace, machine: Machine, environ: Mapping[str, str]) -> Survey:
    """Look at everything and change nothing. Raises Invalid for what is no folder."""
    if not folder.is_dir():
        raise Invalid("no_folder", f"{folder} is no folder.")
    folder = folder.resolve()
    agents = Path(os.path.realpath(workspace.agents))
    beyond: list[str] = []
    observed = [observe(file) for file in find_scripts(folder, beyond.append)]
    paths = [one.file.path for one in observed]
    there = read_catalogue(agents, environ)
    others = [name for name, one in there.agents.items() if Path(one.script or "/") not in paths and one.declared]
    findings = [
        [finding for part in parts for finding in part]
        for parts in zip(
            checking.check(observed),
            across.names(observed, there.builtin, others),
            across.copies(observed),
            across.helpers(observed, workspace.root),
            strict=True,
        )
    ]
    restarters = _by_script(machine, observed)
    own = {name: one.script for name, one in there.agents.items() if one.declared}
    proposals = propose(observed, findings, restarters, Known(agents=agents, own=own))
    tried = try_out(agents, _trial_files(proposals, agents), environ)
    proposals = [_judged(one, tried) for one in proposals]
    left = [
        f"More than {FILES_MAX:,} scripts lie here; {first} and all after it are not looked at: name a folder below."
        for first in beyond
    ]
    unknown = tuple(dict.fromkeys((*left, *machine.faults)))
    return Survey(folder=folder, proposals=tuple(proposals), unknown=unknown)


def _by_script(machine: Machine, observed: Sequence[Observation]) -> list[list[Restarter]]:
    found: dict[Path, list[Restarter]] = {one.file.path: [] for one in observed}
    for restarter in machine.find([one.file.path for one in observed if not one.file.fault]):
        found[restarter.script].append(restarter)
    return list(found.values())


def _trial_files(proposals: Sequence[Proposal], agents: Path) -> list[tuple[str, bytes, int]]:
    files = []
    for one in proposals:
        if one.name:
            change = change_of(one, agents)
            files.append((str(change.path.relative_to(agents)), change.after, change.mode))
    return files


def _judged(one: Proposal, tried: Catalogue) -> Proposal:
    """A proposal, or why it is none after all: the coordinator would refuse it."""
    if not one.name:
        return one
    listed = tried.agents.get(one.name)
    faults = listed.faults if listed else ("the coordinator would not list it.",)
    if not faults:
        return one
    why_not = f"the coordinator would refuse it: {' '.join(faults)}".rstrip(".")
    return replace(one, name="", place="", values={}, remarks=(), why_not=why_not, sentence=f"Left alone: {why_not}.")


def change_of(one: Proposal, agents: Path) -> Change:
    """What has to be written for a proposal that has a name."""
    file = one.observation.file
    if one.place == "block":
        after = with_block(file.data, one.values, one.remarks)
        assert after is not None, "proposed as a block only where there is a place for one"
        return Change(path=file.path, before=file.sha256, after=after, mode=file.mode)
    text = agent_toml(one.values, one.remarks)
    return Change(path=agents / one.name / "agent.toml", before="", after=text.encode(), mode=SCRIPT_MODE)
