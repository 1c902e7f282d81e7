"""Finds the scripts of a folder and reads them as bytes; looks at no process and runs nothing."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath

from cli.runbook.links import HOME, SHIM

READ_BYTES_MAX = 1024 * 1024
FILES_MAX = 10_000
SUFFIXES = frozenset({".sh", ".bash", ".zsh", ".py", ".swift", ".js", ".rb", ".pl"})
PASSED_BY = frozenset(
    {".git", ".hg", ".quantum", HOME, "node_modules", ".venv", "venv", "__pycache__", ".build", "Pods", "logs"}
)
_BACKUP = re.compile(
    r"(?:\.(?:bak|backup|old|orig|save|disabled)(?:[._-][\w.-]*)?|~|\.(?:sh|py|bash|zsh)\.\d[\w.]*"
    r"| copy(?: \d+)?(?:\.\w+)| \d{1,2}(?:\.\w+)|\.(?:sh|py)\.(?:backup|bak|old)[\w.-]*)$",
    re.IGNORECASE,
)
MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptFile:
    """One file as it lies there. `data` is cut at 1 MiB; `fault` is a code of `defects.CODES` where it was not read."""

    path: Path
    """Absolute; the folder's own links are followed, the file's are not."""
    shown: str
    """Below the folder that was named."""
    data: bytes = b""
    size: int = 0
    mode: int = 0
    links: int = 1
    sha256: str = ""
    fault: str = ""
    fault_detail: str = ""

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.name

    @property
    def executable(self) -> bool:
        """Whether its owner may run it."""
        return bool(self.mode & 0o100)

    @property
    def is_text(self) -> bool:
        """Whether it can be read as text: a zero byte is in no script."""
        return b"\0" not in self.data

    @property
    def is_backup(self) -> bool:
        """Whether its name is that of a copy."""
        return _BACKUP.search(self.name) is not None


def find_scripts(folder: Path, cut: Callable[[str], object] = lambda _: None) -> Iterator[ScriptFile]:
    """Every script below a folder, by name: by its ending, or by its first line where it has none.

    No more than `FILES_MAX`: `cut` is told the first one that is left out.
    """
    found = _walk(folder)
    yield from islice(found, FILES_MAX)
    if (beyond := next(found, None)) is not None:
        cut(beyond.shown)


def _walk(folder: Path) -> Iterator[ScriptFile]:
    closed: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=closed.append):
        folders[:] = sorted(name for name in folders if name not in PASSED_BY and not _is_agent_folder(parent, name))
        for name in sorted(names):
            path = Path(parent, name)
            if name.startswith(".quantum-adopt") or not _may_be_script(path):
                continue
            found = _read(path, str(path.relative_to(folder)))
            if found is not None:
                yield found
    for error in closed:
        path = Path(os.fsdecode(error.filename))
        shown = str(path.relative_to(folder)) if path != folder else "."
        yield ScriptFile(path=path, shown=shown, fault="unreadable", fault_detail=error.strerror or "")


def _is_agent_folder(parent: str, name: str) -> bool:
    """A folder with an agent.toml is an agent already."""
    return os.path.isfile(os.path.join(parent, name, "agent.toml"))


def _may_be_script(path: Path) -> bool:
    suffix = PurePath(path.name).suffix
    return (
        suffix in SUFFIXES
        or suffix == ""
        or (_BACKUP.search(path.name) is not None and bool(re.search(r"\.(?:sh|py|bash|zsh)", path.name)))
    )  # fmt: skip


def _read(path: Path, shown: str) -> ScriptFile | None:
    suffix = PurePath(path.name).suffix
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return _read_link(path, shown)
        if not stat.S_ISREG(status.st_mode):
            return None
        with path.open("rb") as file:
            data = file.read(READ_BYTES_MAX)
            rest = hashlib.sha256(data)
            while more := file.read(READ_BYTES_MAX):
                rest.update(more)
    except PermissionError:
        return ScriptFile(path=path, shown=shown, fault="unreadable") if suffix in SUFFIXES else None
    except OSError as error:
        return ScriptFile(path=path, shown=shown, fault="unreadable", fault_detail=error.strerror or "")
    if suffix == "" and not (data.startswith(b"#!") and status.st_mode & 0o111):
        return None
    return ScriptFile(
        path=path,
        shown=shown,
        data=data,
        size=status.st_size,
        mode=stat.S_IMODE(status.st_mode),
        links=status.st_nlink,
        sha256=rest.hexdigest(),
    )


def _read_link(path: Path, shown: str) -> ScriptFile | None:
    """A link is named when it leads nowhere or out of the folder; within it, what it leads to is there itself.

    The runbook's command names are no scripts of the user's.
    """
    if PurePath(path.name).suffix not in SUFFIXES or PurePath(os.readlink(path)).parts[-2:] == (HOME, SHIM):
        return None
    if not path.exists():
        return ScriptFile(path=path, shown=shown, fault="link-broken")
    root = Path(str(path)[: -len(shown) - 1])
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        return ScriptFile(path=path, shown=shown, fault="link-outside")
    return None
