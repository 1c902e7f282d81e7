"""Random histories, merges and states of a user's work: hypothesis strategies, and what makes repositories of them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import strategies as st

from tests.merge_guard.building import Repo, make

# Some stand in each other's way: a file where another one's folder is. One has an ignored name.
PATHS = ("a", "a/in", "b", "d", "d/x", "d/y", "e/f/g", "kept.log", "ü")
# No history has these.
OWN_PATHS = ("mine", "own/z", "own.log", "d/mine")
CONTENTS = ("", "1\n", "2\n", "one\ntwo\nthree\n", "one\n2\nthree\n", "\0\r\n\xff")


@dataclass(frozen=True)
class Edit:
    """One thing done to one path; it clears away what stands there."""

    what: str
    path: str
    content: str


@dataclass(frozen=True)
class Story:
    """A repository's life: what main begins with, what main and topic do, how they meet, what the user does then."""

    start: tuple[Edit, ...]
    main: tuple[Edit, ...]
    topic: tuple[tuple[Edit, ...], ...]
    merge: str
    dirt: tuple[Edit, ...]


def edits(paths: tuple[str, ...], *kinds: str) -> st.SearchStrategy[Edit]:
    """One edit of one of those paths."""
    return st.builds(Edit, st.sampled_from(kinds), st.sampled_from(paths), st.sampled_from(CONTENTS))


# Stand for paths that the merge touched, whichever they are.
TOUCHED = ("#0", "#1", "#2")
_commit = edits(PATHS, "write", "write", "write", "remove", "program", "link")
_dirt_elsewhere = edits(OWN_PATHS, "write", "stage", "plan")
_dirt_anywhere = edits(PATHS + OWN_PATHS, "write", "stage", "remove", "program", "link", "forget", "plan")

_dirt_that_hits = edits(TOUCHED, "write", "write", "stage", "remove", "program", "link", "forget")

stories = st.builds(
    Story,
    start=st.lists(_commit, min_size=2, max_size=6).map(tuple),
    main=st.lists(_commit, max_size=2).map(tuple),
    topic=st.lists(st.lists(_commit, min_size=1, max_size=4).map(tuple), min_size=1, max_size=3).map(tuple),
    merge=st.sampled_from(("ff", "no-ff", "no-ff", "true", "no-commit", "squash", "detached", "pull", "pull")),
    dirt=st.one_of(
        st.lists(_dirt_elsewhere, max_size=3).map(tuple),
        st.lists(_dirt_anywhere, min_size=1, max_size=3).map(tuple),
        st.lists(_dirt_that_hits, min_size=1, max_size=2).map(tuple),
        st.lists(_dirt_that_hits, min_size=1, max_size=2).map(tuple),
    ),
)


def begin(story: Story, top: Path, program: str) -> Repo:
    """Build the history up to just before the merge."""
    repo = make(top, program)
    repo.write(".gitignore", "*.log\n")
    _commit_all(repo, story.start)
    repo("switch", "--quiet", "--create", "topic")
    for several in story.topic:
        _commit_all(repo, several)
    repo("switch", "--quiet", "main")
    if story.main:
        _commit_all(repo, story.main)
    if story.merge == "detached":
        repo("checkout", "--quiet", "--detach")
    return repo


def meet(story: Story, repo: Repo) -> str:
    """Merge; a conflict is resolved by taking all of theirs. Returns the hook that git runs at the end."""
    command = {
        "ff": ("merge", "--no-edit", "topic"),
        "squash": ("merge", "--squash", "topic"),
        "no-commit": ("merge", "--no-commit", "--no-ff", "topic"),
        "pull": ("pull", "--quiet", "--no-edit", ".", "topic"),
    }.get(story.merge, ("merge", "--no-ff", "--no-edit", "topic"))
    before = repo.tip()
    repo(*command, ok=(0, 1))
    if repo("ls-files", "--unmerged"):
        repo("read-tree", "-u", "--reset", "topic")
        if story.merge != "squash":
            repo("commit", "--quiet", "--no-edit")
            return "post-commit"
    return "post-merge" if repo.tip() != before else "reconcile"


def dirty(story: Story, repo: Repo) -> None:
    """Let the user work."""
    listed = repo("diff", "--name-only", "-z", "HEAD@{1}", "HEAD", ok=(0, 128))
    touched = [path for path in listed.split("\0") if path] or list(OWN_PATHS)
    for each in story.dirt:
        edit = each
        if each.path in TOUCHED:
            edit = replace(each, path=touched[TOUCHED.index(each.path) % len(touched)])
        if edit.what in ("stage", "plan"):
            _apply(repo, Edit("write", edit.path, edit.content))
            repo(
                "add", "--force", *(["--intent-to-add"] if edit.what == "plan" else []), "--", edit.path, ok=(0, 1, 128)
            )
        elif edit.what == "forget":
            repo("rm", "--cached", "--quiet", "-r", "--ignore-unmatch", "--", edit.path, ok=(0, 1, 128))
        else:
            _apply(repo, edit)


def _commit_all(repo: Repo, several: tuple[Edit, ...]) -> None:
    for edit in several:
        _apply(repo, edit)
    repo("add", "--all", "--force")
    repo("commit", "--quiet", "--allow-empty", "-m", "Some")


def _apply(repo: Repo, edit: Edit) -> None:
    place = repo.top / edit.path
    if edit.what == "program":
        if place.is_file() and not place.is_symlink():
            place.chmod(place.stat().st_mode ^ 0o111)
        return
    _clear(place)
    if edit.what == "remove":
        return
    if place.parent != repo.top and not place.parent.is_dir():
        _clear(place.parent)
    place.parent.mkdir(parents=True, exist_ok=True)
    if edit.what == "link":
        place.symlink_to(edit.content.strip().replace("\0", "") or "b")
    else:
        place.write_bytes(edit.content.encode("latin-1"))


def _clear(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    elif place.parent.is_dir():
        place.unlink(missing_ok=True)
