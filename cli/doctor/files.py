"""The workspace's files: what people write, what the services write, and whose they are."""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.doctor.findings import Finding, aside, fail, ok, quoted, warn
from cli.doctor.subject import Subject, rights
from cli.first_start import DONE, IGNORED
from cli.runbook.links import HOME, SHIM, State, recorded_command, states
from cli.workspace.projects_file import ProjectsFile
from foundation.errors import QuantumError
from foundation.quantities import format_size
from foundation.settings import explain
from foundation.settings_file import FILE_NAME

EXPORTS = ("agent_status.json", "task_queue.json")
_ROTATED = ("*.gz", "*.log.[0-9]*", "*.out.[0-9]*")
_LOOKED_AT = 2_000
"""Files in `.quantum/` whose rights are looked at, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSettings:
    """Below which room no task is taken."""

    disk_free_bytes_min: int


def workspace(subject: Subject) -> Iterator[Finding]:
    """Whether there is one, whole."""
    part, found = "workspace", subject.workspace
    if found is None:
        # The one that is named and none, or where we stand.
        root = subject.session.environ.get("QUANTUM_WORKSPACE") or str(subject.session.cwd)
        yield fail(part, f"{root} is none, and nor is a folder above it.", f"quantum init {quoted(root)}")
    elif not subject.initialised:
        yield fail(part, f"{found.root} has not been initialised.", f"quantum init {quoted(found.root)}")
    elif not (found.state / DONE).exists():
        yield fail(part, f"The first start in {found.root} was cut short.", "quantum init")
    elif not found.agents.is_dir():
        yield fail(part, f"{found.root} has no folder agents/.", "quantum init")
    else:
        yield ok(part, str(found.root))


def settings(subject: Subject) -> Iterator[Finding]:
    """Every value of every source, whether it is the one that counts or not."""
    part, here = "settings", subject.here
    try:
        every = explain(environ=subject.session.environ, workspace=here)
    except QuantumError as error:
        for fault in error.fields:
            yield fail(part, f"{fault.path}: {fault.message}", subject.then_restart(_unset(subject, fault.path)))
        return
    changed = sum(one.origin != "default" for one in every)
    yield ok(part, f"{changed} are set, the others have their defaults")


def _unset(subject: Subject, where: str) -> str:
    """The line that takes a faulty entry away; a file that cannot be read is moved aside as a whole."""
    environ, name = subject.session.environ, where.rpartition(": ")[2]
    if where in environ:
        return f"unset {where}"
    if where.startswith(FILE_NAME) and name == where:
        return f"{aside(subject.here.config_file)} && quantum init {quoted(subject.here.root)}"
    if f"QUANTUM_{name.upper()}" in environ and not where.startswith(FILE_NAME):
        return f"unset QUANTUM_{name.upper()}"
    return f"quantum config unset {quoted(name)}"


def projects(subject: Subject) -> Iterator[Finding]:
    """Each a name and a folder that is there."""
    part, path = "projects", subject.here.projects_file
    try:
        found = ProjectsFile(path).read()
    except QuantumError as error:
        yield fail(part, error.message, aside(path))
        return
    gone = {name: folder for name, folder in found.items() if not _folder(subject, folder).is_dir()}
    for name, folder in gone.items():
        yield fail(part, f"{name}: {folder} is no folder.", f"quantum projects remove {quoted(name)}")
    if not gone:
        yield ok(part, ", ".join(found) or "none")


def _folder(subject: Subject, text: str) -> Path:
    return subject.here.root / Path(text).expanduser()


def spend_files(subject: Subject) -> Iterator[Finding]:
    """Prices and caps as people write them; what they mean, safety says while it runs."""
    part, folder = "spend files", subject.here.config_file.parent
    faults = list(_faults_of_toml(folder / name for name in ("prices.toml", "spend.toml")))
    for path, fault in faults:
        yield fail(part, f"{path} is no TOML, so that nothing is spent: {fault}", aside(path))
    if not faults:
        yield ok(part, "as they can be read")


def _faults_of_toml(paths: Iterator[Path]) -> Iterator[tuple[Path, str]]:
    for path in paths:
        try:
            tomllib.loads(path.read_bytes().decode())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            yield path, str(error)


def alert_config(subject: Subject) -> Iterator[Finding]:
    """Whether anybody but the log is told."""
    part, path = "alert channels", subject.here.alert_config
    line = subject.then_restart(choose_channel(subject))
    if not path.exists():
        yield warn(part, "Alerts go to logs/system.log alone (docs/alerts.md: desktop, mail, webhooks).", line)
        return
    import yaml

    try:
        document = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, OSError) as error:
        yield fail(part, f"{path} cannot be read: {str(error).splitlines()[0]}.", f"{aside(path)} && {line}")
        return
    given = document.get("channels") if isinstance(document, dict) else None
    if not isinstance(given, dict):
        yield fail(part, f"{path} names no channels.", f"{aside(path)} && {line}")
    elif not set(given) - {"log"}:
        yield ok(part, f"logs/system.log alone, as {path} says")
    else:
        yield ok(part, f"{', '.join(map(str, given))}; `quantum alerts test` tries each")


def choose_channel(subject: Subject) -> str:
    """The line that says who is told: whoever sits at the screen; without one it is written down that the log is."""
    name, level = ("desktop", "warning") if has_screen(subject.session.environ) else ("log", "info")
    return f"""echo '{{"channels": {{"{name}": {{"level": "{level}"}}}}}}' > {quoted(subject.here.alert_config)}"""


def has_screen(environ: Mapping[str, str]) -> bool:
    """Whether a notification would be shown to anybody."""
    return sys.platform == "darwin" or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def ignored(subject: Subject) -> Iterator[Finding]:
    """What is of this machine alone does not belong into version control."""
    part, path = "version control", subject.here.root / ".gitignore"
    text = path.read_text(errors="replace") if path.is_file() else ""
    present = {line.strip().strip("/") for line in text.splitlines()}
    missing = [line for line in IGNORED if line.strip("/") not in present]
    if missing:
        yield warn(part, f".gitignore does not name {', '.join(missing)}.", "quantum init")
    else:
        yield ok(part, f".gitignore names {', '.join(IGNORED)}")


def runbook(subject: Subject) -> Iterator[Finding]:
    """The runbook's command names, where they are put in, lead to a `quantum` that is there."""
    part, root = "runbook names", subject.here.root
    linked = sum(state is State.LINKED for state in states(root).values())
    command = recorded_command(root)
    if not linked:
        yield ok(part, "none is put in")
    elif command is None or not os.access(command, os.X_OK) or not (root / HOME / SHIM).is_file():
        yield warn(part, f"{linked} names call {command or 'a quantum'} that is gone.", "quantum runbook install")
    else:
        yield ok(part, f"{linked} names call {command}")


def file_rights(subject: Subject) -> Iterator[Finding]:
    """`.quantum/` and all that is secret in it is for its user alone."""
    part, here = "file rights", subject.here
    alone = [here.state, here.credentials, here.secret_names, here.audit, here.hooks_token.parent]
    secret = [here.coordinator_db, here.safety_db, here.hooks_token, here.credentials / "key", here.keychain_record]
    secret += [path for folder in (here.credentials, here.state / "tls") for path in sorted(folder.glob("*"))]
    wanted = {**dict.fromkeys(alone, 0o700), **dict.fromkeys(secret, 0o600), here.authority: 0o644}
    exposed = [(path, mode) for path, mode in wanted.items() if path.exists() and rights(path) & 0o077 & ~mode]
    for path, mode in exposed:
        yield fail(part, f"{path} can be reached by others (mode {rights(path):o}).", f"chmod {mode:o} {quoted(path)}")
    if not exposed:
        yield ok(part, f"{here.state.name}/, the databases and tokens are for you alone")


def owner(subject: Subject) -> Iterator[Finding]:
    """What belongs to somebody else cannot be written, and what was made by root neither."""
    part, here, own = "file owner", subject.here, os.geteuid()
    places = [here.state, here.logs, here.config_file, here.agents]
    places += [path for number, path in enumerate(here.state.rglob("*")) if number < _LOOKED_AT]
    strange = [
        path for path in places if path.exists() and path.lstat().st_uid not in (own, *_allowed(here.agents, path))
    ]
    if strange:
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        change = "chown" if own == 0 else "sudo chown"
        line = f"{change} -R {own} {' '.join(quoted(path) for path in _outermost(strange))}"
        yield fail(part, f"{strange[0]}{more} belongs to another user.", line)
    else:
        yield ok(part, "all of it is yours")


def _allowed(agents: Path, path: Path) -> tuple[int, ...]:
    """Root may own the scripts, so that those who run as somebody else cannot write them."""
    return (0,) if path == agents else ()


def _outermost(paths: list[Path]) -> list[Path]:
    return [path for path in paths if not set(path.parents) & set(paths)]


def logs(subject: Subject) -> Iterator[Finding]:
    """Whether what happens can be written down."""
    part, path = "logs", subject.here.logs
    if path.is_dir() and os.access(path, os.W_OK | os.X_OK):
        yield ok(part, str(path))
    elif path.is_dir():
        yield fail(part, f"{path} cannot be written.", f"chmod u+rwx {quoted(path)}")
    elif path.exists():
        yield fail(part, f"{path} is no folder.", f"{aside(path)} && mkdir {quoted(path)}")
    else:
        yield fail(part, f"{path} is not there.", f"mkdir {quoted(path)}")


def exports(subject: Subject) -> Iterator[Finding]:
    """The files that other programs read are replaced whole, which a folder of that name prevents."""
    part, root = "exports", subject.here.root
    blocked = [root / name for name in EXPORTS if (root / name).is_dir()]
    for path in blocked:
        yield fail(part, f"{path} is a folder, so that the export cannot be written.", aside(path))
    if not os.access(root, os.W_OK | os.X_OK):
        yield fail(part, f"{root} cannot be written.", f"chmod u+rwx {quoted(root)}")
    elif not blocked:
        yield ok(part, f"{' and '.join(EXPORTS)} can be written")


def disk(subject: Subject) -> Iterator[Finding]:
    """Whether there is room for more than the least that tasks are taken with."""
    part, here = "disk", subject.here
    free, least = shutil.disk_usage(here.root).free, subject.settings(DiskSettings).disk_free_bytes_min
    said = f"{format_size(free)} free; below {format_size(least)} no task is taken"
    if free >= 2 * least:
        yield ok(part, said)
        return
    rotated = [path for pattern in _ROTATED for path in here.logs.rglob(pattern) if path.is_file()]
    if free + sum(path.stat().st_size for path in rotated) >= least and rotated:
        names = " -o ".join(f"-name {quoted(pattern)}" for pattern in _ROTATED)
        cure = f"find {quoted(here.logs)} -type f \\( {names} \\) -delete"
    else:
        cure = f"du -xh {quoted(here.root)} | sort -h | tail -20"
    yield (fail if free < least else warn)(part, said, cure)


CHECKS = (settings, projects, spend_files, alert_config, ignored, file_rights, owner, logs, exports, disk)
