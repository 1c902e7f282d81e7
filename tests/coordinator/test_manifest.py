"""Manifests: what is declared, and every fault as a sentence."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.coordinator.domain.interpreters import interpreter_of, is_script
from services.coordinator.domain.manifest import Manifest, manifest_of_script, manifest_of_toml
from services.coordinator.domain.schedule import Overlap, Schedule
from services.coordinator.domain.task import Effects

DESIGN = """#!/bin/sh
# /// script
# [tool.quantum]
# description = "Build a project"
# kind = "task"            # or "service"
# timeout = "5m"
# memory = "512MB"
# cpu = 1.0                # cores
# max_processes = 64
# effects = "idempotent"   # none | idempotent | once (the default)
# uses = ["cloud:openai"]  # breakers and spend scopes
# schedule = "0 6 * * *"
# retries = 3              # default 0
# env = ["LANG"]           # names let through
# secrets = ["openai"]     # taken from the keychain
# secret_params = ["password"]   # sealed at rest
# ///
echo hello
"""


def block(*lines: str) -> str:
    inside = "".join(f"# {line}\n" for line in lines)
    return f"#!/bin/sh\n# /// script\n# [tool.quantum]\n{inside}# ///\n"


def read(*lines: str) -> Manifest:
    manifest = manifest_of_script(block(*lines))
    assert manifest is not None
    return manifest


def test_the_sample_of_the_design_is_read_whole() -> None:
    manifest = manifest_of_script(DESIGN)
    assert manifest is not None
    assert manifest.faults == ()
    assert manifest.effects is Effects.IDEMPOTENT
    assert (manifest.timeout, manifest.memory_bytes) == (timedelta(minutes=5), 512 << 20)
    assert (manifest.processes_max, manifest.retries) == (64, 3)
    assert (manifest.uses, manifest.env) == (("cloud:openai",), ("LANG",))
    assert manifest.secret_params == ("password",)
    assert manifest.schedule == Schedule(cron="0 6 * * *", written="0 6 * * *")


def test_crlf_changes_nothing() -> None:
    assert manifest_of_script(DESIGN.replace("\n", "\r\n")) == manifest_of_script(DESIGN)


def test_an_empty_table_declares_the_defaults() -> None:
    assert read() == Manifest()
    assert read().effects is Effects.ONCE


@pytest.mark.parametrize(
    "text",
    ["", "#!/bin/sh\necho\n", "# /// script\n# dependencies = []\n# ///\n", "  # /// script\n# ///\n"],
)
def test_no_table_of_ours_declares_nothing(text: str) -> None:
    assert manifest_of_script(text) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('timout = "5m"', "“timout” is not a key of a manifest. Did you mean “timeout”?"),
        ("timeout = 300", 'timeout must be a duration in quotes like "90s"'),
        ('timeout = "5 parsecs"', "is not a duration"),
        ('timeout = "31d"', "between 50 ms and 30 days"),
        ('memory = "1KB"', "at least 1MB"),
        ('memory = "lots"', "is not a size"),
        ('effects = "twice"', "none, idempotent, once"),
        ('kind = "demon"', "task, service"),
        ("retries = -1", "from 0 to 100"),
        ("retries = true", "from 0 to 100"),
        ("max_processes = 0", "from 1"),
        ('uses = "cloud:openai"', "must be a list"),
        ('uses = ["cloud"]', "cannot hold “cloud”"),
        ('env = ["QUANTUM_TOKEN"]', "cannot hold “QUANTUM_TOKEN”"),
        ('required = ["luck"]', "cannot hold “luck”"),
        ('description = ["a"]', "must be a text"),
        ("cpu = 0", "above 0"),
        ("params_as_arguments = 1", "true or false"),
        ("timeout = ", "line 4"),
    ],
)
def test_a_fault_says_what_and_how_it_should_be(line: str, said: str) -> None:
    [fault] = read(line).faults
    assert said in fault


def test_all_faults_are_told_and_the_rest_is_read() -> None:
    manifest = read("retries = -1", 'colour = "red"', 'timeout = "1m"')
    assert len(manifest.faults) == 2
    assert manifest.timeout == timedelta(minutes=1)


def test_a_block_that_is_not_closed_or_comes_twice_is_a_fault() -> None:
    [fault] = (manifest_of_script("#!/bin/sh\n# /// script\n# [tool.quantum]\necho\n") or Manifest()).faults
    assert "line 2 is not closed" in fault
    [fault] = (manifest_of_script(block() + block()) or Manifest()).faults
    assert "two" in fault


def test_a_table_without_its_block_is_a_fault_and_not_a_comment() -> None:
    [fault] = (manifest_of_script('#!/bin/sh\n# [tool.quantum]\n# effects = "none"\n') or Manifest()).faults
    assert "[tool.quantum] in line 2 counts only between" in fault
    assert manifest_of_script("#!/bin/sh\n# A word about [tool.quantum] is no table.\n") is None


def test_a_service_is_idempotent_unless_it_says_otherwise() -> None:
    manifest = read('kind = "service"')
    assert (manifest.faults, manifest.effects) == ((), Effects.IDEMPOTENT)
    assert read('kind = "service"\neffects = "once"').effects is Effects.ONCE
    assert read('kind = "task"').effects is Effects.ONCE


def test_a_schedule_may_be_a_table_with_all_there_is_to_say() -> None:
    line = (
        'schedule = { cron = "@daily", timezone = "Europe/Berlin", overlap = "queue", catch_up = "2h", '
        'projects = ["HabitQuest"], params = { deep = true }, paused = true }'
    )
    manifest = read(line)
    assert manifest.faults == ()
    assert manifest.schedule == Schedule(
        cron="0 0 * * *",
        written="@daily",
        timezone="Europe/Berlin",
        overlap=Overlap.QUEUE,
        catch_up=timedelta(hours=2),
        projects=("HabitQuest",),
        params='{"deep": true}',
        paused=True,
    )
    assert read('schedule = { cron = "0 6 * * *", projects = "git" }').schedule == replace(
        Schedule(cron="0 6 * * *", written="0 6 * * *"), projects=("git",)
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('schedule = "0 25 * * *"', "schedule “0 25 * * *” has “25” where its hour (0-23) should be. Did you mean"),
        ("schedule = 6", 'schedule must be an expression in quotes like "0 6 * * *"'),
        ('schedule = { timezone = "UTC" }', "schedule needs its cron"),
        ('schedule = { cron = "@daily", timezon = "UTC" }', "has no key “timezon”. Did you mean “timezone”?"),
        ('schedule = { cron = "@daily", timezone = "Berlin" }', "schedule “Berlin” is not a time zone"),
        ('schedule = { cron = "@daily", overlap = "Forbid" }', "Did you mean “skip”?"),
        ('schedule = { cron = "@daily", catch_up = "soon" }', "schedule has a catch_up that is none: “soon” is not a"),
        ('schedule = { cron = "@daily", projects = "some" }', 'schedule has projects that are none: write "all"'),
        ('schedule = { cron = "@daily", projects = ["../x"] }', "schedule has projects that are none"),
        (
            'schedule = { cron = "@daily", params = { at = 2027-01-01 } }',
            "schedule has params that are no table of what",
        ),
        ('schedule = { cron = "@daily", paused = "yes" }', "schedule has a paused that is neither true nor false"),
        ('kind = "service"\n# schedule = "@daily"', "schedule is for tasks: a service is kept alive"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_a_sentence(line: str, said: str) -> None:
    [fault] = read(line).faults
    assert said in fault


def test_an_agent_toml_may_name_its_script_and_needs_no_table() -> None:
    bare = manifest_of_toml('script = "go.sh"\neffects = "none"\n')
    assert (bare.script, bare.effects, bare.faults) == ("go.sh", Effects.NONE, ())
    assert manifest_of_toml('[tool.quantum]\nscript = "go.sh"\neffects = "none"\n') == bare
    assert manifest_of_toml('script = "../go.sh"').faults
    assert read('script = "go.sh"').faults


@pytest.mark.parametrize(
    ("name", "head", "executable", "interpreter"),
    [
        ("a.sh", "#!/bin/bash\n", True, ()),
        ("a.sh", "#!/usr/bin/env bash\n", False, ("/usr/bin/env", "bash")),
        ("a.sh", "echo\n", True, ("/bin/sh",)),
        ("a.py", "print()\n", False, ("/usr/bin/env", "python3")),
        ("a.swift", "print()\n", False, ("/usr/bin/env", "swift")),
        # What the system would not understand, it is not asked to run by itself.
        ("a.sh", "  #!/bin/bash\n", True, ("/bin/bash",)),
        ("a.sh", "\n\t#!/usr/bin/env bash\n", True, ("/usr/bin/env", "bash")),
        ("a.sh", "#!/bin/bash\r\n", True, ("/bin/bash",)),
        ("a.sh", "\ufeff#!/bin/bash\n", True, ("/bin/bash",)),
        ("a.py", "\ufeffprint()\r\n", True, ("/usr/bin/env", "python3")),
        ("a.sh", "#!\n", True, ("/bin/sh",)),
        ("a.sh", "# a comment\n#!/bin/bash\n", True, ("/bin/sh",)),
        ("tool", " #!/bin/bash\n", True, ("/bin/bash",)),
    ],
)
def test_a_script_runs_by_its_first_line_or_by_its_suffix(
    name: str, head: str, executable: bool, interpreter: tuple[str, ...]
) -> None:
    assert is_script(name, head, executable=executable)
    assert interpreter_of(name, head, executable=executable) == interpreter


def test_what_is_no_script() -> None:
    assert not is_script("README.md", "#!", executable=True)
    assert not is_script("notes", "#! hello", executable=False)
    assert not is_script("tool", "\x7fELF", executable=True)
