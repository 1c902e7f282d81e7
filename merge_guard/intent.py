"""The record of a move about to be made, on disk before its first step, so that a crash can be mended."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from foundation.errors import Internal
from foundation.files import atomic_write, sync_directory
from merge_guard.repository import quantum_folder
from merge_guard.values import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMark:
    """A lock file of git's, as it was when we held it: another one of that name is somebody else's."""

    path: str
    device: int
    inode: int
    changed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """That HEAD's branch is to be moved, with index and work tree, from one commit to another."""

    check: str
    what: str
    """`rollback`, `undo` or `enter`."""
    top: str
    git_dir: str
    branch: str
    """Short name; empty: HEAD is detached."""
    source: str
    target: str
    merge_heads: tuple[str, ...] = ()
    """What MERGE_HEAD holds at the start; it is cleared at the end if it still holds that."""
    locks: tuple[FileMark, ...] = ()
    """The locks on HEAD and its branch, once they are held."""

    @property
    def marker(self) -> bytes:
        """What our index.lock holds; git's own never does."""
        return f"held by the merge guard for the {self.what} of {self.check}\n".encode()

    @property
    def index(self) -> Path:
        """The index of the work tree."""
        return Path(self.git_dir, "index")

    @property
    def index_lock(self) -> Path:
        """While it is there, no git changes the index."""
        return Path(self.git_dir, "index.lock")

    @property
    def own_lock(self) -> Path:
        """Becomes index.lock, by a second name."""
        return Path(self.git_dir, f"quantum-{self.check}-lock")

    @property
    def index_before(self) -> Path:
        """The index as it was."""
        return Path(self.git_dir, f"quantum-{self.check}-before")

    @property
    def index_after(self) -> Path:
        """The index as it shall be."""
        return Path(self.git_dir, f"quantum-{self.check}-after")

    @property
    def names(self) -> Path:
        """Second names of the files that are written over or removed."""
        return Path(self.git_dir, f"quantum-{self.check}-names")


def write_intent(repository: Repository, intent: Intent) -> None:
    """Record it, surviving a power cut; replaces the same check's older record whole. Raises OSError."""
    text = json.dumps({"version": 1, **dataclasses.asdict(intent)}, indent=1) + "\n"
    atomic_write(_path(repository, intent), text.encode(errors="surrogateescape"))


def recorded_at_ns(repository: Repository, intent: Intent) -> int:
    """When it was recorded, by the repository's own file system. Raises OSError if it is not."""
    return _path(repository, intent).stat().st_mtime_ns


def remove_intent(repository: Repository, intent: Intent) -> None:
    """Forget it: the move is made, or undone. Raises OSError."""
    _path(repository, intent).unlink(missing_ok=True)
    sync_directory(quantum_folder(repository))


def read_intents(repository: Repository) -> list[Intent]:
    """Every move in this repository and its work trees that has not been ended, by name.

    Raises Internal for a record that cannot be read: nothing is guessed about a half-made move.
    """
    found = []
    for path in sorted((repository.common_dir / "quantum").glob("intent-*.json")):
        try:
            document = json.loads(path.read_bytes())
            if document.pop("version") != 1:
                raise ValueError("it is of an unknown version")
            locks = tuple(FileMark(**mark) for mark in document.pop("locks"))
            heads = tuple(document.pop("merge_heads"))
            found.append(Intent(locks=locks, merge_heads=heads, **document))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Internal("intent_not_read", f"{path} cannot be read: {error}.") from error
    return found


def _path(repository: Repository, intent: Intent) -> Path:
    return quantum_folder(repository) / f"intent-{intent.check}.json"
