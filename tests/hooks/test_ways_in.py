"""Every way in which a merge, or what looks like one, comes into a repository, and what its hooks say of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hooks.gateway import ID, Gateway
from tests.hooks.scene import Said, Scene
from tests.waiting import eventually

Way = Callable[[Scene], Said]
GREEN = "quantum: the merge is good: 1 of 1 runs green"


def conflict(scene: Scene) -> None:
    """Let topic and main change the same line."""
    scene.git("switch", "-q", "topic")
    scene.commit("both", text="theirs")
    scene.git("switch", "-q", "main")
    scene.commit("both", text="ours")
    assert scene.run("git", "merge", "topic").code == 1
    (scene.top / "both").write_text("both")
    scene.git("add", "both")


def concluded(*words: str) -> Way:
    def way(scene: Scene) -> Said:
        conflict(scene)
        return scene.git(*words)

    return way


def later(scene: Scene) -> Said:
    before = scene.git("merge", "--no-commit", "--no-ff", "topic")
    assert "quantum" not in before.err
    return scene.git("commit", "-q", "--no-edit")


def ahead(scene: Scene, *, diverged: bool) -> Path:
    """A clone of the repository in which somebody has gone on, as its remote `origin`."""
    other = scene.folder / "other"
    scene.git("clone", "-q", str(scene.top), str(other))
    scene.commit("of another", cwd=other)
    scene.git("remote", "add", "origin", str(other))
    scene.git("fetch", "-q")
    scene.git("branch", "-q", "-u", "origin/main")
    if diverged:
        scene.commit("of ours")
    return other


def pulled(*words: str, diverged: bool) -> Way:
    def way(scene: Scene) -> Said:
        ahead(scene, diverged=diverged)
        return scene.git("pull", "-q", *words)

    return way


def fast_forward(scene: Scene) -> Said:
    scene.git("switch", "-q", "-c", "behind", "topic~1")
    return scene.git("merge", "--ff-only", "topic")


def with_own_name(scene: Scene) -> Said:
    return scene.git("merge", "topic", environ={"GIT_REFLOG_ACTION": "a tool"})


CHECKED: dict[str, tuple[str, Way]] = {
    "true merge": ("post-merge", lambda scene: scene.git("merge", "topic")),
    "no-ff": ("post-merge", lambda scene: scene.git("merge", "--no-ff", "topic")),
    "fast-forward": ("post-merge", fast_forward),
    "octopus": ("post-merge", lambda scene: scene.git("merge", "topic", "topic2")),
    "by a tool that names it": ("post-merge", with_own_name),
    "conflict, commit": ("post-commit", concluded("commit", "-q", "--no-edit")),
    "conflict, continue": ("post-commit", concluded("merge", "--continue")),
    "no-commit, commit": ("post-commit", later),
    "pull, fast-forward": ("post-merge", pulled("--ff-only", diverged=False)),
    "pull, merge": ("post-merge", pulled("--no-rebase", "--no-edit", diverged=True)),
}


@pytest.mark.parametrize("name", CHECKED)
def test_what_came_is_sent_and_waited_for(guarded: Scene, served: Gateway, name: str) -> None:
    event, way = CHECKED[name]
    guarded.diverge(topics=2)
    assert served.checks == []
    said = way(guarded)
    body = served.checks[0]
    assert len(served.checks) == 1
    assert (body["event"], body["background"]) == (event, False)
    assert (body["folder"], body["new"]) == (str(guarded.top), guarded.head())
    assert body["old"] == guarded.head("HEAD^1")
    assert body["repository"] == guarded.git("config", "quantum.repository").out.strip()
    assert [(one.method, one.path) for one in served.asked[1:]] == [("GET", f"/merges/{ID}/follow")]
    assert GREEN in said.err
    assert guarded.unchecked == []


def test_the_token_is_sent_and_is_in_no_process_list(guarded: Scene, served: Gateway) -> None:
    guarded.diverge()
    guarded.git("merge", "topic")
    assert len(served.asked) == 2
    assert {one.token for one in served.asked} == {guarded.token}
    assert {one.accept for one in served.asked} == {"text/plain"}
    assert not any(one.seen for one in served.asked)


def test_the_look_at_the_process_list_would_see_one(guarded: Scene, served: Gateway) -> None:
    url = f"http://127.0.0.1:{served.port}/merges"
    guarded.run("curl", "-s", "-H", "X-Auth-Token: in-the-arguments", url)
    assert [one.seen for one in served.asked] == [True]


def test_a_trace_of_the_shell_shows_no_token(guarded: Scene, served: Gateway) -> None:
    guarded.diverge()
    guarded.git("-c", "core.hooksPath=/dev/null", "merge", "topic")
    said = guarded.run("sh", "-x", ".git/hooks/post-merge", "0")
    assert len(served.checks) == 1
    assert "curl" in said.err, "both ends of a pipe trace at once: no line need be whole"
    assert guarded.token not in said.err


def rebase(scene: Scene) -> Said:
    scene.git("switch", "-q", "topic")
    return scene.git("rebase", "-q", "main")


@pytest.mark.parametrize("way", [rebase, pulled("--rebase", diverged=True)], ids=["rebase", "pull --rebase"])
async def test_what_was_written_anew_is_told_and_not_waited_for(guarded: Scene, served: Gateway, way: Way) -> None:
    guarded.diverge()
    old = guarded.head("topic")
    way(guarded)
    body = (await eventually(lambda: served.checks, "post-rewrite tells it"))[0]
    assert (body["event"], body["background"], body["new"]) == ("post-rewrite", True, guarded.head())
    assert body["old"] in (old, guarded.head("ORIG_HEAD"))
    assert len(served.checks) == 1
    assert served.of(f"/merges/{ID}/follow") == []


def quietly(*words: str) -> Way:
    return lambda scene: scene.git(*words)


def amend_merge(scene: Scene) -> Said:
    scene.git("-c", "core.hooksPath=/dev/null", "merge", "topic")
    return scene.git("commit", "-q", "--amend", "-m", "other words")


def revert(scene: Scene) -> Said:
    return scene.git("revert", "--no-edit", "HEAD")


SILENT: dict[str, tuple[str, Way]] = {
    "commit": ("", quietly("commit", "-q", "--allow-empty", "-m", "more")),
    "amend": ("", quietly("commit", "-q", "--amend", "-m", "more")),
    "amended merge": ("nothing to check", amend_merge),
    "cherry-pick": ("", quietly("cherry-pick", "topic")),
    "revert": ("", revert),
    "squash": ("nothing to check: a squash has committed nothing yet", quietly("merge", "--squash", "topic")),
    "already there": ("", quietly("merge", "main")),
}


@pytest.mark.parametrize("name", SILENT)
def test_what_is_no_merge_is_not_sent(guarded: Scene, served: Gateway, name: str) -> None:
    sentence, way = SILENT[name]
    guarded.diverge()
    said = way(guarded)
    assert served.asked == []
    assert (sentence in said.err) if sentence else ("quantum" not in said.err)
    assert guarded.unchecked == []


@pytest.mark.parametrize(
    ("variable", "sentence"), [("QUANTUM_HOOK_DEPTH", ""), ("CI", "not checked: this is CI")], ids=["depth", "CI"]
)
def test_ours_and_ci_are_passed_over(guarded: Scene, served: Gateway, variable: str, sentence: str) -> None:
    guarded.diverge(topics=2)
    said = guarded.git("merge", "topic", environ={variable: "1"})
    assert served.asked == []
    assert (sentence in said.err) if sentence else ("quantum" not in said.err)
    # Without the variable the same is sent.
    guarded.git("merge", "topic2")
    assert len(served.checks) == 1


def test_in_a_linked_work_tree_it_is_that_one(guarded: Scene, served: Gateway) -> None:
    guarded.diverge()
    linked = guarded.folder / "linked"
    guarded.git("worktree", "add", "-q", "--detach", str(linked), "main")
    said = guarded.git("merge", "topic", cwd=linked)
    assert [(one["folder"], one["new"]) for one in served.checks] == [(str(linked), guarded.head(cwd=linked))]
    assert GREEN in said.err


def test_what_git_has_told_the_hook_leads_its_own_calls_nowhere_else(guarded: Scene) -> None:
    names = set(guarded.git("rev-parse", "--local-env-vars").out.split())
    script = ". .git/hooks/quantum-merge-guard.sh; event=post-merge; find_repository && env"
    told = {"GIT_INDEX_FILE": "/elsewhere", "GIT_SHALLOW_FILE": "/elsewhere", "GIT_PREFIX": "sub/"}
    said = guarded.run("sh", "-c", script, environ={"GIT_DIR": ".git", **told})
    seen = dict(line.partition("=")[::2] for line in said.out.splitlines())
    assert {name: value for name, value in seen.items() if name in names} == {
        "GIT_DIR": str(guarded.top / ".git"),
        "GIT_WORK_TREE": str(guarded.top),
    }


def test_named_from_elsewhere_it_is_found(guarded: Scene, served: Gateway) -> None:
    guarded.diverge()
    other = guarded.folder / "elsewhere"
    guarded.git("init", "-q", str(other))
    where = ("--git-dir", str(guarded.top / ".git"), "--work-tree", str(guarded.top))
    said = guarded.git(*where, "merge", "topic", cwd=other)
    assert [(one["folder"], one["new"]) for one in served.checks] == [(str(guarded.top), guarded.head())]
    assert GREEN in said.err


def test_a_submodule_has_a_guard_of_its_own(guarded: Scene, served: Gateway) -> None:
    guarded.diverge()
    inner = guarded.top / "in ner"
    words = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(guarded.top), "in ner")
    guarded.git(*words)
    guarded.git("branch", "-q", "topic", "origin/topic", cwd=inner)
    put = guarded.guard(top=inner)
    assert put.hooks.resolve() == (guarded.top / ".git" / "modules" / "in ner" / "hooks").resolve()
    guarded.git("merge", "topic", cwd=inner)
    assert [(one["folder"], one["repository"]) for one in served.checks] == [(str(inner), put.id)]


def test_by_hand_in_a_bare_repository(guarded: Scene, served: Gateway) -> None:
    bare = guarded.folder / "bare.git"
    guarded.git("clone", "-q", "--bare", str(guarded.top), str(bare))
    hook = guarded.top / ".git" / "hooks" / "post-merge"
    said = guarded.run(str(hook), "0", cwd=bare)
    assert (said.code, served.asked) == (0, [])
    assert "nothing to check: this repository is bare" in said.err


def test_where_merges_leave_no_reflog_the_check_decides(guarded: Scene, served: Gateway) -> None:
    guarded.git("config", "core.logAllRefUpdates", "false")
    guarded.diverge()
    (guarded.top / ".git" / "logs" / "HEAD").unlink()
    guarded.git("merge", "topic")
    assert [one["new"] for one in served.checks] == [guarded.head()]
