"""The guarded repositories as git has them: real ones, looked at and left as they are."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from foundation.errors import NotFound, Unavailable
from foundation.repositories import GuardedRepository
from services.coordinator.adapters.git_repositories import GitRepositories
from services.coordinator.domain.merge_moves import How, Note, judge
from services.coordinator.ports_merges import WorkTree
from tests.coordinator.merging import PlayedRepositories

Run = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With characters that git quotes, unless it is told not to."""
    made = tmp_path / "Quelle ü"
    made.mkdir()
    return made.resolve()


@pytest.fixture
def git(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgSign=false")

    def run(*arguments: str, at: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=at or folder, check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout.strip()

    run("init", "-q", "-b", "main")
    run("commit", "-q", "--allow-empty", "-m", "first")
    run("config", "quantum.repository", "r")
    return run


@pytest.fixture
def repository(folder: Path, git: Run) -> GuardedRepository:
    return guarded(folder)


def guarded(folder: Path) -> GuardedRepository:
    """As `quantum hooks install` has written it down."""
    return GuardedRepository(id="r", folder=folder, common_dir=folder / ".git")


@pytest.fixture
def look(tmp_path: Path) -> GitRepositories:
    return GitRepositories(tmp_path / "repositories.toml")


async def test_what_is_guarded_is_read_anew_each_time(look: GitRepositories, tmp_path: Path) -> None:
    assert await look.guarded() == {}
    text = '[r]\nfolder = "/a"\ncommon_dir = "/a/.git"\nproject = "p"\n[bad]\nfolder = "relative"\n'
    (tmp_path / "repositories.toml").write_text(text)
    assert await look.guarded() == {
        "r": GuardedRepository(id="r", folder=Path("/a"), common_dir=Path("/a/.git"), project="p")
    }


async def test_a_look_at_work_trees(look: GitRepositories, git: Run, folder: Path, tmp_path: Path) -> None:
    head = git("rev-parse", "HEAD")
    tree = await look.look(folder, guarded(folder))
    assert (tree.common_dir, tree.head, tree.branch) == (folder / ".git", head, "main")
    linked = tmp_path.resolve() / "linked"
    git("worktree", "add", "-q", "-b", "topic", str(linked))
    tree = await look.look(linked, guarded(folder))
    assert (tree.common_dir, tree.head, tree.branch) == (folder / ".git", head, "topic")
    git("checkout", "-q", "--detach", at=linked)
    assert (await look.look(linked, guarded(folder))).branch == ""
    unborn = tmp_path / "unborn"
    git("init", "-q", str(unborn))
    git("config", "quantum.repository", "r", at=unborn)
    assert (await look.look(unborn, guarded(unborn))).head == ""


async def test_nothing_of_a_repository_that_is_not_guarded_is_run(
    look: GitRepositories, git: Run, folder: Path, tmp_path: Path
) -> None:
    strange = tmp_path.resolve() / "strange"
    strange.mkdir()
    git("init", "-q", "-b", "main", at=strange)
    ran = tmp_path / "ran"
    settings = {
        "quantum.repository": "r",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": str(folder),
        "remote.origin.uploadpack": f"touch {ran};",
    }
    for key, value in settings.items():
        git("config", key, value, at=strange)
    (strange / ".git/refs/heads/main").write_text("1" * 40 + "\n")
    assert await look.look(strange, guarded(folder)) == WorkTree(strange / ".git", head="", branch="")
    assert not ran.exists()
    await look.look(strange, guarded(strange))
    assert ran.exists(), "this is how it would be run"


async def test_all_work_trees_of_a_repository(
    look: GitRepositories, git: Run, folder: Path, tmp_path: Path, repository: GuardedRepository
) -> None:
    head = git("rev-parse", "HEAD")
    linked, detached, gone = (tmp_path.resolve() / name for name in ("linked ü", "detached", "gone"))
    git("worktree", "add", "-q", "-b", "topic", str(linked))
    git("commit", "-q", "--allow-empty", "-m", "more", at=linked)
    git("worktree", "add", "-q", "--detach", str(detached))
    git("worktree", "add", "-q", "-b", "lost", str(gone))
    shutil.rmtree(gone)
    trees = await look.work_trees(repository)
    assert next(iter(trees)) == folder
    assert {at: (tree.head, tree.branch) for at, tree in trees.items()} == {
        folder: (head, "main"),
        linked: (git("rev-parse", "topic"), "topic"),
        detached: (head, ""),
    }
    assert {tree.common_dir for tree in trees.values()} == {folder / ".git"}


async def test_a_repository_that_lost_its_identifier_is_not_acted_on(
    look: GitRepositories, git: Run, folder: Path, repository: GuardedRepository
) -> None:
    """Another clone stands in its place, or the guard was taken out by hand: nobody wants it guarded."""
    for change in (("--unset", "quantum.repository"), ("quantum.repository", "another")):
        git("config", *change)
        with pytest.raises(NotFound, match="has not the identifier r") as said:
            await look.look(folder, repository)
        assert "quantum hooks install" in said.value.remedy
        with pytest.raises(NotFound):
            await look.work_trees(repository)


async def test_what_is_no_work_tree(look: GitRepositories, git: Run, tmp_path: Path) -> None:
    git("init", "-q", "--bare", str(tmp_path / "bare"))
    plain = tmp_path / "plain"
    plain.mkdir()
    for path in (Path("relative"), tmp_path / "gone", plain):
        with pytest.raises(NotFound):
            await look.look(path, guarded(path))
    with pytest.raises(Unavailable, match="bare"):
        await look.look(tmp_path / "bare", guarded(tmp_path))


async def test_a_hook_s_environment_leads_nowhere_else(
    look: GitRepositories, git: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("init", "-q", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert (await look.look(folder, guarded(folder))).common_dir == folder / ".git"


async def test_the_protected_branches(
    look: GitRepositories, git: Run, folder: Path, repository: GuardedRepository
) -> None:
    git("branch", "main-2")
    git("branch", "release/1")
    head = git("rev-parse", "HEAD")
    assert await look.tips(repository, {}) == {"main": head}, "the one that is checked out"
    (folder / "quantum.toml").write_text('[merge]\nbranches = ["main-2", "release/1", "release", "gone"]\n')
    assert await look.tips(repository, {}) == {"main-2": head, "release/1": head}
    (folder / "quantum.toml").write_text('[merge]\nbranches = ["release/*", "ma?n"]\n')
    assert await look.tips(repository, {}) == {"main": head, "release/1": head}, "patterns, as the check reads them"
    for wrong in ("[merge", "merge = 1", '[merge]\nbranches = "main"', "[merge]\nbranches = [1]"):
        (folder / "quantum.toml").write_text(wrong)
        assert await look.tips(repository, {}) == {"main": head}, wrong
    git("checkout", "-q", "--detach")
    assert await look.tips(repository, {}) == {}
    (folder / "quantum.toml").write_text('[merge]\nbranches = ["*"]\n')
    assert set(await look.tips(repository, {})) == {"main", "main-2", "release/1"}
    for branch in ("main", "main-2", "release/1"):
        git("update-ref", "-d", f"refs/heads/{branch}")
    assert await look.tips(repository, {}) == {}, "none is there"


async def test_what_came_does_not_choose_whether_it_is_looked_at(
    look: GitRepositories, git: Run, folder: Path, repository: GuardedRepository
) -> None:
    before = git("rev-parse", "HEAD")
    (folder / "quantum.toml").write_text('[merge]\nbranches = ["other"]\n')
    git("add", "quantum.toml")
    git("commit", "-q", "-m", "main is protected no more")
    after = git("rev-parse", "HEAD")
    assert await look.tips(repository, {"main": before}) == {"main": after}, "by what was there before"
    assert await look.tips(repository, {"main": after}) == {}, "seen with it, it holds"


async def test_the_reflog_says_how_a_branch_came_about(
    look: GitRepositories, git: Run, repository: GuardedRepository
) -> None:
    first = git("rev-parse", "HEAD")

    async def how(*arguments: str) -> str:
        before = git("rev-parse", "main")
        git(*arguments)
        judged = judge(await look.moves(repository, "main", limit=99), before, git("rev-parse", "main"))
        return judged.how

    git("checkout", "-q", "-b", "topic")
    git("commit", "-q", "--allow-empty", "-m", "merge: no")
    git("checkout", "-q", "main")
    assert await how("merge", "-q", "topic") is How.ARRIVED
    assert await how("commit", "-q", "--allow-empty", "-m", "plain") is How.NOTHING
    assert await how("commit", "-q", "--allow-empty", "--amend", "-m", "plainer") is How.NOTHING
    git("checkout", "-q", "topic")
    git("commit", "-q", "--allow-empty", "-m", "more")
    git("checkout", "-q", "main")
    assert await how("merge", "-q", "--no-ff", "-m", "m", "topic") is How.ARRIVED
    assert await how("reset", "-q", "--hard", "HEAD~1") is How.OTHERWISE
    assert await how("merge", "-q", "--no-commit", "--no-ff", "topic") is How.NOTHING, "it has not moved"
    assert await how("commit", "-q", "-m", "m") is How.ARRIVED
    assert await how("update-ref", "refs/heads/main", first) is How.OTHERWISE
    assert await how("update-ref", "-m", "quantum: took back", "refs/heads/main", "topic") is How.NOTHING
    git("branch", "older", "HEAD~1")
    assert await how("fetch", "-q", "--update-head-ok", ".", "+older:main") is How.OTHERWISE
    assert await look.moves(repository, "gone", limit=9) == []
    assert len(await look.moves(repository, "main", limit=2)) == 2


async def test_a_look_changes_nothing(
    look: GitRepositories, git: Run, folder: Path, repository: GuardedRepository
) -> None:
    def files() -> dict[str, tuple[bytes, int]]:
        paths = [path for path in folder.rglob("*") if path.is_file()]
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}

    (folder / "quantum.toml").write_text("[merge]\n")
    before = files()
    await look.look(folder, guarded(folder))
    await look.tips(repository, {})
    await look.moves(repository, "main", limit=9)
    assert await look.notes(repository) == ()
    assert files() == before


# -- notes of hooks

LINE = "2026-11-28T15:00:00Z post-merge {} -\n"


def write(repository: GuardedRepository, text: str, flags: int = 0) -> int:
    """As the hooks' shell does it; the open descriptor."""
    path = repository.common_dir / "quantum" / "unchecked"
    path.parent.mkdir(exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | flags, 0o600)
    os.write(handle, text.encode())
    return handle


async def test_notes_are_read_at_the_next_look_and_again_until_they_are_taken_away(
    look: GitRepositories, repository: GuardedRepository
) -> None:
    os.close(write(repository, LINE.format("a" * 40)))
    assert await look.notes(repository) == ()
    for _ in range(2):
        assert await look.notes(repository) == [Note("post-merge", "a" * 40, "")]
    await look.forget(repository)
    assert await look.notes(repository) == ()


async def test_a_hook_that_writes_meanwhile_loses_nothing(look: GitRepositories, repository: GuardedRepository) -> None:
    handle = write(repository, LINE.format("a"))
    assert await look.notes(repository) == ()
    os.write(handle, LINE.format("b").encode())  # it had opened the file before it was taken aside
    os.close(handle)
    os.close(write(repository, LINE.format("c")))
    assert [note.old for note in await look.notes(repository)] == ["a", "b"]
    await look.forget(repository)
    assert await look.notes(repository) == ()
    assert [note.old for note in await look.notes(repository)] == ["c"]


async def test_torn_lines_are_passed_over_and_a_link_is_not_followed(
    look: GitRepositories, repository: GuardedRepository, tmp_path: Path
) -> None:
    os.close(write(repository, "torn\n\n" + LINE.format("a") + "2026 post-mer"))
    await look.notes(repository)
    assert [note.old for note in await look.notes(repository)] == ["a"]
    await look.forget(repository)
    os.close(write(repository, "torn\n"))
    await look.notes(repository)
    assert await look.notes(repository) == []
    taken = repository.common_dir / "quantum" / "unchecked.taken"
    assert not taken.exists(), "what says nothing is not kept for ever"
    secret = tmp_path / "secret"
    secret.write_text(LINE.format("s"))
    taken.symlink_to(secret)
    with pytest.raises(Unavailable):
        await look.notes(repository)
    await look.forget(repository)
    assert secret.exists()


def test_what_is_played_in_other_tests_has_the_same_methods() -> None:
    own = {name for name in vars(GitRepositories) if not name.startswith("_")}
    assert own <= {name for name in dir(PlayedRepositories) if not name.startswith("_")}
