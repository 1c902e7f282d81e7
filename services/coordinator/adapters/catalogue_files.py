"""The catalogue as the files have it: the workspace's agents, those that come with Quantum, and the projects."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from foundation.errors import Invalid, NotFound, Stale
from foundation.log import get_logger
from foundation.projects import Projects, is_project_name, read_projects
from services.coordinator.adapters.agent_files import (
    AgentFolder,
    Found,
    Stamp,
    find_agents,
    read_agent,
    script_elsewhere,
    stamp_of,
    text_that_travels,
)
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.names import is_name, require_name, unknown

BUILTIN = Path(__file__).resolve().parents[3] / "agents"
_log = get_logger("coordinator")


@dataclass(frozen=True, slots=True)
class _Catalogue:
    """One consistent view; replaced whole when a file has changed."""

    agents: Mapping[str, AgentSpec] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    projects: Projects = field(default_factory=Projects)


class FileCatalogue:
    """Looks at the files when told to (`scan`) and reads only those that changed. Safe to scan from another thread."""

    def __init__(self, workspace_agents: Path, projects_file: Path, builtin: Path = BUILTIN) -> None:
        own = workspace_agents.absolute()
        # A workspace that is Quantum's own repository has the built-in agents as its own.
        same = own.resolve() == builtin.resolve()
        self._folders = (AgentFolder(own, builtin=same), *(() if same else (AgentFolder(builtin, builtin=True),)))
        self._projects_file = projects_file
        self._read: dict[Path, tuple[Stamp, AgentSpec | None]] = {}
        self._stamps: object = None
        self._now = _Catalogue()
        self.scan()

    def scan(self) -> bool:
        """Look whether a file has come, gone or changed; say whether something has."""
        found = [each for folder in self._folders for each in find_agents(folder)]
        projects = stamp_of(self._projects_file)
        stamps = ([(each.path, each.stamp, _beside(each), self._elsewhere(each)) for each in found], projects)
        if stamps == self._stamps:
            return False
        self._now = self._build(found)
        self._stamps = ([(each.path, each.stamp, _beside(each), self._elsewhere(each)) for each in found], projects)
        return True

    def _elsewhere(self, found: Found) -> Stamp | None:
        """The stamp of a script that an agent.toml names by its whole path; its folder's says nothing of it."""
        if found.path.name != "agent.toml":
            return None
        known = self._read.get(found.path)
        script = known[1].script if known is not None and known[1] is not None else ""
        script = script or script_elsewhere(found.path)
        return stamp_of(Path(script)) if script else None

    def reload(self) -> None:
        """Read every file again now."""
        self._read, self._stamps = {}, None
        self.scan()

    def agents(self) -> Mapping[str, AgentSpec]:
        return self._now.agents

    def find(self, name: str) -> AgentSpec:
        """By name or alias. Looks at the files once more before it says that there is none."""
        require_name(name, "agent")
        spec = self._lookup(name)
        if spec is None and self.scan():
            spec = self._lookup(name)
        if spec is None:
            known = [*self._now.agents, *self._now.aliases]
            raise unknown(name, "agent", known, remedy="`quantum agents` lists them.")
        return spec

    def script_text(self, agent: str, sha256: str) -> bytes:
        """The text of an agent's script. Raises NotFound, and Stale when it is another one than was asked for."""
        spec = self.find(agent)
        text = text_that_travels(spec.script) if spec.script and not spec.builtin else None
        if text is None or hashlib.sha256(text).hexdigest() != sha256:
            raise Stale("script_changed", f"The script of {spec.name} has changed since this attempt was leased.")
        return text

    def _lookup(self, name: str) -> AgentSpec | None:
        now = self._now
        return now.agents.get(name) or now.agents.get(now.aliases.get(name, ""))

    def project_folder(self, name: str) -> str:
        if not is_project_name(name):
            raise Invalid("bad_name", f"“{name[:80]}” cannot be the name of a project.")
        folder = self._now.projects.folders.get(name)
        if folder is None and self.scan():
            folder = self._now.projects.folders.get(name)
        if folder is None:
            raise unknown(
                name,
                "project",
                self._now.projects.folders,
                remedy=f"`quantum projects add {name} <folder>` makes it known.",
            )
        if not Path(folder).is_dir():
            raise NotFound(
                "project_folder_missing",
                f"The folder of project “{name}” is not there: {folder}.",
                remedy="Correct config/projects.toml.",
            )
        return folder

    def projects(self) -> Mapping[str, str]:
        return self._now.projects.folders

    def repositories(self) -> Mapping[str, bool]:
        return {name: Path(folder, ".git").exists() for name, folder in self._now.projects.folders.items()}

    def project_faults(self) -> Sequence[str]:
        return self._now.projects.faults

    # -- building

    def _build(self, found: Sequence[Found]) -> _Catalogue:
        specs: list[tuple[bool, AgentSpec]] = []
        fresh: dict[Path, tuple[Stamp, AgentSpec | None]] = {}
        for each in found:
            known = self._read.get(each.path)
            if known is None or known[0] != each.stamp or _beside(each) is not None:
                known = (each.stamp, read_agent(each))
            fresh[each.path] = known
            if known[1] is not None:
                specs.append((each.folder.builtin, known[1]))
        self._read = fresh
        agents = merge(specs)
        _tell_faults(self._now.agents, agents)
        return _Catalogue(agents, _aliases(agents), read_projects(self._projects_file))


def _beside(found: Found) -> Stamp | None:
    """An agent.toml speaks for a script that changes on its own."""
    if found.path.name != "agent.toml":
        return None
    return stamp_of_folder(found.path.parent)


def stamp_of_folder(path: Path) -> Stamp | None:
    """The stamp of what lies in a folder: changes when a file in it comes, goes or changes."""
    try:
        stats = [entry.stat() for entry in sorted(path.iterdir())]
    except OSError:
        return None
    newest = max((status.st_mtime_ns for status in stats), default=0)
    modes = hash(tuple(status.st_mode for status in stats))
    return (len(stats), sum(status.st_size for status in stats), newest, modes)


def merge(specs: Sequence[tuple[bool, AgentSpec]]) -> Mapping[str, AgentSpec]:
    """One agent per name. The workspace's own stand in for built-in ones; two of one name are both refused."""
    own = [spec for builtin, spec in specs if not builtin]
    taken = {name for spec in own for name in (spec.name, *spec.aliases)}
    agents: dict[str, AgentSpec] = {}
    for builtin, spec in sorted(specs, key=lambda pair: (pair[0], pair[1].name, not pair[1].declared)):
        if builtin and spec.name in taken and own:
            continue
        other = agents.get(spec.name)
        agents[spec.name] = spec if other is None else _clash(other, spec)
    return agents


def _clash(first: AgentSpec, second: AgentSpec) -> AgentSpec:
    """An agent.toml beside its own script is one agent, not two."""
    if first.declared and first.script and first.script == second.script:
        return first
    if first.declared and not second.declared and not first.faults:
        said = f"{second.source} has the same name and is passed over."
        return replace(first, notices=(*first.notices, said))
    said = f"Two files are called “{first.name}”: {first.source} and {second.source}. Rename one."
    return replace(first, script="", faults=(*first.faults, said))


def _aliases(agents: Mapping[str, AgentSpec]) -> Mapping[str, str]:
    """A name goes before an alias, and of two the first agent by name has it."""
    aliases: dict[str, str] = {}
    for name, spec in sorted(agents.items()):
        for alias in spec.aliases:
            if alias not in agents and is_name(name):
                aliases.setdefault(alias, name)
    return aliases


def _tell_faults(before: Mapping[str, AgentSpec], after: Mapping[str, AgentSpec]) -> None:
    for name, spec in after.items():
        old = before.get(name)
        if spec.faults and (old is None or old.faults != spec.faults):
            said = f"Agent {name!r} ({spec.source}) cannot be run: {' '.join(spec.faults)}"
            _log.warning(said, action="agent_invalid", agent=name, source=spec.source)
