"""Putting the guard in and taking it out: hooks that were there are kept, run first, and put back byte for byte."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.hooks.places import find_place
from cli.hooks.scripts import EVENTS
from cli.hooks.standing import State, standing
from cli.hooks.taking_out import take_out
from cli.hooks.targets import Target
from foundation.errors import Conflict, Denied, NotFound
from foundation.repositories import read_repositories
from tests.hooks.gateway import Gateway
from tests.hooks.scene import Scene

SAYS = '#!/bin/sh\necho "before: ${0##*/} $*" >>"$HOME/said"\ncat >>"$HOME/said"\nexit 3\n'


def snapshot(top: Path) -> dict[str, tuple[str, int]]:
    """Hooks and configuration: content or target, and mode."""
    found = {}
    folders = [top / ".git", top]
    for path in sorted({path for folder in folders for path in folder.rglob("*")}):
        relative = path.relative_to(top)
        if relative.parts[0] == ".git" and relative.parts[1:2] not in (("hooks",), ("config",)):
            continue
        if path.is_symlink():
            found[str(relative)] = (os.readlink(path), 0)
        elif path.is_file():
            found[str(relative)] = (path.read_text(), path.stat().st_mode)
    return found


def state(scene: Scene, top: Path | None = None) -> tuple[State, str]:
    """How the repository stands, and why."""
    place = find_place(top or scene.top)
    found = standing(Target(folder=place.top, project="", place=place), scene.workspace)
    assert bool(found.remedy) == (found.state is not State.GUARDED)
    return found.state, found.reason


def said(scene: Scene) -> str:
    """What the hooks of before have said."""
    path = scene.home / "said"
    return path.read_text() if path.exists() else ""


def script(path: Path, text: str = SAYS, mode: int = 0o755) -> Path:
    """Write a hook."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


# What may be there before


def bare_folder(scene: Scene) -> None:
    for path in (scene.top / ".git" / "hooks").iterdir():
        path.unlink()


def no_folder(scene: Scene) -> None:
    bare_folder(scene)
    (scene.top / ".git" / "hooks").rmdir()


def one_hook(scene: Scene) -> None:
    script(scene.top / ".git" / "hooks" / "post-merge", mode=0o751)


def all_hooks(scene: Scene) -> None:
    for name in EVENTS:
        script(scene.top / ".git" / "hooks" / name)


def not_executable(scene: Scene) -> None:
    script(scene.top / ".git" / "hooks" / "post-merge", mode=0o644)


def link(scene: Scene) -> None:
    script(scene.top / "scripts" / "hook.sh")
    bare_folder(scene)
    (scene.top / ".git" / "hooks" / "post-merge").symlink_to("../../scripts/hook.sh")


def dead_link(scene: Scene) -> None:
    (scene.top / ".git" / "hooks" / "post-commit").symlink_to("nowhere")


def tracked_folder(scene: Scene, where: str = "tools/hooks") -> None:
    for name in ("post-merge", "pre-commit"):
        script(scene.top / where / name, SAYS if name == "post-merge" else SAYS.replace("exit 3", "exit 0"))
    scene.git("add", where)
    scene.git("commit", "-q", "-m", "hooks of the project")


def tracked_path(scene: Scene) -> None:
    tracked_folder(scene)
    scene.git("config", "core.hooksPath", "tools/hooks")


def linked_folder(scene: Scene) -> None:
    tracked_folder(scene)
    no_folder(scene)
    (scene.top / ".git" / "hooks").symlink_to("../tools/hooks")


def global_path(scene: Scene) -> None:
    for name in ("post-merge", "pre-commit"):
        script(scene.home / "my hooks" / name, SAYS if name == "post-merge" else SAYS.replace("exit 3", "exit 0"))
    scene.git("config", "--global", "core.hooksPath", "~/my hooks")


def own_path(scene: Scene) -> None:
    script(scene.top / ".git" / "other" / "post-merge")
    scene.git("config", "core.hooksPath", ".git/other")


BEFORE: dict[str, Callable[[Scene], None]] = {
    case.__name__: case
    for case in (
        bare_folder,
        no_folder,
        one_hook,
        all_hooks,
        not_executable,
        link,
        dead_link,
        tracked_path,
        linked_folder,
        global_path,
        own_path,
    )
}
RUN_FIRST = {"one_hook", "all_hooks", "link", "tracked_path", "linked_folder", "global_path", "own_path"}


@pytest.fixture(autouse=True)
def own_home(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What git is told by this machine's user is not looked at."""
    monkeypatch.setenv("HOME", str(scene.home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


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
