"""Whole systems for the acceptance tests, each in a workspace of its own; every one is ended by pid."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.system import System

MakeSystem = Callable[..., System]


@pytest.fixture
def make_system(request: pytest.FixtureRequest) -> Iterator[MakeSystem]:
    """Makes empty workspaces; keyword arguments are settings: `make_system(lease_seconds=4)`."""
    made: list[System] = []

    def make(**settings: object) -> System:
        made.append(System.make(settings))
        return made[-1]

    yield make
    _end(made, request)


@pytest.fixture
def workspace(make_system: MakeSystem) -> System:
    """A workspace that is initialised, with nothing running."""
    return make_system().init()


@pytest.fixture
def system(workspace: System) -> System:
    """A workspace with everything up and healthy."""
    return workspace.up()


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest) -> Iterator[System]:
    """A system that all tests of a module share, for those that leave nothing behind for the next one."""
    yield from one_for_all(request)


def one_for_all(request: pytest.FixtureRequest, **settings: object) -> Iterator[System]:
    """What `shared` does, for a module that wants settings."""
    system = System.make(settings)
    try:
        yield system.init().up()
    finally:
        _end([system], request)


def _end(systems: list[System], request: pytest.FixtureRequest) -> None:
    if request.session.testsfailed:
        for system in systems:
            print(system.words())
    for system in systems:
        system.end()
