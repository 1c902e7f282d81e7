"""The jobs of launchd, with a `launchctl` that is played: what it is asked, and how it is understood."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from cli.service import launchd_darwin
from cli.service.launchd_darwin import Launchd
from cli.service.parts import PARTS, UPKEEP
from cli.service.ports import Answer
from cli.service.rendering import values_of
from foundation.errors import Unavailable
from foundation.workspace import Workspace

PRINTED = """{target} = {{
\tactive count = 1
\tstate = {state}
\tprogram = /bin/x

\tdomain = gui/501
\truns = {runs}
\tpid = {pid}
\tlast exit code = {ended}
\tspawn type = daemon (3)
}}
"""


class PlayedLaunchctl:
    """Remembers what is loaded, as launchd does, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.loaded: dict[str, tuple[str, int, str]] = {}
        self.disabled: set[str] = set()
        self.lingering = 0

    def __call__(self, argv: Sequence[str]) -> Answer:
        program, verb, *words = argv
        assert program == "launchctl"
        label = Path(words[-1]).name.removesuffix(".plist")
        if verb != "print":
            self.asked.append(f"{verb} {label}")
        return getattr(self, f"_{verb}")(label, words)  # type: ignore[no-any-return]

    def _enable(self, label: str, words: Sequence[str]) -> Answer:
        self.disabled.discard(label)
        return Answer(0, "", "")

    def _disable(self, label: str, words: Sequence[str]) -> Answer:
        self.disabled.add(label)
        return Answer(0, "", "")

    def _bootstrap(self, label: str, words: Sequence[str]) -> Answer:
        if label in self.disabled or label in self.loaded:
            return Answer(5, "", "Bootstrap failed: 5: Input/output error")
        assert words[0] == f"gui/{os.getuid()}" and Path(words[1]).is_file()
        self.loaded[label] = ("running", 4711, "(never exited)")
        return Answer(0, "", "")

    def _bootout(self, label: str, words: Sequence[str]) -> Answer:
        self.lingering = 2  # it says so at once and takes its time
        return Answer(36, "", "Boot-out failed: 36: Operation now in progress")

    def _kickstart(self, label: str, words: Sequence[str]) -> Answer:
        return Answer(0, "", "") if label in self.loaded else Answer(113, "", "Could not find service")

    def _print(self, label: str, words: Sequence[str]) -> Answer:
        if self.lingering:
            self.lingering -= 1
            if not self.lingering:
                self.loaded.pop(label, None)
        if label not in self.loaded:
            return Answer(113, "", f"Could not find service {label}")
        state, pid, ended = self.loaded[label]
        return Answer(0, PRINTED.format(target=words[0], state=state, runs=3, pid=pid, ended=ended), "")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "ws" / "config").mkdir(parents=True)
    made = Workspace(tmp_path / "ws")
    made.config_file.write_text("{}")
    return made


@pytest.fixture
def played() -> PlayedLaunchctl:
    return PlayedLaunchctl()


@pytest.fixture
def manager(workspace: Workspace, played: PlayedLaunchctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launchd:
    """The jobs are written, none is loaded."""
    monkeypatch.setattr(launchd_darwin, "_GONE_PAUSE_SECONDS", 0.01)
    made = Launchd(workspace, {"HOME": str(tmp_path)}, played)
    made.folder.mkdir(parents=True)
    for path, data in made.files(values_of(workspace, {})).items():
        path.write_bytes(data)
    return made


def test_started_stopped_and_started_again(manager: Launchd, played: PlayedLaunchctl, workspace: Workspace) -> None:
    assert {one.state for one in manager.standing()} == {"stopped"}
    manager.start()
    labels = [part.label(workspace) for part in (*PARTS, UPKEEP)]
    assert [word for word in played.asked if word.startswith("bootstrap")] == [f"bootstrap {label}" for label in labels]
    seen = manager.standing()
    assert [(one.state, one.pid, one.restarts) for one in seen] == [("active", 4711, 2)] * len(PARTS)
    manager.start()  # what is loaded is asked to run, and not loaded twice
    assert played.asked.count(f"bootstrap {labels[0]}") == 1 and f"kickstart {labels[0]}" in played.asked

    manager.stop()
    assert not played.loaded and played.disabled == set(labels)
    outs = [word.partition(" ")[2] for word in played.asked if word.startswith("bootout")]
    assert outs == [UPKEEP.label(workspace), *reversed(labels[:-1])]
    manager.start()
    assert set(played.loaded) == set(labels) and not played.disabled


def test_a_job_that_ended_with_0_needs_a_person(
    manager: Launchd, played: PlayedLaunchctl, workspace: Workspace
) -> None:
    manager.start()
    played.loaded[PARTS[0].label(workspace)] = ("not running", 0, "0")
    played.loaded[PARTS[1].label(workspace)] = ("spawn scheduled", 0, "1")
    assert [one.state for one in manager.standing()] == ["failed", "starting", "active", "active"]


def test_what_launchctl_refuses_is_a_sentence(manager: Launchd, played: PlayedLaunchctl) -> None:
    played._enable = lambda label, words: Answer(125, "", "Domain does not support\nspecified action")  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match=r"launchctl enable failed \(125\): Domain does not support specified action"):
        manager.start()


def test_one_that_does_not_go_is_told(
    manager: Launchd, played: PlayedLaunchctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.start()
    monkeypatch.setattr(launchd_darwin, "_GONE_LOOKS", 3)
    played._bootout = lambda label, words: Answer(36, "", "in progress")  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="has not unloaded"):
        manager.stop()
