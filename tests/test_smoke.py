"""A quick look that the installation is whole; starts nothing and needs nothing that runs."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from services.coordinator.domain.manifest import manifest_of_script

pytestmark = pytest.mark.smoke

ROOT = Path(__file__).parents[1]
PACKAGES = ("foundation", "merge_guard", "clients", "services", "gateway", "cli", "protos")
AGENTS = sorted(path for path in (ROOT / "agents").iterdir() if path.suffix in (".py", ".sh"))
ELSEWHERE = {"darwin": "_linux", "linux": "_darwin"}


def modules() -> Iterator[str]:
    """Yield every module of ours but the wiring, which starts things, and what belongs to another system."""
    for package in PACKAGES:
        yield package
        folder = str(ROOT / package)
        for found in pkgutil.walk_packages([folder], prefix=f"{package}."):
            name = found.name
            if not name.endswith(("__main__", ELSEWHERE.get(sys.platform, "_nowhere"))):
                yield name


def test_smoke_every_module_can_be_imported() -> None:
    failed = {}
    for name in modules():
        try:
            importlib.import_module(name)
        except ImportError as error:
            failed[name] = str(error)
    assert not failed


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: path.name)
def test_smoke_every_agent_that_comes_with_it_is_declared(path: Path) -> None:
    manifest = manifest_of_script(path.read_text(encoding="utf-8"))
    assert manifest is not None, f"{path.name} has no manifest"
    assert manifest.faults == ()
    assert manifest.description
    assert path.stat().st_mode & 0o100, f"{path.name} is not executable"


def test_smoke_the_sample_configuration_loads() -> None:
    settings = yaml.safe_load((ROOT / "config" / "agent_config.json").read_text())
    assert settings == {
        "max_concurrent_agents": 10,
        "cpu_limit": 80,
        "memory_limit": "2GB",
        "timeout_seconds": 300,
    }


def test_smoke_the_versions_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
