"""What moving a work tree from one commit to another would touch, and whose work is in the way."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from merge_guard.git import Git, GitFailed
from merge_guard.repository import quantum_folder
from merge_guard.values import Repository

SUBMODULE = "160000"
_NAMED_AT_MOST = 5
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A path in a tree: git's mode in octal and the name of its object."""

    mode: str
    oid: str


@dataclass(frozen=True, slots=True)
class Change:
    """A path that differs between two trees; None: it is not in that tree."""

    path: bytes
    before: Entry | None
    after: Entry | None


def changes_between(git: Git, before: str, after: str) -> tuple[Change, ...]:
    """Every path that differs between two commits, folders opened up, renames as removal and addition."""
    words = git.output("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", before, after).split(b"\0")
    found = []
    for about, path in zip(words[0::2], words[1::2], strict=False):
        old_mode, new_mode, old, new, _ = about.decode().removeprefix(":").split()
        sides = [None if set(mode) == {"0"} else Entry(mode, oid) for mode, oid in ((old_mode, old), (new_mode, new))]
        found.append(Change(path, *sides))
    return tuple(found)


@contextlib.contextmanager
def checked_out(git: Git, repository: Repository, commit: str, paths: Iterable[bytes]) -> Iterator[bytes]:
    """Write paths of a commit into a folder of their own, as a checkout writes them, and return the folder.

    Filters, line endings and symbolic links are as in the work tree, by the commit's own attributes; submodules are
    left out. The folder is gone after the block. Raises GitFailed, also for a full disk.
    """
    folder = Path(tempfile.mkdtemp(prefix="forms-", dir=quantum_folder(repository)))
    try:
        tree = folder / "tree"
        tree.mkdir()
        extra = {
            "GIT_DIR": str(repository.git_dir),
            "GIT_WORK_TREE": str(tree),
            "GIT_INDEX_FILE": str(folder / "index"),
        }
        elsewhere = git.at(tree)
        for command, stdin in (
            (("read-tree", commit), b""),
            (("checkout-index", "--force", "--quiet", "-z", "--stdin"), b"".join(path + b"\0" for path in paths)),
        ):
            done = elsewhere.run(*command, stdin=stdin, extra=extra)
            if done.exit_code != 0:
                raise GitFailed(command[0], done.exit_code, done.said)
        yield os.fsencode(tree)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hindrances(git: Git, repository: Repository, changes: Iterable[Change], source: str, index: Path) -> list[str]:
    """Whatever of the user's a move of the work tree would touch, each as the end of a sentence; empty: nothing.

    Reads bytes, never git's memory of a file's size and time. Stricter than git: an ignored file is as good as any
    other, and a file that git only holds for unchanged (by a filter, by `assume-unchanged`) is not overwritten.
    """
    changes = tuple(changes)
    top = os.fsencode(repository.top)
    entries = index_entries(git, index)
    sparse = git.text("config", "--type=bool", "--default=false", "core.sparseCheckout") == "true"
    executable = git.text("config", "--type=bool", "--default=true", "core.fileMode") == "true"
    leaving = {change.path for change in changes if change.before}
    coming = {above for change in changes if change.after for above in _above(change.path)}
    found: list[str] = []
    compared: list[bytes] = []
    for change in changes:
        path, tag = change.path, entries.get(change.path, (b"", None))[0]
        if entries.get(path, (b"", None))[1] != change.before:
            found.append(f"{show(path)} is staged or unmerged")
        elif tag.islower() or (tag == b"S" and not sparse):
            found.append(f"{show(path)} is marked as not to be looked at")
        elif blocked := _blocked_parent(top, path, leaving):
            found.append(f"{show(blocked)} is in the way")
        elif tag == b"S" or change.before is None:
            if not _free(top, change, leaving):
                found.append(f"{show(path)} is in the way and is not tracked")
        elif change.before.mode == SUBMODULE:
            if not (change.after and change.after.mode == SUBMODULE):
                found += _in_place_of_submodule(top, path, goes_whole=change.after is not None or path in coming)
        else:
            compared.append(path)
    if compared and not found:
        with checked_out(git, repository, source, compared) as forms:
            found += [
                f"{show(path)} has changes that are not committed"
                for path in compared
                if not same_file(os.path.join(top, path), os.path.join(forms, path), executable=executable)
            ]
    return found


def in_words(found: list[str]) -> str:
    """Hindrances as one part of a sentence, the first few by name."""
    more = len(found) - _NAMED_AT_MOST
    return ", ".join(found[:_NAMED_AT_MOST]) + (f", and {more} more" if more > 0 else "")


def show(path: bytes) -> str:
    """A path for people: on one line, and nothing in it that a terminal would obey."""
    text = path.decode(errors="backslashreplace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def same_file(one: bytes, other: bytes, *, executable: bool = True) -> bool:
    """Whether two paths are the same kind of thing, with the same bytes and, if asked, executable alike."""
    first, second = _lstat(one), _lstat(other)
    if first is None or second is None or stat.S_IFMT(first.st_mode) != stat.S_IFMT(second.st_mode):
        return False
    if stat.S_ISLNK(first.st_mode):
        return os.readlink(one) == os.readlink(other)
    if executable and (first.st_mode ^ second.st_mode) & 0o100:
        return False
    return stat.S_ISREG(first.st_mode) and first.st_size == second.st_size and begins(one, other)


def begins(short: bytes, long: bytes) -> bool:
    """Whether a regular file's bytes are the first ones of another's: what a writer leaves that was stopped."""
    if not os.path.isfile(short) or not os.path.isfile(long) or os.path.islink(short) or os.path.islink(long):
        return False
    with open(short, "rb") as one, open(long, "rb") as other:
        while piece := one.read(_CHUNK):
            if piece != other.read(len(piece)):
                return False
    return True


def bytes_needed(git: Git, changes: Iterable[Change]) -> int:
    """How many bytes the files of the commit that is moved to have, as git stores them."""
    objects = [change.after.oid for change in changes if change.after and change.after.mode != SUBMODULE]
    if not objects:
        return 0
    stdin = "".join(f"{name}\n" for name in objects).encode()
    return sum(int(line) for line in git.output("cat-file", "--batch-check=%(objectsize)", stdin=stdin).split())


def index_entries(git: Git, index: Path) -> dict[bytes, tuple[bytes, Entry | None]]:
    """By path: git's letter for it (H, S; small: assume-unchanged) and its entry; None: it is not merged."""
    done = git.run("ls-files", "--stage", "-v", "-z", extra={"GIT_INDEX_FILE": str(index)})
    if done.exit_code != 0:
        raise GitFailed("ls-files", done.exit_code, done.said)
    found: dict[bytes, tuple[bytes, Entry | None]] = {}
    for line in done.out.split(b"\0")[:-1]:
        about, _, path = line.partition(b"\t")
        tag, mode, oid, stage = about.split(b" ")
        found[path] = (tag, Entry(mode.decode(), oid.decode()) if stage == b"0" else None)
    # An unmerged path has several entries; the last one must not look like a merged one.
    return found


def _blocked_parent(top: bytes, path: bytes, leaving: set[bytes]) -> bytes:
    """The first folder above a path that is no real folder and does not leave with the move; empty: none."""
    for parent in _above(path):
        found = _lstat(os.path.join(top, parent))
        if found is None:
            return b""
        if not stat.S_ISDIR(found.st_mode):
            return b"" if parent in leaving else parent
    return b""


def _above(path: bytes) -> list[bytes]:
    """The folders above a path, the outermost first."""
    return [path[:at] for at, byte in enumerate(path) if byte == ord("/")]


def _in_place_of_submodule(top: bytes, path: bytes, *, goes_whole: bool) -> list[str]:
    """What hinders a submodule from leaving: git compares nothing there, and removes whatever is in its place.

    `goes_whole`: something else comes to its place, so that its own checkout is in the way, too.
    """
    found = _lstat(os.path.join(top, path))
    if found is None:
        return []
    if not stat.S_ISDIR(found.st_mode):
        return [f"{show(path)} is in the place of a submodule"]
    if goes_whole and os.listdir(os.path.join(top, path)):
        return [f"{show(path)} is a submodule that is checked out"]
    return []


def _free(top: bytes, change: Change, leaving: set[bytes]) -> bool:
    """Whether a path can be written: nothing is there, or a folder that the move empties."""
    place = os.path.join(top, change.path)
    found = _lstat(place)
    if found is None:
        return True
    if any(above in leaving and not _is_folder(os.path.join(top, above)) for above in _above(change.path)):
        return True  # What stands where its folder will be leaves: a file, or a link, behind which nothing is touched.
    if not stat.S_ISDIR(found.st_mode):
        return False
    if change.after and change.after.mode == SUBMODULE:
        return True
    for folder, folders, files in os.walk(place):
        inside = [os.path.relpath(os.path.join(folder, name), top) for name in files]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        inside += [os.path.relpath(os.path.join(folder, name), top) for name in links]
        if any(name not in leaving for name in inside) or not (files or folders):
            return False
    return True


def _is_folder(path: bytes) -> bool:
    found = _lstat(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def _lstat(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
