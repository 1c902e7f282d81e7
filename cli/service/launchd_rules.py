"""Our own model of launchd.plist(5): which keys there are, of what type, what excludes what, what is not to be used.

launchd itself is silent about most mistakes: a key that is misspelt is ignored, a path with a `~` in it is taken as it
is, and a job that asks for the wrong session is not loaded where it matters. A fault has a code and a sentence.
"""

from __future__ import annotations

import plistlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from foundation.errors import did_you_mean
from foundation.tokens import mask

Exists = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a property list."""

    code: str
    """Stable, snake_case; with the key it is about behind a colon."""
    message: str


_TEXTS: tuple[type, ...] = (list,)
_KEYS: Mapping[str, tuple[type, ...]] = {
    "Label": (str,),
    "Program": (str,),
    "ProgramArguments": _TEXTS,
    "BundleProgram": (str,),
    "AssociatedBundleIdentifiers": (str, list),
    "EnvironmentVariables": (dict,),
    "WorkingDirectory": (str,),
    "RootDirectory": (str,),
    "Umask": (int,),
    "RunAtLoad": (bool,),
    "KeepAlive": (bool, dict),
    "LaunchOnlyOnce": (bool,),
    "ThrottleInterval": (int,),
    "StartInterval": (int,),
    "StartCalendarInterval": (dict, list),
    "StartOnMount": (bool,),
    "WatchPaths": _TEXTS,
    "QueueDirectories": _TEXTS,
    "LaunchEvents": (dict,),
    "ExitTimeOut": (int,),
    "TimeOut": (int,),
    "StandardInPath": (str,),
    "StandardOutPath": (str,),
    "StandardErrorPath": (str,),
    "SoftResourceLimits": (dict,),
    "HardResourceLimits": (dict,),
    "ProcessType": (str,),
    "Nice": (int,),
    "LowPriorityIO": (bool,),
    "LowPriorityBackgroundIO": (bool,),
    "AbandonProcessGroup": (bool,),
    "EnablePressuredExit": (bool,),
    "EnableTransactions": (bool,),
    "LegacyTimers": (bool,),
    "LimitLoadToSessionType": (str, list),
    "LimitLoadToHardware": (dict,),
    "LimitLoadFromHardware": (dict,),
    "MachServices": (dict,),
    "Sockets": (dict,),
    "MaterializeDatalessFiles": (bool,),
    "WaitForDebugger": (bool,),
    "UserName": (str,),
    "GroupName": (str,),
    "InitGroups": (bool,),
    "SessionCreate": (bool,),
    "Disabled": (bool,),
    "Debug": (bool,),
}
_NOT_ANY_MORE: Mapping[str, str] = {
    "OnDemand": "KeepAlive says the same the other way round",
    "ServiceIPC": "launchd ignores it",
    "EnableGlobbing": "it was taken out of launchd",
    "HopefullyExitsFirst": "launchd ignores it",
    "HopefullyExitsLast": "launchd ignores it",
    "LimitLoadToHosts": "launchd ignores it",
    "LimitLoadFromHosts": "launchd ignores it",
    "inetdCompatibility": "Sockets does what it did",
    "Disabled": "launchd keeps that elsewhere: launchctl disable",
    "Debug": "launchd ignores it",
    "TimeOut": "launchd ignores it",
}
_OF_THE_SYSTEM = ("UserName", "GroupName", "InitGroups", "RootDirectory", "SessionCreate")
_KEEP_ALIVE = {"SuccessfulExit": bool, "Crashed": bool, "PathState": dict, "OtherJobEnabled": dict}
_LIMITS = frozenset(
    {
        *("Core", "CPU", "Data", "FileSize", "MemoryLock"),
        *("NumberOfFiles", "NumberOfProcesses", "ResidentSetSize", "Stack"),
    }
)
_CALENDAR = {"Minute": 59, "Hour": 23, "Day": 31, "Weekday": 7, "Month": 12}
_SESSIONS = frozenset({"Aqua", "Background", "LoginWindow", "StandardIO", "System"})
_PROCESS_TYPES = frozenset({"Background", "Standard", "Adaptive", "Interactive"})
_PATHS = ("WorkingDirectory", "StandardInPath", "StandardOutPath", "StandardErrorPath")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_SECRET_NAME = re.compile("TOKEN|SECRET|PASSWORD|API_?KEY", re.IGNORECASE)
_UMASK_MAX = 0o777
_EXIT_SECONDS_MAX = 600


def faults(
    data: bytes, *, file_name: str, mode: int = 0o644, exists: Exists = lambda path: Path(path).exists()
) -> list[Fault]:
    """Everything that is wrong with a property list for a user's own LaunchAgents; empty when launchd will do as meant.

    `exists` tells whether there is something at an absolute path of the machine on which it is to be loaded.
    """
    try:
        job = plistlib.loads(data)
    except (plistlib.InvalidFileException, ExpatError, ValueError) as error:
        return [Fault("unreadable", f"It is no property list: {error}.")]
    if not isinstance(job, dict):
        return [Fault("no_dictionary", "A job is a dictionary.")]
    found = [*_of_file(mode), *_of_keys(job)]
    # What has the wrong type, or is none of our keys, is not looked at further.
    wrong = {fault.code.partition(":")[2] for fault in found}
    sound = {key: value for key, value in job.items() if key not in wrong}
    if "Label" not in wrong:
        found += _of_name(sound, file_name)
    if "ProgramArguments" not in wrong:
        found += _of_program(sound, exists)
    for rule in (_of_paths, _of_environment, _of_life, _of_limits, _of_session):
        found += rule(sound, exists)
    return found


def _of_file(mode: int) -> Iterator[Fault]:
    if mode & 0o022:
        yield Fault("writable_by_others", "launchd loads no file that others may write.")


def _of_keys(job: Mapping[str, Any]) -> Iterator[Fault]:
    for key, value in job.items():
        if key in _NOT_ANY_MORE:
            yield Fault(f"deprecated:{key}", f"{key} is not to be used: {_NOT_ANY_MORE[key]}.")
        elif key not in _KEYS:
            near = did_you_mean(key, _KEYS)
            yield Fault(f"unknown:{key}", f"launchd knows no {key}" + (f"; is {near} meant?" if near else "."))
        elif not _is_a(value, _KEYS[key]):
            wanted = " or ".join(one.__name__ for one in _KEYS[key])
            yield Fault(f"type:{key}", f"{key} is a {type(value).__name__} and must be a {wanted}.")
        elif (
            isinstance(value, list)
            and key != "StartCalendarInterval"
            and not all(isinstance(one, str) for one in value)
        ):
            yield Fault(f"type:{key}", f"{key} must hold strings alone.")
        elif key in _OF_THE_SYSTEM:
            yield Fault(f"system_only:{key}", f"{key} is for jobs of the system, and this is a user's.")


def _is_a(value: object, wanted: tuple[type, ...]) -> bool:
    # In Python a bool is an int; in a property list it is not.
    return isinstance(value, wanted) and (not isinstance(value, bool) or bool in wanted)


def _of_name(job: Mapping[str, Any], file_name: str) -> Iterator[Fault]:
    label = job.get("Label")
    if label is None:
        yield Fault("missing:Label", "A job needs a Label.")
    elif not _LABEL.match(label):
        yield Fault("value:Label", f"“{label}” cannot be typed as part of a launchctl target.")
    elif file_name != f"{label}.plist":
        yield Fault("label_and_file", f"The file of the job {label} is to be named {label}.plist, not {file_name}.")


def _of_program(job: Mapping[str, Any], exists: Exists) -> Iterator[Fault]:
    arguments = job.get("ProgramArguments")
    if "Program" not in job and not arguments:
        yield Fault("missing:ProgramArguments", "Neither Program nor ProgramArguments says what to run.")
        return
    program = job.get("Program") or arguments[0]  # type: ignore[index]
    if not program.startswith("/"):
        yield Fault("relative:ProgramArguments", f"{program} is no absolute path, and launchd has a PATH of its own.")
    elif not exists(program):
        yield Fault("absent:ProgramArguments", f"There is no {program}.")
    for argument in (arguments or [])[1:]:
        if _is_for_a_shell(argument):
            yield Fault("shell:ProgramArguments", f"No shell will replace anything in “{argument}”.")
        if mask(argument) != argument or (_SECRET_NAME.search(argument.partition("=")[0]) and "=" in argument):
            yield Fault("secret:ProgramArguments", "Every process of the machine may read what is in arguments.")


def _of_paths(job: Mapping[str, Any], exists: Exists) -> Iterator[Fault]:
    for key in _PATHS:
        path = job.get(key)
        if path is None:
            continue
        if not path.startswith("/"):
            yield Fault(f"relative:{key}", f"{key} {path} is no absolute path; nobody replaces ~ or $HOME in it.")
        elif not exists(path if key in ("WorkingDirectory", "StandardInPath") else str(Path(path).parent)):
            yield Fault(f"absent:{key}", f"{key} {path} cannot be opened: there is no such folder.")


def _of_environment(job: Mapping[str, Any], exists: Exists) -> Iterator[Fault]:
    for name, value in job.get("EnvironmentVariables", {}).items():
        if not isinstance(value, str):
            yield Fault("type:EnvironmentVariables", f"{name} is a {type(value).__name__} and must be a string.")
            continue
        if _is_for_a_shell(value):
            yield Fault("shell:EnvironmentVariables", f"No shell will replace anything in {name}={value}.")
        if name == "PATH" and not all(part.startswith("/") for part in value.split(":")):
            yield Fault("relative:PATH", f"PATH has a part that is no absolute path: {value}.")
        if mask(value) != value or _SECRET_NAME.search(name):
            yield Fault("secret:EnvironmentVariables", f"{name} is a secret, and this file may be read by everybody.")


def _of_life(job: Mapping[str, Any], exists: Exists) -> Iterator[Fault]:
    yield from _of_keep_alive(job)
    if job.get("ThrottleInterval", 1) < 1:
        yield Fault("value:ThrottleInterval", "Without a pause between starts a job that crashes takes the machine.")
    if not 0 < job.get("ExitTimeOut", 1) <= _EXIT_SECONDS_MAX:
        yield Fault("value:ExitTimeOut", "With 0 launchd waits for ever, and with more than 10 minutes nearly so.")
    if job.get("StartInterval", 1) < 1:
        yield Fault("value:StartInterval", "The pause between two starts is at least a second.")
    if "StartInterval" in job and job.get("KeepAlive"):
        yield Fault("excludes:StartInterval", "What is kept alive is not started by the clock as well.")
    calendar = job.get("StartCalendarInterval", [])
    for entry in [calendar] if isinstance(calendar, dict) else calendar:
        for key, value in entry.items():
            if key not in _CALENDAR or not _is_a(value, (int,)) or not 0 <= value <= _CALENDAR[key]:
                yield Fault("value:StartCalendarInterval", f"{key} = {value!r} is no part of a moment.")


def _of_keep_alive(job: Mapping[str, Any]) -> Iterator[Fault]:
    keep = job.get("KeepAlive")
    if isinstance(keep, dict):
        for key, value in keep.items():
            if key not in _KEEP_ALIVE:
                yield Fault(f"unknown:KeepAlive.{key}", f"launchd keeps nothing alive by {key}.")
            elif not isinstance(value, _KEEP_ALIVE[key]):
                yield Fault(f"type:KeepAlive.{key}", f"KeepAlive.{key} must be a {_KEEP_ALIVE[key].__name__}.")
    elif keep is True:
        yield Fault("value:KeepAlive", "Kept alive whatever happens, a job with a wrong setting is started for ever.")
    if keep and job.get("LaunchOnlyOnce"):
        yield Fault("excludes:LaunchOnlyOnce", "What is launched only once is not kept alive.")
    if not keep and not any(key.startswith("Start") and "Path" not in key for key in job) and not job.get("RunAtLoad"):
        yield Fault("never_started", "Nothing says when it is to be started.")


def _of_limits(job: Mapping[str, Any], exists: Exists) -> Iterator[Fault]:
    soft, hard = job.get("SoftResourceLimits", {}), job.get("HardResourceLimits", {})
    for key, limits in (("SoftResourceLimits", soft), ("HardResourceLimits", hard)):
        for name, value in limits.items():
            if name not in _LIMITS:
                yield Fault(f"unknown:{key}.{name}", f"launchd limits no {name}.")
            elif not _is_a(value, (int,)) or value < 0:
                yield Fault(f"type:{key}.{name}", f"{key}.{name} must be a whole number from 0 up.")
            elif key == "HardResourceLimits" and _is_a(soft.get(name, 0), (int,)) and soft.get(name, 0) > value:
                yield Fault(f"soft_above_hard:{name}", f"The soft limit of {name} is above the hard one.")
    if not 0 <= job.get("Umask", 0) <= _UMASK_MAX:
        yield Fault("value:Umask", "Umask is at most 511; written in octal it would be read as a decimal number.")
    elif job.get("Umask", 0o77) & 0o22 != 0o22:
        yield Fault("value:Umask", f"Umask {job['Umask']} (octal {job['Umask']:o}) lets others write what it makes.")


def _of_session(job: Mapping[str, Any], exists: Exists) -> Iterator[Fault]:
    sessions = job.get("LimitLoadToSessionType", "Aqua")
    for session in [sessions] if isinstance(sessions, str) else sessions:
        if session not in _SESSIONS:
            yield Fault("value:LimitLoadToSessionType", f"There is no session type {session}.")
        elif session != "Aqua":
            yield Fault("no_keychain:LimitLoadToSessionType", f"A session of type {session} has no open keychain.")
    kind = job.get("ProcessType", "Standard")
    if kind not in _PROCESS_TYPES:
        yield Fault("value:ProcessType", f"There is no process type {kind}.")
    elif kind == "Background":
        yield Fault("no_keychain:ProcessType", "A background process is throttled and may not ask for the keychain.")
    if job.get("WaitForDebugger"):
        yield Fault("value:WaitForDebugger", "It would wait for a debugger for ever.")


def _is_for_a_shell(text: str) -> bool:
    return text.startswith("~") or "$(" in text or "${" in text or bool(re.search(r"\$[A-Za-z_]", text))
