"""Our model of launchd.plist(5): our property lists are as it wants them, broken ones are not."""

from __future__ import annotations

import plistlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.service.launchd_darwin import Launchd
from cli.service.launchd_rules import faults
from cli.service.parts import PARTS
from cli.service.ports import Answer
from cli.service.rendering import values_of
from foundation.ids import random_bytes
from foundation.tokens import mint
from foundation.workspace import Workspace

Job = dict[str, Any]
TOKEN = mint(random_bytes).text


@pytest.fixture
def lists(tmp_path: Path) -> Mapping[Path, bytes]:
    """The property lists of a workspace whose path is as awkward as they come, by where they belong."""
    workspace = Workspace(tmp_path / 'Wörk & <space> $HOME "q" %h')
    (workspace.root / "config").mkdir(parents=True)
    workspace.config_file.write_text("{}")
    workspace.logs.mkdir()
    environ = {"HOME": str(tmp_path), "PATH": "/opt/tools/bin:relative:/usr/bin:/bin"}
    return Launchd(workspace, environ, lambda argv: Answer(0, "", "")).files(values_of(workspace, environ))


def test_every_list_is_as_launchd_wants_it(lists: Mapping[Path, bytes]) -> None:
    assert len(lists) == len(PARTS) + 1
    for path, data in lists.items():
        # The path of this test holds a `$` on purpose, which no shell will ever see.
        found = [fault for fault in faults(data, file_name=path.name) if '$HOME "q"' not in fault.message]
        assert not found, (path.name, found)
        job = plistlib.loads(data)
        assert job["WorkingDirectory"].endswith('Wörk & <space> $HOME "q" %h')
        assert job["EnvironmentVariables"]["PATH"] == "/opt/tools/bin:/usr/bin:/bin"
        assert "quantum" in job["Label"]  # launchctl list | grep quantum


def without(key: str) -> Callable[[Job], None]:
    return lambda job: job.pop(key)


def put(key: str, value: object) -> Callable[[Job], None]:
    return lambda job: job.update({key: value})


def put_in(key: str, name: str, value: object) -> Callable[[Job], None]:
    return lambda job: job[key].update({name: value})


def arguments(*words: str) -> Callable[[Job], None]:
    return lambda job: job["ProgramArguments"].extend(words)


MUTANTS: Mapping[str, tuple[Callable[[Job], None], str]] = {
    "a key misspelt": (put("RunAtload", True), "unknown:RunAtload"),
    "no label": (without("Label"), "missing:Label"),
    "a label of another file": (put("Label", "com.quantum.other"), "label_and_file"),
    "a label with a space": (put("Label", "com.quantum mcp"), "value:Label"),
    "no program": (without("ProgramArguments"), "missing:ProgramArguments"),
    "one string for arguments": (put("ProgramArguments", "/bin/sh -c x"), "type:ProgramArguments"),
    "a number among arguments": (lambda job: job["ProgramArguments"].append(5), "type:ProgramArguments"),
    "a program of the PATH": (
        lambda job: job["ProgramArguments"].__setitem__(0, "python3"),
        "relative:ProgramArguments",
    ),
    "a program that is not there": (
        lambda job: job["ProgramArguments"].__setitem__(0, "/nowhere/python"),
        "absent:ProgramArguments",
    ),
    "a tilde in an argument": (arguments("~/automation"), "shell:ProgramArguments"),
    "a token in an argument": (arguments(TOKEN), "secret:ProgramArguments"),
    "a tilde in a path": (put("StandardOutPath", "~/out.log"), "relative:StandardOutPath"),
    "a log in no folder": (put("StandardErrorPath", "/nowhere/out.log"), "absent:StandardErrorPath"),
    "a folder that is not there": (put("WorkingDirectory", "/nowhere"), "absent:WorkingDirectory"),
    "a variable that is a number": (put_in("EnvironmentVariables", "LANG", 5), "type:EnvironmentVariables"),
    "$HOME in a variable": (put_in("EnvironmentVariables", "X", "$HOME/bin"), "shell:EnvironmentVariables"),
    "a relative PATH": (put_in("EnvironmentVariables", "PATH", "bin:/bin"), "relative:PATH"),
    "a secret in a variable": (put_in("EnvironmentVariables", "OPENAI_API_KEY", "x"), "secret:EnvironmentVariables"),
    "kept alive whatever happens": (put("KeepAlive", True), "value:KeepAlive"),
    "kept alive by the network": (put("KeepAlive", {"NetworkState": True}), "unknown:KeepAlive.NetworkState"),
    "OnDemand": (put("OnDemand", False), "deprecated:OnDemand"),
    "Disabled": (put("Disabled", True), "deprecated:Disabled"),
    "no throttle": (put("ThrottleInterval", 0), "value:ThrottleInterval"),
    "a throttle that is a text": (put("ThrottleInterval", "5"), "type:ThrottleInterval"),
    "never killed": (put("ExitTimeOut", 0), "value:ExitTimeOut"),
    "kept alive and started by the clock": (put("StartInterval", 60), "excludes:StartInterval"),
    "a 25th hour": (put("StartCalendarInterval", {"Hour": 25}), "value:StartCalendarInterval"),
    "launched only once": (put("LaunchOnlyOnce", True), "excludes:LaunchOnlyOnce"),
    "never started": (lambda job: [job.pop("KeepAlive"), job.pop("RunAtLoad")], "never_started"),  # type: ignore[dict-item]
    "soft above hard": (put_in("SoftResourceLimits", "NumberOfFiles", 100_000), "soft_above_hard:NumberOfFiles"),
    "a limit that there is not": (put_in("HardResourceLimits", "Files", 5), "unknown:HardResourceLimits.Files"),
    "true for a number": (put_in("SoftResourceLimits", "Core", True), "type:SoftResourceLimits.Core"),
    "an octal umask": (put("Umask", 755), "value:Umask"),
    "files for everybody": (put("Umask", 0), "value:Umask"),
    "another user": (put("UserName", "root"), "system_only:UserName"),
    "no keychain by its type": (put("ProcessType", "Background"), "no_keychain:ProcessType"),
    "no keychain by its session": (put("LimitLoadToSessionType", "Background"), "no_keychain:LimitLoadToSessionType"),
    "a session that there is not": (put("LimitLoadToSessionType", "Desktop"), "value:LimitLoadToSessionType"),
    "waits for a debugger": (put("WaitForDebugger", True), "value:WaitForDebugger"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_list_is_refused_for_its_own_fault(name: str, tmp_path: Path) -> None:
    mutate, code = MUTANTS[name]
    workspace = Workspace(tmp_path)
    (tmp_path / "config").mkdir()
    workspace.config_file.write_text("{}")
    workspace.logs.mkdir()
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    for path, data in (
        Launchd(workspace, environ, lambda argv: Answer(0, "", "")).files(values_of(workspace, environ)).items()
    ):
        if "upkeep" in path.name:
            continue
        assert faults(data, file_name=path.name) == []  # the control
        job = plistlib.loads(data)
        mutate(job)
        assert [fault.code for fault in faults(plistlib.dumps(job), file_name=path.name)] == [code]


def test_what_is_no_list_or_not_ours_alone_is_refused() -> None:
    assert [fault.code for fault in faults(b"<plist", file_name="a.plist")] == ["unreadable"]
    assert [fault.code for fault in faults(plistlib.dumps(["a"]), file_name="a.plist")] == ["no_dictionary"]
    job = {"Label": "a", "Program": "/bin/sh", "RunAtLoad": True}
    assert not faults(plistlib.dumps(job), file_name="a.plist")
    assert [fault.code for fault in faults(plistlib.dumps(job), file_name="a.plist", mode=0o666)] == [
        "writable_by_others"
    ]
