"""The lock files agree with pyproject.toml, pin everything by hash, and name no place to download from."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.repository.tracked import ROOT

LOCKS = ("requirements.txt", "requirements-dev.txt")
_PIN = re.compile(r"^(?P<name>[a-z0-9._-]+)==(?P<version>[^ ;\\]+)", re.MULTILINE)


def pins(lock: str) -> dict[str, set[str]]:
    """Return the versions by canonical name: more than one where systems differ."""
    versions: dict[str, set[str]] = {}
    for match in _PIN.finditer((ROOT / lock).read_text()):
        versions.setdefault(canonicalize_name(match["name"]), set()).add(match["version"])
    return versions


def declared(*extras: str) -> list[Requirement]:
    """Return the requirements of the project itself and of some of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = list(project["dependencies"])
    for extra in extras:
        texts += project["optional-dependencies"][extra]
    return [requirement for text in texts if (requirement := Requirement(text)).name != project["name"]]


@pytest.mark.parametrize(
    ("lock", "extras"), [("requirements.txt", ("maintenance",)), ("requirements-dev.txt", ("maintenance", "dev"))]
)
def test_everything_declared_is_locked_within_its_bounds(lock: str, extras: tuple[str, ...]) -> None:
    locked = pins(lock)
    wrong = [
        str(requirement)
        for requirement in declared(*extras)
        if not any(map(requirement.specifier.contains, locked.get(canonicalize_name(requirement.name), ())))
    ]
    assert not wrong, f"{lock} lags behind pyproject.toml, run `make lock`: {wrong}"


def test_both_locks_choose_the_same_versions() -> None:
    core, full = pins("requirements.txt"), pins("requirements-dev.txt")
    assert {name: versions for name, versions in core.items() if full.get(name) != versions} == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == sum(map(len, pins(lock).values()))
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"https?:|--index|--extra-index|--find-links|file:", text) == []


def test_stubs_are_generated_with_the_oldest_grpcio_declared() -> None:
    bounds = {requirement.name: str(requirement.specifier) for requirement in declared("dev")}
    oldest = bounds["grpcio"].removeprefix(">=")
    assert bounds["grpcio-tools"] == f"=={oldest}"
