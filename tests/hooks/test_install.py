"""Putting the guard in and taking it out: hooks that were there are kept, run first, and put back byte for byte."""

from __future__ import annotations

import pytest

from cli.hooks.places import find_place
from cli.hooks.standing import State
from cli.hooks.taking_out import take_out
from foundation.repositories import read_repositories
from tests.hooks.before import BEFORE, RUN_FIRST, all_hooks, said, script, snapshot, state, tracked_path
from tests.hooks.gateway import Gateway
from tests.hooks.scene import Scene

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.mark.parametrize("name", BEFORE)
def test_in_twice_and_out(scene: Scene, served: Gateway, name: str) -> None:
    BEFORE[name](scene)
    untouched = snapshot(scene.top)
    scene.diverge()
    (scene.home / "said").unlink(missing_ok=True)
    before = snapshot(scene.top)
    assert state(scene)[0] is State.ABSENT

    first = scene.guard(served.port)
    once = snapshot(scene.top)
    again = scene.guard(served.port)
    assert (first.changed, again.changed) == (True, False)
    assert snapshot(scene.top) == once
    assert state(scene) == (State.GUARDED, "")
    # Nothing in the work tree was written to.
    assert {path: seen for path, seen in once.items() if not path.startswith(".git")} == {
        path: seen for path, seen in before.items() if not path.startswith(".git")
    }

    scene.git("merge", "topic")
    assert [one["event"] for one in served.checks] == ["post-merge"]
    assert said(scene).count("before: post-merge") == (name in RUN_FIRST)

    place = find_place(scene.top)
    assert take_out(place, scene.workspace, dry_run=True).changed
    assert snapshot(scene.top)[".git/config"] == once[".git/config"]
    assert take_out(place, scene.workspace).changed
    assert not take_out(place, scene.workspace).changed
    left = snapshot(scene.top)
    hooks = {path: seen for path, seen in left.items() if path in untouched or path.startswith(".git/hooks")}
    assert hooks == untouched
    assert state(scene)[0] is State.ABSENT
    assert read_repositories(scene.workspace.repositories_file).by_id == {}


def test_a_hook_of_before_gets_arguments_and_input(guarded: Scene, served: Gateway) -> None:
    take_out(find_place(guarded.top), guarded.workspace)
    all_hooks(guarded)
    guarded.guard(served.port)
    guarded.diverge()
    guarded.git("switch", "-q", "topic")
    (guarded.home / "said").unlink()
    old = guarded.head()
    guarded.git("rebase", "-q", "main")
    told = said(guarded)
    assert "before: post-rewrite.quantum-before rebase\n" in told
    assert f"{old} {guarded.head()}" in told


def test_other_hooks_of_a_tracked_folder_go_on_to_count(scene: Scene) -> None:
    tracked_path(scene)
    put = scene.guard()
    assert put.hooks == find_place(scene.top).beside
    script(scene.top / "tools" / "hooks" / "pre-commit", "#!/bin/sh\necho refused >&2\nexit 1\n")
    assert scene.run("git", "commit", "--allow-empty", "-m", "more").err.endswith("refused\n")
    # One that comes later counts as well.
    script(scene.top / "tools" / "hooks" / "pre-commit", "#!/bin/sh\nexit 0\n")
    script(scene.top / "tools" / "hooks" / "commit-msg", '#!/bin/sh\necho "by a hook" >>"$1"\n')
    scene.git("commit", "-q", "--allow-empty", "-m", "more")
    assert "by a hook" in scene.git("log", "-1", "--format=%B").out


def test_a_hook_that_git_asks_often_is_forwarded_where_it_is(scene: Scene) -> None:
    tracked_path(scene)
    scene.guard()
    assert not (find_place(scene.top).beside / "reference-transaction").exists()
    script(scene.top / "tools" / "hooks" / "reference-transaction", '#!/bin/sh\necho "$1" >>"$HOME/said"\n')
    assert state(scene) == (State.BYPASSED, "Hooks of tools/hooks are not run: reference-transaction.")
    scene.guard()
    assert state(scene) == (State.GUARDED, "")
    scene.git("tag", "one")
    assert "committed" in said(scene)


def test_two_that_run_each_other_come_to_an_end(guarded: Scene, served: Gateway) -> None:
    """As some tools do it: they rename what is there and run it, and then `install` is typed again."""
    hooks = guarded.top / ".git" / "hooks"
    (hooks / "post-merge").rename(hooks / "post-merge.legacy")
    script(hooks / "post-merge", '#!/bin/sh\necho tool >>"$HOME/said"\n"${0%/*}/post-merge.legacy" "$@"\n')
    guarded.guard()
    guarded.diverge()
    guarded.git("merge", "topic")
    assert len(served.checks) == 1
    assert said(guarded) == "tool\n"
