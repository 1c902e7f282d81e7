"""What bypasses the guard is seen and mended by installing again; which repository is which, and which cannot be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.hooks.places import find_place
from cli.hooks.standing import State
from cli.hooks.taking_out import take_out
from foundation.errors import Conflict, Denied, Invalid, NotFound
from foundation.repositories import read_repositories
from tests.hooks.before import SAYS, global_path, no_folder, one_hook, script, state, tracked_path
from tests.hooks.gateway import Gateway
from tests.hooks.scene import Scene

pytestmark = pytest.mark.usefixtures("own_home")


# What may come between


def replaced(scene: Scene) -> str:
    script(scene.top / ".git" / "hooks" / "post-merge")
    return "The hook post-merge was replaced by another."


def removed(scene: Scene) -> str:
    (scene.top / ".git" / "hooks" / "post-commit").unlink()
    return "The hook post-commit is not there."


def made_plain(scene: Scene) -> str:
    (scene.top / ".git" / "hooks" / "post-merge").chmod(0o644)
    return "The hook post-merge is not executable, so that git passes it over."


def edited(scene: Scene) -> str:
    with (scene.top / ".git" / "hooks" / "post-rewrite").open("a") as file:
        file.write("# mine\n")
    return "The hook post-rewrite is of another version."


def without_shared_script(scene: Scene) -> str:
    (scene.top / ".git" / "hooks" / "quantum-merge-guard.sh").unlink()
    return "quantum-merge-guard.sh is not there."


def path_changed(scene: Scene) -> str:
    tracked_path(scene)
    return "core.hooksPath names tools/hooks, where the guard is not."


def path_changed_for_all(scene: Scene) -> str:
    global_path(scene)
    return "core.hooksPath names ~/my hooks, where the guard is not."


def without_identifier(scene: Scene) -> str:
    scene.git("config", "--unset", "quantum.repository")
    return "The repository has no identifier (git config quantum.repository)."


def forgotten(scene: Scene) -> str:
    scene.workspace.repositories_file.unlink()
    found = scene.git("config", "quantum.repository").out.strip()
    return f"This workspace does not know its identifier {found}."


def moved_workspace(scene: Scene) -> str:
    scene.git("config", "quantum.workspace", "/somewhere")
    return "Its hooks speak to another workspace, /somewhere."


BETWEEN = (
    replaced,
    removed,
    made_plain,
    edited,
    without_shared_script,
    path_changed,
    path_changed_for_all,
    without_identifier,
    forgotten,
    moved_workspace,
)


@pytest.mark.parametrize("case", BETWEEN, ids=lambda case: case.__name__)
def test_what_bypasses_it_is_seen_and_mended_by_installing_again(
    guarded: Scene, served: Gateway, case: Callable[[Scene], str]
) -> None:
    sentence = case(guarded)
    assert state(guarded) == (State.BYPASSED, sentence)
    guarded.guard(served.port)
    assert state(guarded) == (State.GUARDED, "")
    guarded.diverge()
    guarded.git("merge", "topic")
    assert [one["event"] for one in served.checks] == ["post-merge"]


def test_of_two_that_would_be_kept_none_is_lost(guarded: Scene) -> None:
    place = find_place(guarded.top)
    take_out(place, guarded.workspace)
    one_hook(guarded)
    guarded.guard()
    other = script(guarded.top / ".git" / "hooks" / "post-merge", "#!/bin/sh\n")
    with pytest.raises(Conflict, match="was replaced since the guard was put in"):
        guarded.guard()
    assert other.read_text() == "#!/bin/sh\n"
    out = take_out(place, guarded.workspace)
    kept = other.with_name("post-merge.quantum-before")
    assert (out.left, other.read_text(), kept.read_text()) == ((kept,), "#!/bin/sh\n", SAYS)


# Which repository it is


def test_a_linked_work_tree_is_the_same_repository(guarded: Scene) -> None:
    guarded.diverge()
    linked = guarded.folder / "linked"
    guarded.git("worktree", "add", "-q", str(linked), "topic")
    listed = read_repositories(guarded.workspace.repositories_file)
    assert not guarded.guard(top=linked).changed
    assert read_repositories(guarded.workspace.repositories_file) == listed
    assert [one.folder for one in listed.by_id.values()] == [guarded.top]


def test_a_copy_is_another_repository_and_one_that_moved_is_the_same(guarded: Scene) -> None:
    first = find_place(guarded.top)
    found = guarded.guard().id
    copy = guarded.folder / "copy"
    guarded.run("cp", "-a", str(guarded.top), str(copy))
    assert "is that of" in state(guarded, copy)[1]
    other = guarded.guard(top=copy)
    assert other.id != found
    moved = guarded.folder / "moved"
    first.top.rename(moved)
    assert guarded.guard(top=moved).id == found
    listed = read_repositories(guarded.workspace.repositories_file).by_id
    assert {name: one.folder for name, one in listed.items()} == {found: moved, other.id: copy}


def test_another_workspace_keeps_what_it_guards(guarded: Scene, tmp_path: Path) -> None:
    mine = guarded.git("config", "quantum.workspace").out.strip()
    other = tmp_path / "other workspace"
    guarded.workspace.root.rename(other)
    guarded.git("config", "quantum.workspace", str(other))
    with pytest.raises(Conflict, match="is guarded by the workspace"):
        guarded.guard()
    # Once that one is gone, it may be had.
    other.rename(tmp_path / "gone")
    guarded.guard()
    assert guarded.git("config", "quantum.workspace").out.strip() == mine


def test_what_cannot_be_guarded_says_why(scene: Scene, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    scene.git("clone", "-q", "--bare", str(scene.top), str(bare))
    with pytest.raises(Conflict, match="has no work tree"):
        find_place(bare)
    with pytest.raises(NotFound, match="is in no git repository"):
        find_place(tmp_path)
    scene.git("config", "extensions.worktreeConfig", "true")
    scene.git("config", "--worktree", "core.hooksPath", "tools")
    with pytest.raises(Conflict, match="for this work tree alone"):
        scene.guard()


def test_a_name_that_cannot_be_written_down_is_refused_before_anything_is_done(scene: Scene) -> None:
    odd = Path(os.fsdecode(os.fsencode(scene.folder) + b"/b\xff"))
    scene.git("init", "-q", str(odd))
    with pytest.raises(Invalid, match="is no UTF-8"):
        scene.guard(top=odd)
    assert not (odd / ".git" / "hooks" / "post-merge").exists()


def test_a_folder_that_cannot_be_written_is_a_sentence(scene: Scene) -> None:
    if os.geteuid() == 0:
        # The administrator may write anywhere but where a file is in the way.
        no_folder(scene)
        (scene.top / ".git" / "hooks").write_text("a file")
    else:
        (scene.top / ".git" / "hooks").chmod(0o500)
    with pytest.raises(Denied, match="cannot be written"):
        scene.guard()


def test_an_environment_of_a_hook_leads_nowhere_else(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    other = scene.folder / "other"
    scene.git("init", "-q", str(other))
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.hooksPath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "/nowhere")
    assert scene.guard().hooks == scene.top / ".git" / "hooks"
