"""Who else starts the same scripts, and the line that would end that."""

from __future__ import annotations

import os
import plistlib
import subprocess
import sys
from pathlib import Path

import pytest

from cli.adopting.block import agent_toml, with_block
from cli.adopting.restarters import Machine, Restarter, Running, running_now
from foundation.process_identity import identity_of
from tests.waiting import eventually


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script with a neighbour whose name only begins the same."""
    folder = tmp_path / "my scripts"
    folder.mkdir()
    for name in ("agent_build.sh", "agent_build.sh.log", "agent_build2.sh"):
        (folder / name).write_text("#!/bin/sh\n")
    return folder / "agent_build.sh"


def found(machine: Machine, script: Path) -> list[Restarter]:
    """What starts it on that machine."""
    return list(machine.find([script]))


def machine(tmp_path: Path, crontab: str = "", processes: tuple[Running, ...] = ()) -> Machine:
    """A machine of a few files."""
    return Machine(home=tmp_path / "home", etc=tmp_path / "etc", crontab=lambda: crontab, processes=lambda: processes)


def put(path: Path, text: str | bytes) -> Path:
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_crontab_names_it_in_many_ways(script: Path, tmp_path: Path) -> None:
    folder, quoted = script.parent, str(script).replace(" ", "\\ ")
    lines = {
        f"0 6 * * * {quoted} --all": "0 6 * * *",
        f"@daily '{script}'": "0 0 * * *",
        f'*/5 * * * 1-5 cd "{folder}" && ./agent_build.sh >>x.log 2>&1': "*/5 * * * 1-5",
        f"@reboot bash '{script}'": "",
        f"# 1 1 * * * '{script}'": None,
        f"2 2 * * * '{folder}/agent_build2.sh'": None,
        f"3 3 * * * cat '{script}.log'": None,
        "4 4 * * * /elsewhere/agent_build.sh": None,
        f"5 5 * * * ls '{folder}'": None,
    }
    for line, schedule in lines.items():
        restarters = found(machine(tmp_path, crontab=f"MAILTO=me\n{line}\n"), script)
        assert [one.schedule for one in restarters] == ([] if schedule is None else [schedule]), line
        assert all("crontab -l | grep -vxF" in one.switch_off for one in restarters)


def test_the_line_for_the_crontab_takes_out_that_line_and_no_other(script: Path, tmp_path: Path) -> None:
    crontab = f"MAILTO=me\n0 6 * * * '{script}' # it's\n1 6 * * * '{script}' # it's not\n"
    [first, _] = found(machine(tmp_path, crontab=crontab), script)
    bin_folder = tmp_path / "bin"
    kept = put(tmp_path / "cron.txt", crontab)
    fake = put(bin_folder / "crontab", f'#!/bin/sh\nif [ "$1" = -l ]; then cat {kept}; else cat >{kept}.new; fi\n')
    fake.chmod(0o755)
    environ = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", first.switch_off], env=environ, check=True)
    assert Path(f"{kept}.new").read_text() == f"MAILTO=me\n1 6 * * * '{script}' # it's not\n"


def test_files_of_cron_launchd_systemd_and_supervisors(script: Path, tmp_path: Path) -> None:
    home, etc = tmp_path / "home", tmp_path / "etc"
    put(etc / "cron.d" / "agents", f"# a comment\n7 * * * * root '{script}'\n")
    put(etc / "cron.daily" / "agents", f"#!/bin/sh\n'{script}'\n")
    agent = {
        "Label": "x",
        "ProgramArguments": ["/bin/bash", str(script)],
        "StartCalendarInterval": {"Hour": 6, "Minute": 30},
    }
    put(home / "Library" / "LaunchAgents" / "x.plist", plistlib.dumps(agent))
    put(home / "Library" / "LaunchAgents" / "damaged.plist", b"<plist><dict>")
    units = home / ".config" / "systemd" / "user"
    put(units / "a.service", f'[Service]\nExecStart="{script}"\nRestart=always\n')
    put(units / "b.service", f'[Service]\n# ExecStart="{script}"\nExecStart=/bin/true\n')
    put(units / "c.service", f'[Service]\nExecStart="{script}"\n')
    put(units / "c.timer", "[Timer]\nOnCalendar=daily\n")
    put(
        etc / "supervisor" / "conf.d" / "x.conf",
        f"[program:build]\ncommand='{script}'\n[program:other]\ncommand=/bin/true\n",
    )
    put(home / ".pm2" / "dump.pm2", f'[{{"pm_exec_path": "{script}"}}]')
    put(
        etc / "monitrc",
        f'check process build with pidfile /x\n  start program = "{script}"\ncheck process y with pidfile /y\n',
    )
    here = machine(tmp_path)
    said = {
        (one.kind, Path(one.where.split(",")[0]).name): (one.switch_off, one.schedule) for one in found(here, script)
    }
    assert set(said) == {
        ("cron", "agents"), ("launchd", "x.plist"), ("systemd", "a.service"), ("systemd", "c.service"),
        ("supervisord", "x.conf"), ("pm2", "dump.pm2"), ("monit", "monitrc"),
    }  # fmt: skip
    assert (
        said["launchd", "x.plist"][0].startswith("launchctl bootout gui/$(id -u) ")
        and said["launchd", "x.plist"][1] == "30 6 * * *"
    )
    assert said["systemd", "c.service"][0] == "systemctl --user disable --now c.timer"
    assert said["supervisord", "x.conf"][0] == "supervisorctl stop build"
    assert said["monit", "monitrc"][0] == "monit unmonitor build"
    assert [fault for fault in here.faults if "damaged.plist" in fault]


def start(script: Path, neighbour: Path) -> list[subprocess.Popen[bytes]]:
    """The script, a neighbour of nearly its name, one of Quantum's own tasks, and one that only names its folder."""
    return [
        subprocess.Popen(["sh", "./agent_build.sh"], cwd=script.parent, stdin=subprocess.PIPE),
        subprocess.Popen(["sh", str(neighbour)], stdin=subprocess.PIPE),
        subprocess.Popen(["sh", str(script)], stdin=subprocess.PIPE, env={**os.environ, "QUANTUM_TASK_ID": "ours"}),
        subprocess.Popen([sys.executable, "-c", "input()", str(script.parent)], stdin=subprocess.PIPE),
    ]


async def test_a_process_that_runs_it_now_is_found_by_what_it_is(script: Path, tmp_path: Path) -> None:
    script.write_text("#!/bin/sh\nread line\n")
    neighbour = script.with_name("agent_build2.sh")
    started = start(script, neighbour)
    try:
        here = Machine(home=tmp_path, etc=tmp_path, crontab=lambda: "", processes=running_now)
        restarters = await eventually(lambda: found(here, script), "the process that runs it")
        assert [one.switch_off for one in restarters] == [f"kill {started[0].pid}"]
        assert identity_of(started[0].pid) in restarters[0].where
    finally:
        for one in started:
            one.communicate(b"\n")


def test_nothing_that_another_starter_says_becomes_code(script: Path, tmp_path: Path) -> None:
    agent = {
        "ProgramArguments": [str(script)],
        "StartCalendarInterval": {"Hour": "6\ntouch /tmp/never\x85touch /tmp/never\u2028touch /tmp/never"},
    }
    put(
        tmp_path / "home" / "Library" / "LaunchAgents" / "x\ntouch y.plist",
        plistlib.dumps(agent, fmt=plistlib.FMT_BINARY),
    )
    [restarter] = found(machine(tmp_path), script)
    remark = f'schedule = "{restarter.schedule}"  # {restarter.where}'
    assert "\ntouch" in remark
    after = with_block(b"#!/bin/sh\necho 1\n", {"description": "x"}, [remark])
    assert after is not None
    assert [line for line in after.splitlines() if not line.startswith(b"#")] == [b"echo 1"]
    assert [line for line in agent_toml({"script": "x"}, [remark]).splitlines() if line[:1] != "#"] == ['script = "x"']
