"""Everything in a repository that a user could miss, for comparing byte for byte."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass

from tests.merge_guard.building import Repo

KEPT = "refs/quantum/"


@dataclass(frozen=True)
class Snapshot:
    """A work tree with untracked and ignored files, its index with every flag, refs, and all commits they reach."""

    head: str
    files: dict[str, tuple[str, bytes]]
    """By path: kind with the executable bit, and the content. `.git` of the work tree itself is left out."""
    index: dict[str, str]
    """By path (and stage): mode, object, flags."""
    refs: dict[str, str]
    """Without the guard's own."""
    commits: frozenset[str]
    """Reached from refs and HEAD; a reflog does not count."""
    own: dict[str, bytes]
    """Files of `.git` that are the user's, by path in it: configuration, hooks, stash, excludes."""


def take(repo: Repo) -> Snapshot:
    """Look at a repository without changing anything in it, not even the times in its index."""
    git_dir, common = (repo.top / path for path in repo("rev-parse", "--git-dir", "--git-common-dir").splitlines())
    refs = dict(
        line.split(" ", 1)[::-1]
        for line in repo("for-each-ref", "--format=%(objectname) %(refname)").splitlines()
        if not line.split(" ", 1)[1].startswith(KEPT)
    )
    own = [common / name for name in ("config", "logs/refs/stash", "info/exclude", "info/attributes")]
    own += [*sorted((common / "hooks").iterdir()), git_dir / "MERGE_AUTOSTASH"]
    return Snapshot(
        head=repo("symbolic-ref", "--quiet", "HEAD", ok=(0, 1)),
        files=_files(repo),
        index=_index(repo),
        refs=refs,
        commits=frozenset(repo("rev-list", "--all").split()),
        own={os.path.relpath(path, common): path.read_bytes() for path in own if path.is_file()},
    )


def _files(repo: Repo) -> dict[str, tuple[str, bytes]]:
    found: dict[str, tuple[str, bytes]] = {}
    for folder, folders, names in os.walk(repo.top):
        if ".git" in folders and folder == str(repo.top):
            folders.remove(".git")
        for name in [*names, *(one for one in folders if os.path.islink(os.path.join(folder, one)))]:
            place = os.path.join(folder, name)
            about = os.lstat(place)
            path = os.path.relpath(place, repo.top)
            if path == ".git":
                continue
            if stat.S_ISLNK(about.st_mode):
                found[path] = ("link", os.fsencode(os.readlink(place)))
            else:
                with open(place, "rb") as file:
                    found[path] = ("program" if about.st_mode & 0o100 else "file", file.read())
    return found


_ENTRY = re.compile(r"(\S+ \d+ \w+) (\d)\t([^\0]+)\0(?:  [^\n]*\n)*?  [^\n]*flags: (\S+)\n")


def _index(repo: Repo) -> dict[str, str]:
    """Parse `--debug`, where each entry is followed by indented lines about its times and flags."""
    listed = repo("ls-files", "--stage", "-v", "--debug", "-z") + "\n"
    found = {f"{path}:{stage}": f"{about} {flags}" for about, stage, path, flags in _ENTRY.findall(listed)}
    assert len(found) == listed.count("flags: ")
    return found
