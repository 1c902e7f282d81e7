"""A scene with a guarded repository, and the gateway to which its hooks speak."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hooks.gateway import Gateway, gateway, in_arguments
from tests.hooks.scene import Scene
from tests.programs import require


@pytest.fixture
def served() -> Iterator[Gateway]:
    """A gateway that finds every merge good."""
    require("curl")
    with gateway(in_arguments) as played:
        yield played


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A repository that is not guarded yet; names with blanks, quotes, backslashes and more are ordinary ones."""
    return Scene(folder=tmp_path, name='réposi\'tory "with" a \\ name')


@pytest.fixture
def guarded(scene: Scene, served: Gateway) -> Scene:
    """The same, guarded."""
    scene.guard(served.port)
    return scene


@pytest.fixture
def own_home(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What git is told by this machine's user is not looked at."""
    monkeypatch.setenv("HOME", str(scene.home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
