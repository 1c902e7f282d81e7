"""scratch: the right tree, apart from the user's repository, also of shallow, linked and nested ones."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from foundation.errors import Conflict, Unavailable
from merge_guard.git import GitFailed
from merge_guard.repository import open_repository
from merge_guard.scratch import Scratch, remove
from tests.merge_guard.sample import Sample


def scratch_of(sample: Sample, tmp_path: Path, folder: Path | None = None) -> Scratch:
    work = tmp_path / "work"
    work.mkdir()
    git = sample.git.at(folder or sample.folder)
    return Scratch(open_repository(git.folder, git=git), work, git)


def test_checks_out_each_commit_afresh_in_one_place(sample: Sample, tmp_path: Path) -> None:
    first = sample.commit({"a.txt": "one\n", "dir/ü.sh": "#!/bin/sh\n"})
    second = sample.commit({"a.txt": "two\n"})
    scratch = scratch_of(sample, tmp_path)
    assert scratch.check_out(first) == sample.tree(first)
    assert (scratch.tree / "a.txt").read_text() == "one\n" and (scratch.tree / "dir/ü.sh").stat().st_mode & 0o100
    (scratch.tree / "litter").mkdir(mode=0o500)
    assert scratch.check_out(second) == sample.tree(second)
    assert (scratch.tree / "a.txt").read_text() == "two\n" and not (scratch.tree / "litter").exists()
    assert scratch.files_of(first).text("dir/ü.sh") == "#!/bin/sh\n" and scratch.files_of(first).has("dir")


DAMAGE = """
printf 'ONE\\n' >a.txt; touch -r b.txt a.txt
chmod 000 b.txt; chmod +x c.txt; chmod 500 dir
rm -r deep; ln -s / deep
rm d.txt; mkdir d.txt; echo x >d.txt/x
ln e.txt link; ln "$STORE" linked; ln -f "$STORE" a.txt; ln -sf a.txt f.txt
mkdir -p empty/er ignored/x locked; touch ignored/y locked/z; chmod 000 locked
git init --quiet nested; git update-index --assume-unchanged g.txt; echo h >g.txt
git update-index --skip-worktree h.txt; rm h.txt
git config core.ignoreStat true
rm -rf .git/refs; chmod 100 .
"""


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content of all below a folder, but git's own."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if ".git" not in path.relative_to(folder).parts:
            content = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else "folder"
            found[str(path.relative_to(folder))] = (path.lstat().st_mode, content.encode())
    return found


@pytest.mark.parametrize("control", [False, True])
def test_whatever_a_test_did_the_next_finds_the_commits_own_tree(
    sample: Sample, tmp_path: Path, control: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{letter}.txt": "one\n" for letter in "abcdefgh"}
    first = sample.commit({**files, "dir/x.sh": "#!/bin/sh\n", "deep/er/y": "y\n", ".gitignore": "ignored\n"})
    second = sample.commit({"a.txt": "two\n", "new/file": "x\n"})
    scratch = scratch_of(sample, tmp_path)
    store = tmp_path / "store"  # of a package manager that links from it
    store.write_text("x\n")
    store.chmod(0o440)
    damage = {**sample.environment, "STORE": str(store)}
    pristine = {}
    for commit in (first, second):
        scratch.check_out(commit)
        pristine[commit] = snapshot(scratch.tree)
    if control:
        monkeypatch.setattr(scratch, "tidy", lambda: remove(scratch.tree / ".git"))
    for commit in (second, second, first, second, first, first):
        scratch.check_out(commit)
        assert scratch.inside.text("rev-parse", "HEAD") == commit and scratch.inside.text("status", "--porcelain") == ""
        if control:
            break
        assert snapshot(scratch.tree) == pristine[commit]
        done = subprocess.run(["sh", "-x", "-c", DAMAGE], cwd=scratch.tree, env=damage, capture_output=True)
        assert done.returncode == 0, done.stderr
        scratch.tree.chmod(0o755)
        assert len(snapshot(scratch.tree).items() ^ pristine[commit].items()) > 10
        scratch.tree.chmod(0o100)
    assert store.read_text() == "x\n" and store.stat().st_mode & 0o777 == 0o440
    if control:
        subprocess.run(["sh", "-c", DAMAGE], cwd=scratch.tree, env=damage, check=True)
        scratch.check_out(second)
        assert snapshot(scratch.tree) != pristine[second]


def test_it_has_no_way_back(sample: Sample, tmp_path: Path) -> None:
    sample.commit({"a.txt": "one\n"})
    sample.run("tag", "v1")
    (sample.folder / ".git/hooks/post-checkout").write_text("#!/bin/sh\ntouch ran\n")
    (sample.folder / ".git/hooks/post-checkout").chmod(0o755)
    before = sample.everything()
    scratch = scratch_of(sample, tmp_path)
    scratch.check_out(sample.run("rev-parse", "HEAD"))
    there = scratch.inside
    assert there.text("remote") == "" and there.text("tag") == "v1"
    assert not there.succeeds("push", "origin", "HEAD:refs/heads/other")
    assert there.succeeds("gc", "--prune=now", "--quiet")
    assert not (scratch.tree / ".git/hooks").exists() and not (scratch.tree / "ran").exists()
    assert sample.everything() == before


def test_settings_of_the_repository_go_along(sample: Sample, tmp_path: Path) -> None:
    sample.run("config", "merge.ours.driver", 'echo "a\\b" && true')
    sample.run("config", "core.autocrlf", "true")
    sample.run("config", "user.name", "Ada L.")
    head = sample.commit({"a.txt": "one\n"})
    scratch = scratch_of(sample, tmp_path)
    scratch.check_out(head)
    there = scratch.inside
    assert there.text("config", "merge.ours.driver") == 'echo "a\\b" && true'
    assert there.text("config", "user.name") == "Ada L."
    assert (scratch.tree / "a.txt").read_bytes() == b"one\r\n"


def test_merges_as_git_would(sample: Sample, tmp_path: Path) -> None:
    sample.commit({"a.txt": "one\n"})
    sample.run("switch", "--quiet", "--create", "topic")
    topic = sample.commit({"b.txt": "b\n"})
    sample.run("switch", "--quiet", "main")
    old = sample.commit({"c.txt": "c\n"})
    before = sample.everything()
    scratch = scratch_of(sample, tmp_path)
    made = scratch.merge(old, topic, "Merge branch 'topic'")
    assert scratch.git.text("rev-list", "--parents", "-1", made).split()[1:] == [old, topic]
    assert scratch.check_out(made) == scratch.tree_of(made)
    assert {"a.txt", "b.txt", "c.txt"} <= {path.name for path in scratch.tree.iterdir()}
    assert sample.everything() == before


def test_conflicts_are_named_and_leave_it_usable(sample: Sample, tmp_path: Path) -> None:
    sample.commit({"a.txt": "one\n"})
    sample.run("switch", "--quiet", "--create", "topic")
    topic = sample.commit({"a.txt": "two\n"})
    sample.run("switch", "--quiet", "main")
    old = sample.commit({"a.txt": "three\n"})
    scratch = scratch_of(sample, tmp_path)
    for _ in range(2):
        with pytest.raises(Conflict, match=r"a\.txt"):
            scratch.merge(old, topic, "Merge")
    with pytest.raises(GitFailed):
        scratch.merge(old, "0" * 40, "Merge")


def test_shallow_detached_and_linked(sample: Sample, tmp_path: Path) -> None:
    for number in range(4):
        head = sample.commit({"a.txt": f"{number}\n"})
    shallow = Sample(tmp_path / "shallow" / "clone")
    shallow.run("fetch", "--quiet", "--depth=2", f"file://{sample.folder}", "main")
    shallow.run("checkout", "--quiet", "--detach", "FETCH_HEAD")
    linked = tmp_path / "shallow" / "linked"
    shallow.run("worktree", "add", "--quiet", "--detach", str(linked), "HEAD~1")
    scratch = scratch_of(shallow, tmp_path, linked)
    assert scratch.check_out(head) == sample.tree(head)
    assert scratch.check_out(f"{head}~1") == sample.tree("HEAD~1")
    with pytest.raises(GitFailed):
        scratch.check_out(f"{head}~2")


def test_submodules_come_from_the_users_own_copies(sample: Sample, tmp_path: Path) -> None:
    inner = Sample(tmp_path / "user" / "inner")
    inner.commit({"i.txt": "inner\n"})
    library = Sample(tmp_path / "user" / "library")
    library.commit({"l.txt": "one\n"})
    allow = ("-c", "protocol.file.allow=always", "submodule", "--quiet")
    library.run(*allow, "add", "--name", "deep", str(inner.folder), "in")
    library.commit({"l.txt": "two\n"})
    sample.run(*allow, "add", "--name", "the lib", str(library.folder), "vendor/lib")
    sample.run(*allow, "add", str(inner.folder), "unused")
    head = sample.commit({"a.txt": "one\n"})
    sample.run(*allow, "update", "--init", "--recursive", "vendor/lib")
    sample.run("submodule", "--quiet", "deinit", "--force", "unused")
    remove(sample.folder / ".git/modules/unused")
    before = sample.everything()
    scratch = scratch_of(sample, tmp_path)
    scratch.check_out(head)
    assert (scratch.tree / "vendor/lib/l.txt").read_text() == "two\n"
    assert (scratch.tree / "vendor/lib/in/i.txt").read_text() == "inner\n"
    assert list((scratch.tree / "unused").iterdir()) == []
    assert scratch.inside.at(scratch.tree / "vendor/lib").text("remote") == ""
    assert scratch.inside.text("status", "--porcelain") == ""
    assert sample.everything() == before
    # A commit of the submodule that is nowhere here: nothing is fetched, and it is said.
    sample.run("update-index", "--cacheinfo", f"160000,{'1' * 40},vendor/lib")
    sample.run("commit", "--quiet", "--message", "ahead")
    with pytest.raises(Unavailable, match="vendor/lib"):
        scratch.check_out(sample.run("rev-parse", "HEAD"))


def test_sha256_repository(tmp_path: Path) -> None:
    sample = Sample(tmp_path / "user" / "project")
    remove(sample.folder / ".git")
    sample.run("init", "--quiet", "--initial-branch=main", "--object-format=sha256")
    head = sample.commit({"a.txt": "one\n"})
    assert len(head) == 64
    assert scratch_of(sample, tmp_path).check_out(head) == sample.tree(head)


# What a test may do that takes what git does not hold from the user's own work tree.
LINKS = {
    "the folder above a submodule": 'rm -rf libs && ln -s "$USERS/libs" libs',
    "the tree itself": 'cd .. && rm -rf tree && ln -s "$USERS" tree',
    "the folder around the tree": 'cd ../.. && mv work away && ln -s "$USERS" work',
}


@pytest.mark.parametrize("links", LINKS)
def test_tidying_follows_no_link_to_the_users_work(sample: Sample, tmp_path: Path, links: str) -> None:
    library = Sample(tmp_path / "user" / "library")
    library.commit({"lib.py": "one\n"})
    sample.run("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library.folder), "libs/inner")
    commit = sample.commit({"a.txt": "one\n"})
    sample.write({"libs/inner/mine.txt": "not committed\n", "tree/.git/mine": "another repository\n"})
    scratch = scratch_of(sample, tmp_path)
    scratch.check_out(commit)
    before = sample.everything()
    environment = {**sample.environment, "USERS": str(sample.folder)}
    subprocess.run(["sh", "-c", LINKS[links]], cwd=scratch.tree, env=environment, check=True)
    if links == "the folder around the tree":
        with pytest.raises(Unavailable, match="place"):
            scratch.tidy()
    else:
        assert scratch.check_out(commit) == sample.tree(commit)
        assert (scratch.tree / "libs/inner/lib.py").is_file() and not (scratch.tree / "libs").is_symlink()
    assert sample.everything() == before
