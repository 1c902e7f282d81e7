"""The runbook's own steps: install, look at the hook, run it by hand, install again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hooks.gateway import Gateway
from tests.hooks.scene import Scene


def everything(top: Path) -> dict[str, tuple[bytes, int]]:
    """Every file, git's own ones too, with content and mode."""
    files = [path for path in top.rglob("*") if path.is_file()]
    return {str(path.relative_to(top)): (path.read_bytes(), path.stat().st_mode) for path in files}


def nothing_before(scene: Scene) -> None:
    """As after `git commit`."""


def reset_after_merge(scene: Scene) -> None:
    """The merge was dropped by its owner: to roll it back now would undo what they did."""
    scene.diverge()
    scene.git("-c", "core.hooksPath=/dev/null", "merge", "topic")
    scene.git("reset", "-q", "--hard", "HEAD~1")


def reset_after_fast_forward(scene: Scene) -> None:
    scene.git("switch", "-q", "-c", "topic")
    scene.commit("more")
    scene.git("switch", "-q", "main")
    scene.git("-c", "core.hooksPath=/dev/null", "merge", "topic")
    scene.git("reset", "-q", "--hard", "HEAD~1")


def switched(scene: Scene) -> None:
    scene.diverge()
    scene.git("-c", "core.hooksPath=/dev/null", "merge", "topic")
    scene.git("switch", "-q", "topic")


def conflicting(scene: Scene) -> None:
    scene.diverge()
    scene.git("switch", "-q", "topic")
    scene.commit("both", text="theirs")
    scene.git("switch", "-q", "main")
    scene.commit("both", text="ours")
    assert scene.run("git", "merge", "topic").code == 1


def unborn(scene: Scene) -> None:
    scene.git("switch", "-q", "--orphan", "empty")


CASES = [nothing_before, reset_after_merge, reset_after_fast_forward, switched, conflicting, unborn]


@pytest.mark.parametrize("typed", [(), ("0",), ("1",)], ids=["", "0", "1"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_nothing_to_check_and_nothing_moved(guarded: Scene, served: Gateway, case: object, typed: tuple[str]) -> None:
    assert callable(case)
    case(guarded)
    (guarded.top / "first").write_text("an edit")
    (guarded.top / "untracked").write_text("of mine")
    before = everything(guarded.top)
    for hook in ("post-merge", "post-commit", "post-rewrite"):
        said = guarded.run(f".git/hooks/{hook}", *typed)
        assert (said.code, said.out) == (0, "")
        assert said.err.startswith("quantum: nothing to check") or (hook != "post-merge" and said.err == "")
    assert served.asked == []
    assert everything(guarded.top) == before


def test_after_a_merge_the_same_is_sent(guarded: Scene, served: Gateway) -> None:
    guarded.diverge()
    guarded.git("-c", "core.hooksPath=/dev/null", "merge", "topic")
    assert guarded.run(".git/hooks/post-merge").code == 0
    assert [one["new"] for one in served.checks] == [guarded.head()]


@pytest.mark.parametrize("place", [".git/hooks", ".git", "sub"])
def test_from_wherever_it_is_typed(guarded: Scene, served: Gateway, place: str) -> None:
    (guarded.top / "sub").mkdir()
    guarded.diverge()
    guarded.git("-c", "core.hooksPath=/dev/null", "merge", "topic")
    hook = guarded.top / ".git" / "hooks" / "post-merge"
    typed = ("sh", "post-merge") if place == ".git/hooks" else (str(hook),)
    assert guarded.run(*typed, cwd=guarded.top / place).code == 0
    assert [one["folder"] for one in served.checks] == [str(guarded.top)]


def test_outside_of_any_repository(guarded: Scene, served: Gateway) -> None:
    said = guarded.run(str(guarded.top / ".git" / "hooks" / "post-merge"), "0", cwd=guarded.folder)
    assert (said.code, said.err) == (0, "quantum: nothing to check: git finds no repository here.\n")
