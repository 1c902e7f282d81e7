"""An agent of the catalogue, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.coordinator.domain.manifest import Sandbox
from services.coordinator.domain.schedule import Schedule

CHECK_AGENT = "merge-check"
"""The built-in agent that does merge checks."""
BACKUP_AGENT = "backup"
"""The built-in agent that makes backups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """One agent of the catalogue, as its manifest declares it."""

    name: str
    aliases: tuple[str, ...] = ()
    kind: str = "task"
    description: str = ""
    script: str = ""  # absolute; "" when it cannot be run
    script_sha256: str = ""  # "" when its text does not travel
    builtin: str = ""  # its path below the agents that come with Quantum, where it is one of those
    source: str = ""  # as shown to people
    declared: bool = True
    faults: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    effects: str = "once"
    timeout: timedelta | None = None
    idle_timeout: timedelta | None = None
    memory_bytes: int | None = None
    processes_max: int | None = None
    open_files_max: int | None = None
    retries: int = 0
    uses: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    schedule: Schedule | None = None
    required: tuple[str, ...] = ()
    concurrency_max: int | None = None
    params_as_arguments: bool = False
    interpreter: tuple[str, ...] = ()
    output_bytes_max: int | None = None
    cpu_cores: float | None = None
    cpu_time: timedelta | None = None
    work_files_max: int | None = None
    work_bytes_max: int | None = None
    run_as: str = ""
    secrets: tuple[str, ...] = ()
    secret_params: tuple[str, ...] = ()
    """Those that only the runner is shown."""
    sandbox: Sandbox | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    health_every: timedelta | None = None
    changed_at: datetime | None = None
    """When its files last changed, as the file system has it."""

    @property
    def is_service(self) -> bool:
        """Kept alive, instead of run to an end."""
        return self.kind == "service"

    @property
    def is_check(self) -> bool:
        """The agent that does merge checks, which has places of its own: the built-in one, and no other of its name."""
        return self.name == CHECK_AGENT and self.builtin != ""

    @property
    def is_backup(self) -> bool:
        """The agent that makes backups: the built-in one, and no other of its name."""
        return self.name == BACKUP_AGENT and self.builtin != ""

    @property
    def is_at_home(self) -> bool:
        """It works on what is on the workspace's own host alone, at once, in a place beside the tasks."""
        return self.is_check or self.is_backup

    @property
    def is_identified(self) -> bool:
        """Its attempts get a credential to be known by, for the one thing that they may ask."""
        return self.is_check or self.is_backup
