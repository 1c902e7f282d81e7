"""scratch: the right tree, apart from the user's repository, also of shallow, linked and nested ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.errors import Conflict, Unavailable
from merge_guard.git import GitFailed
from merge_guard.repository import open_repository
from merge_guard.scratch import Scratch, remove
from tests.merge_guard.sample import Sample


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return Sample(tmp_path / "user" / "project")


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


def test_it_has_no_way_back(sample: Sample, tmp_path: Path) -> None:
    sample.commit({"a.txt": "one\n"})
    sample.run("tag", "v1")
    (sample.folder / ".git/hooks/post-checkout").write_text("#!/bin/sh\ntouch ran\n")
    (sample.folder / ".git/hooks/post-checkout").chmod(0o755)
    before = sample.everything()
    scratch = scratch_of(sample, tmp_path)
    scratch.check_out(sample.run("rev-parse", "HEAD"))
    there = scratch.git.at(scratch.tree)
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
    there = scratch.git.at(scratch.tree)
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
    assert scratch.git.at(scratch.tree / "vendor/lib").text("remote") == ""
    assert scratch.git.at(scratch.tree).text("status", "--porcelain") == ""
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
