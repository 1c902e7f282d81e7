"""Reads an agent's manifest: a script or an agent.toml becomes declared fields, or faults as sentences."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from foundation.errors import QuantumError, did_you_mean
from foundation.quantities import parse_duration, parse_size
from services.coordinator.domain.manifest_schedule import read_schedule
from services.coordinator.domain.names import NAME_RULE, is_name
from services.coordinator.domain.request import LABEL_LENGTH_MAX, LABELS_MAX, TIMEOUT_MAX, TIMEOUT_MIN
from services.coordinator.domain.schedule import Schedule
from services.coordinator.domain.task import Effects

RETRIES_MAX = 100
COUNT_MAX = 1_000_000
DESCRIPTION_LENGTH_MAX = 500
LIST_MAX = 100
MEMORY_MIN = 1024 * 1024
DISK_MIN = 4096
LIMIT_NAMES = (
    *("timeout", "idle_timeout", "memory", "processes", "open_files", "output"),
    *("cpu", "cpu_time", "files", "disk", "sandbox"),
)

_OPEN = re.compile(r"^# /// (?P<type>[a-zA-Z0-9-]+)[ \t]*$", re.MULTILINE)
_BLOCK = re.compile(r"^# /// script[ \t]*$\n(?P<content>(?:^#(?:| .*)$\n)*?)^# ///[ \t]*$", re.MULTILINE)
_TABLE = re.compile(r"^#[ \t]*\[tool\.quantum\][ \t]*$", re.MULTILINE)
_USE = re.compile(r"[a-z0-9][a-z0-9_-]*:[a-z0-9][a-z0-9_.-]*")
_HOST = re.compile(r"(?:[A-Za-z0-9*](?:[A-Za-z0-9.*-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\]):[0-9]{1,5}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """What a script may reach: it writes nowhere else; `read`, where there is any, narrows what it reads."""

    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a manifest declares. With `faults` the agent cannot be run."""

    description: str = ""
    kind: str = "task"
    effects: Effects = Effects.ONCE
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
    aliases: tuple[str, ...] = ()
    script: str = ""
    output_bytes_max: int | None = None
    cpu_cores: float | None = None
    cpu_time: timedelta | None = None
    work_files_max: int | None = None
    work_bytes_max: int | None = None
    run_as: str = ""
    secrets: tuple[str, ...] = ()
    secret_params: tuple[str, ...] = ()
    sandbox: Sandbox | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    health_every: timedelta | None = None
    faults: tuple[str, ...] = ()


class _Wrong(Exception):
    """What is wrong with a value, as the rest of a sentence that begins with its key."""


Reader = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class _Key:
    """How one key is read, and which field it becomes."""

    read: Reader
    to: str


@dataclass(slots=True)
class _Reading:
    fields: dict[str, object] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def manifest_of_script(text: str) -> Manifest | None:
    """Read the `# /// script` block of a script; None when there is none, or none with `[tool.quantum]`."""
    text = text.replace("\r\n", "\n")
    blocks = list(_BLOCK.finditer(text))
    opened = [match for match in _OPEN.finditer(text) if match["type"] == "script"]
    if len(blocks) > 1:
        return _broken("There are two `# /// script` blocks; one is allowed.")
    if opened and not blocks:
        line = text.count("\n", 0, opened[0].start()) + 1
        return _broken(f"The `# /// script` block of line {line} is not closed by a line `# ///`.")
    if not blocks:
        stray = _TABLE.search(text)
        if stray is None:
            return None
        line = text.count("\n", 0, stray.start()) + 1
        return _broken(f"[tool.quantum] in line {line} counts only between the lines `# /// script` and `# ///`.")
    lines = blocks[0]["content"].splitlines()
    first = text.count("\n", 0, blocks[0].start("content"))
    return _read_toml("".join(f"{line[2:]}\n" for line in lines), line_offset=first, bare=False)


def manifest_of_toml(text: str) -> Manifest:
    """Read an agent.toml: the same keys, under `[tool.quantum]` or bare, and `script` besides."""
    manifest = _read_toml(text, line_offset=0, bare=True)
    return manifest or Manifest()


def _broken(fault: str) -> Manifest:
    return Manifest(faults=(fault,))


def _read_toml(text: str, *, line_offset: int, bare: bool) -> Manifest | None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return _broken(f"Its manifest is not TOML: {_shift_line(str(error), line_offset)}.")
    tools = document.get("tool")
    table = tools.get("quantum") if isinstance(tools, dict) else None
    if table is None:
        if not bare:
            return None
        table = {key: value for key, value in document.items() if key != "tool"}
    if not isinstance(table, dict):
        return _broken("[tool.quantum] must be a table.")
    return _read_table(table, _KEYS | _FILE_KEYS if bare else _KEYS)


def _shift_line(message: str, by: int) -> str:
    return re.sub(r"line (\d+)", lambda match: f"line {int(match[1]) + by}", message)


def _read_table(table: Mapping[str, object], keys: Mapping[str, _Key]) -> Manifest:
    reading = _Reading()
    for name, value in table.items():
        key = keys.get(name)
        if key is None:
            reading.faults.append(_unknown_key(name, keys))
        else:
            _read_key(name, key, value, reading)
    if reading.fields.get("kind") == "service":
        # It is there to be started again.
        reading.fields.setdefault("effects", Effects.IDEMPOTENT)
        if "schedule" in reading.fields:
            reading.faults.append("schedule is for tasks: a service is kept alive and has no time to start at.")
    return Manifest(
        **reading.fields,  # type: ignore[arg-type]
        faults=tuple(reading.faults),
    )


def _read_key(name: str, key: _Key, value: object, reading: _Reading) -> None:
    try:
        read = key.read(value)
    except _Wrong as wrong:
        reading.faults.append(f"{name} {wrong}")
    except QuantumError as error:
        reading.faults.append(f"{name}: {error.message} {error.remedy}".strip())
    else:
        reading.fields[key.to] = read


def _unknown_key(name: str, keys: Mapping[str, _Key]) -> str:
    nearest = did_you_mean(name, keys) or _MEANT.get(name)
    meant = f" Did you mean “{nearest}”?" if nearest else f" Known are {', '.join(sorted(keys))}."
    return f"“{name}” is not a key of a manifest.{meant}"


_MEANT = {
    "concurrency_max": "max_concurrent",
    "memory_limit": "memory",
    "args": "params_as_arguments",
    "cron": "schedule",
}


def _text(longest: int) -> Reader:
    def read(value: object) -> str:
        if not isinstance(value, str):
            raise _Wrong("must be a text in quotes.")
        if len(value) > longest:
            raise _Wrong(f"is longer than {longest} characters.")
        return value

    return read


def _one_of(*words: str) -> Reader:
    def read(value: object) -> str:
        if value not in words or not isinstance(value, str):
            raise _Wrong(f"must be one of {', '.join(words)}; not {_shown(value)}.")
        return value

    return read


def _duration(value: object) -> timedelta:
    if not isinstance(value, str):
        raise _Wrong(f'must be a duration in quotes like "90s", "5m" or "1h30m", not {_shown(value)}.')
    duration = parse_duration(value)
    if not TIMEOUT_MIN <= duration <= TIMEOUT_MAX:
        raise _Wrong(f"must be between 50 ms and 30 days, not {value}.")
    return duration


def _size(least: int, shown: str) -> Reader:
    def read(value: object) -> int:
        if not isinstance(value, str):
            raise _Wrong(f'must be a size in quotes like "512MB" or "2GB", not {_shown(value)}.')
        size = parse_size(value)
        if size < least:
            raise _Wrong(f"must be at least {shown}, not {value}.")
        return size

    return read


def _count(least: int, most: int) -> Reader:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _Wrong(f"must be a whole number from {least} to {most}, not {_shown(value)}.")
        return value

    return read


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1024:
        raise _Wrong(f"must be a number of cores above 0, not {_shown(value)}.")
    return float(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(f"must be true or false, not {_shown(value)}.")
    return value


def _list(good: Callable[[str], bool], example: str) -> Reader:
    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise _Wrong(f"must be a list of texts like {example}.")
        if len(value) > LIST_MAX:
            raise _Wrong(f"has more than {LIST_MAX} entries.")
        for entry in value:
            if not good(entry):
                raise _Wrong(f"cannot hold {_shown(entry)}; it is a list like {example}.")
        return tuple(value)

    return read


def _sandbox(value: object) -> Sandbox:
    if not isinstance(value, dict):
        raise _Wrong('must be a table like { write = ["build"], network = "none" }.')
    if unknown := sorted(value.keys() - {"write", "read", "network"}):
        raise _Wrong(f"has no key “{unknown[0]}”; known are network, read, write.")
    network = value.get("network", "none")
    paths = _list(_path, '["build", "/var/cache/build"]')
    if isinstance(network, str):
        network = _one_of("none", "all")(network)
        hosts: object = ()
    else:
        hosts = _list(lambda host: _HOST.fullmatch(host) is not None, '["api.openai.com:443"]')(network)
    return Sandbox(
        write=paths(value.get("write", [])),  # type: ignore[arg-type]
        read=paths(value.get("read", [])),  # type: ignore[arg-type]
        hosts=hosts,  # type: ignore[arg-type]
        network=network == "all",
    )


def _schedule(value: object) -> Schedule:
    try:
        return read_schedule(value)
    except ValueError as error:
        raise _Wrong(str(error)) from None


def _path(text: str) -> bool:
    return text != "" and "\0" not in text and len(text) <= 4096


def _labels(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) and text for text in value.values()):
        raise _Wrong('must be a table of texts like { os = "darwin" }.')
    if len(value) > LABELS_MAX or any(len(text) > LABEL_LENGTH_MAX for pair in value.items() for text in pair):
        raise _Wrong(f"has more than {LABELS_MAX} entries, or one of over {LABEL_LENGTH_MAX} characters.")
    return dict(value)


def _shown(value: object) -> str:
    text = f"“{value}”" if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _variable(name: str) -> bool:
    return _VARIABLE.fullmatch(name) is not None and not name.startswith("QUANTUM_")


def _script(value: object) -> str:
    text = _text(4096)(value)
    absolute = isinstance(text, str) and text.startswith("/") and "\0" not in text
    if not isinstance(text, str) or not text or (not absolute and ("/" in text or text in (".", ".."))):
        raise _Wrong("must be the name of a file in the same folder, or a whole path that begins with /.")
    return text


_KEYS: dict[str, _Key] = {
    "description": _Key(_text(DESCRIPTION_LENGTH_MAX), "description"),
    "kind": _Key(_one_of("task", "service"), "kind"),
    "effects": _Key(lambda value: Effects(str(_one_of(*Effects)(value))), "effects"),
    "timeout": _Key(_duration, "timeout"),
    "idle_timeout": _Key(_duration, "idle_timeout"),
    "memory": _Key(_size(MEMORY_MIN, "1MB"), "memory_bytes"),
    "max_processes": _Key(_count(1, COUNT_MAX), "processes_max"),
    "max_open_files": _Key(_count(8, COUNT_MAX), "open_files_max"),
    "max_concurrent": _Key(_count(1, 10_000), "concurrency_max"),
    "retries": _Key(_count(0, RETRIES_MAX), "retries"),
    "uses": _Key(_list(lambda use: _USE.fullmatch(use) is not None, '["cloud:openai"]'), "uses"),
    "env": _Key(_list(_variable, '["LANG"] (never QUANTUM_…)'), "env"),
    "required": _Key(_list(LIMIT_NAMES.__contains__, '["memory"]'), "required"),
    "params_as_arguments": _Key(_flag, "params_as_arguments"),
    "interpreter": _Key(_list(bool, '["/usr/bin/env", "swift"]'), "interpreter"),
    "aliases": _Key(_list(is_name, f'["short"] ({NAME_RULE})'), "aliases"),
    "schedule": _Key(_schedule, "schedule"),
    "cpu": _Key(_number, "cpu_cores"),
    "cpu_time": _Key(_duration, "cpu_time"),
    "max_output": _Key(_size(DISK_MIN, "4KB"), "output_bytes_max"),
    "max_files": _Key(_count(1, COUNT_MAX), "work_files_max"),
    "disk": _Key(_size(DISK_MIN, "4KB"), "work_bytes_max"),
    "secrets": _Key(_list(is_name, '["openai"]'), "secrets"),
    "sandbox": _Key(_sandbox, "sandbox"),
    "labels": _Key(_labels, "labels"),
    "health_every": _Key(_duration, "health_every"),
    "secret_params": _Key(_list(bool, '["password"]'), "secret_params"),
    "run_as": _Key(_one_of("user"), "run_as"),
}
_FILE_KEYS: dict[str, _Key] = {"script": _Key(_script, "script")}
