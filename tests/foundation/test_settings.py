"""Settings: who goes before whom, and every fault at once."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from foundation.errors import Internal, Invalid
from foundation.known_settings import ALIASES, KNOWN, NOT_SETTINGS, ORDERED, Type
from foundation.settings import Explained, explain, load
from foundation.workspace import Workspace

RUNBOOK_SAMPLE = """\
# config/agent_config.json
{
  "max_concurrent_agents": 10,
  "cpu_limit": 80,
  "memory_limit": "2GB",
  "timeout_seconds": 300,
}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunnerSettings:
    """What a runner might want to know."""

    max_concurrent_agents: int
    memory_limit: int
    timeout_seconds: float
    gateway_host: str


def workspace_with(tmp_path: Path, text: str) -> Workspace:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "agent_config.json").write_text(text)
    return Workspace(tmp_path)


def faults(
    workspace: Workspace | None = None, *, environ: dict[str, str] | None = None, **flags: str
) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        load(RunnerSettings, flags=flags, environ=environ or {}, workspace=workspace)
    assert caught.value.code == "bad_settings"
    return {fault.path: fault.message for fault in caught.value.fields}


def test_without_anything_the_defaults_hold() -> None:
    assert load(RunnerSettings, environ={}) == RunnerSettings(
        max_concurrent_agents=10, memory_limit=2 * 1024**3, timeout_seconds=300.0, gateway_host="127.0.0.1"
    )


def test_the_runbooks_sample_loads_as_printed(tmp_path: Path) -> None:
    workspace = workspace_with(tmp_path, RUNBOOK_SAMPLE)
    wanted = ("max_concurrent_agents", "cpu_limit", "memory_limit", "timeout_seconds")
    assert [one for one in explain(environ={}, workspace=workspace) if one.name in wanted] == [
        Explained("max_concurrent_agents", 10, "config/agent_config.json line 3"),
        Explained("cpu_limit", 80, "config/agent_config.json line 4"),
        Explained("memory_limit", "2GB", "config/agent_config.json line 5"),
        Explained("timeout_seconds", 300.0, "config/agent_config.json line 6"),
    ]


def test_a_flag_before_the_environment_before_the_file_before_the_default(tmp_path: Path) -> None:
    workspace = workspace_with(tmp_path, '{"timeout_seconds": 1, "memory_limit": "1GB", "gateway_host": "::1"}')
    environ = {"QUANTUM_TIMEOUT_SECONDS": "2", "QUANTUM_MEMORY_LIMIT": "512MB"}
    flags = {"timeout_seconds": "3"}
    assert load(RunnerSettings, flags=flags, environ=environ, workspace=workspace) == RunnerSettings(
        max_concurrent_agents=10, memory_limit=512 * 1024**2, timeout_seconds=3.0, gateway_host="::1"
    )
    origins = {name: origin for name, _, origin in explain(flags=flags, environ=environ, workspace=workspace)}
    assert origins["timeout_seconds"] == "flag --timeout-seconds"
    assert origins["memory_limit"] == "QUANTUM_MEMORY_LIMIT"
    assert origins["gateway_host"] == "config/agent_config.json line 1"
    assert origins["max_concurrent_agents"] == "default"


def test_the_runbooks_own_variables_are_heard_and_ours_go_before_them() -> None:
    environ = {
        "MCP_CONNECTION_POOL": "6",
        "HTTP_TIMEOUT": "31",
        "MAX_RETRIES": "4",
        "QUANTUM_MAX_RETRIES": "2",
    }
    got = {name: (value, origin) for name, value, origin in explain(environ=environ)}
    assert got["connection_pool"] == (6, "MCP_CONNECTION_POOL")
    assert got["http_timeout_seconds"] == (31.0, "HTTP_TIMEOUT")
    assert got["max_retries"] == (2, "QUANTUM_MAX_RETRIES")


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    workspace = workspace_with(
        tmp_path, '{"max_concurent_agents": 3,\n"cpu_limit": "lots",\n"memory_limit": true,\n"prefetch": 5}'
    )
    found = faults(
        workspace,
        environ={"QUANTUM_GATEWAY_PORT": "70000", "HTTP_TIMEOUT": "soon", "QUANTUM_LEASE_SECOND": "3"},
        timeout_seconds="nan",
        no_such_thing_at_all="1",
    )
    assert found == {
        "--timeout-seconds": "“nan” is not a number.",
        "--no-such-thing-at-all": "there is no such setting.",
        "QUANTUM_GATEWAY_PORT": "70000 is more than the most, 65535.",
        "QUANTUM_LEASE_SECOND": "there is no such setting; did you mean QUANTUM_LEASE_SECONDS?",
        "HTTP_TIMEOUT": "“soon” is not a number.",
        "config/agent_config.json line 1: max_concurent_agents": (
            "there is no such setting; did you mean max_concurrent_agents?"
        ),
        "config/agent_config.json line 2: cpu_limit": "“lots” is not a whole number.",
        "config/agent_config.json line 3: memory_limit": '“True” is not a size like "2GB".',
    }


def test_an_overridden_slip_is_a_fault_too(tmp_path: Path) -> None:
    workspace = workspace_with(tmp_path, '{"timeout_seconds": "long"}')
    assert list(faults(workspace, timeout_seconds="3")) == ["config/agent_config.json line 1: timeout_seconds"]


def test_bounds_are_told_as_one_would_write_them() -> None:
    assert faults(memory_limit="3", cpu_limit="0", retention_days="0.000001") == {
        "--memory-limit": "3B is less than the least, 1MB.",
        "--cpu-limit": "0 is less than the least, 1.",
        "--retention-days": "1e-06 is less than the least, 1e-05.",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", 'the file must hold one mapping, like {"max_concurrent_agents": 10}.'),
        ("10", 'the file must hold one mapping, like {"max_concurrent_agents": 10}.'),
        ('{"prefetch": 5,\n"prefetch": 6}', "it stands on line 1 already."),
        ('{"prefetch": 5\n"cpu_limit": 6}', "this is neither JSON nor YAML"),
        ("cpu_limit: !!python/object:os.system x", "this is neither JSON nor YAML"),
        ("cpu_limit: 2026-13-45", "this is neither JSON nor YAML"),
        ("cpu_limit: \x07", "this is neither JSON nor YAML"),
        ("cpu_limit: {a: 1}", "“{'a': 1}” is not a whole number."),
        ("cpu_limit: null", "“None” is not a whole number."),
        ("cpu_limit: 80.5", "“80.5” is not a whole number."),
        ("cpu_limit: '80'", "“80” is not a whole number."),
        ("timeout_seconds: .inf", "“inf” is not a number."),
        (f"timeout_seconds: 1{'0' * 400}", "is not a number."),
        ("gateway_host: 127", "“127” is not a text."),
    ],
)
def test_a_file_that_is_not_right(tmp_path: Path, text: str, message: str) -> None:
    (path, said), *more = faults(workspace_with(tmp_path, text)).items()
    assert path.startswith("config/agent_config.json")
    assert message in said
    assert not more


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    workspace = workspace_with(tmp_path, "")
    load(RunnerSettings, environ={}, workspace=workspace)  # empty: nothing is set
    workspace.config_file.write_bytes(b"\xff\xfe\xff")
    assert "cannot be read" in faults(workspace)["config/agent_config.json"]
    workspace.config_file.unlink()
    load(RunnerSettings, environ={}, workspace=workspace)


def test_yaml_proper_is_read_too(tmp_path: Path) -> None:
    workspace = workspace_with(tmp_path, "# a comment\ntimeout_seconds: 5  # short\nmemory_limit: 1048576\n")
    settings = load(RunnerSettings, environ={}, workspace=workspace)
    assert (settings.timeout_seconds, settings.memory_limit) == (5.0, 1024**2)


def test_variables_of_ours_that_are_no_settings_and_strange_ones_are_let_be() -> None:
    environ = dict.fromkeys(NOT_SETTINGS, "x") | {
        "QUANTUM_ESPRESSO_HOME": "/opt",
        "QUANTUM_CPU_LIMIT": "",
        "HOME": "/",
    }
    assert {origin for _, _, origin in explain(environ=environ)} == {"default"}


def test_settings_that_break_a_rule_together() -> None:
    found = faults(environ={"QUANTUM_LEASE_SECONDS": "4"})
    assert found == {
        "heartbeat_seconds": (
            "5 is more than 0.5 × lease_seconds, 2"
            " (heartbeat_seconds from default, lease_seconds from QUANTUM_LEASE_SECONDS)."
        )
    }
    load(RunnerSettings, environ={"QUANTUM_LEASE_SECONDS": "4", "QUANTUM_HEARTBEAT_SECONDS": "1"})


def test_a_burn_rate_that_no_failing_agent_could_pass_is_refused() -> None:
    """Every one at once, with the figure that it would have to be below."""
    found = faults(budget_slo_agent="0.9", budget_slo_class="0.5", budget_burn_1d="5")
    assert found.keys() == {"budget_burn_1h", "budget_burn_6h", "budget_burn_1d"}
    assert found["budget_burn_1d"] == (
        "5 is never passed: with budget_slo_class 0.5 a budget burns 2 times too fast at most, when everything fails "
        "(budget_burn_1d from flag --budget-burn-1d, budget_slo_class from flag --budget-slo-class)."
    )
    assert faults(budget_burn_1h="20").keys() == {"budget_burn_1h"}, "exactly 1 ÷ 0.05 is not passed either"
    load(RunnerSettings, flags={"budget_burn_1h": "19.9"}, environ={})


def test_a_settings_class_that_the_table_does_not_back_is_a_fault_of_ours() -> None:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Strange:
        max_concurrent_agent: int

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Wrong:
        timeout_seconds: int

    with pytest.raises(Internal, match="known_settings"):
        load(Strange, environ={})
    with pytest.raises(Internal, match="annotated float"):
        load(Wrong, environ={})


def test_the_table_holds_together() -> None:
    for name, setting in KNOWN.items():
        assert setting.doc, name
        wanted = {Type.NUMBER: float, Type.TEXT: str, Type.FLAG: bool}.get(setting.type, int)
        assert type(setting.default) is wanted, name
        if setting.minimum is not None and setting.maximum is not None:
            assert not isinstance(setting.default, str)
            assert setting.minimum <= setting.default <= setting.maximum, name
        assert not setting.choices or setting.default in setting.choices, name
    assert set(ALIASES.values()) <= set(KNOWN)
    assert {name for smaller, _, larger in ORDERED for name in (smaller, larger)} <= set(KNOWN)
    assert not NOT_SETTINGS & {"QUANTUM_" + name.upper() for name in KNOWN}
    assert explain(environ={})  # and the defaults break no rule


def test_importing_settings_does_not_import_yaml() -> None:
    check = "import sys, foundation.settings; sys.exit('yaml' in sys.modules or 'grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_there_is_always_an_overlap_in_which_services_take_their_new_token_up() -> None:
    """They look for it three times within each: without one they would do nothing else, and be locked out."""

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Overlap:
        token_overlap_seconds: float

    with pytest.raises(Invalid):
        load(Overlap, flags={"token_overlap_seconds": "0"}, environ={}, workspace=None)
