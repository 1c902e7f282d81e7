"""Where a repository is, and in which folder git looks for its hooks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from foundation.errors import Conflict, Internal, NotFound

GIT_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A work tree and its repository; absolute, links resolved."""

    top: Path
    common_dir: Path
    """Git's own folder, shared by linked work trees; of a submodule, its own."""

    @property
    def own_hooks(self) -> Path:
        """Where git looks unless it is told otherwise; need not exist, may be a link."""
        return self.common_dir / "hooks"

    @property
    def beside(self) -> Path:
        """Where our hooks are put when the folder in use is not the repository's own."""
        return self.common_dir / "quantum" / "hooks"


@dataclass(frozen=True, slots=True, kw_only=True)
class HooksPath:
    """What `core.hooksPath` says. `value` as it was written, `folder` with `~` resolved and perhaps relative."""

    scope: str
    value: str
    folder: str


def find_place(folder: Path) -> Place:
    """The repository around a folder. Raises NotFound where there is none, Conflict for a bare one."""
    if not folder.is_dir():
        raise NotFound("no_folder", f"{folder} is no folder.")
    said = ask_git(folder, "rev-parse", "--is-bare-repository", "--git-common-dir")
    if said is None:
        raise NotFound("no_repository", f"{folder} is in no git repository.", remedy=f"git init {folder}")
    bare, _, common = said.partition("\n")
    top = ask_git(folder, "rev-parse", "--show-toplevel")
    if bare == "true" or top is None:
        raise Conflict(
            "no_work_tree",
            f"{folder} has no work tree: nobody merges in it.",
            remedy="Name a folder in which somebody does.",
        )
    return Place(top=Path(top).resolve(), common_dir=(folder / common).resolve())


def submodules(place: Place) -> Iterator[Place]:
    """Those that are checked out there, each followed by its own."""
    listed = ask_git(place.top, "ls-files", "--stage", "-z") or ""
    for entry in listed.split("\0"):
        mode, _, path = entry.partition("\t")
        folder = place.top / path
        if mode.startswith("160000 ") and (folder / ".git").exists():
            inner = find_place(folder)
            yield inner
            yield from submodules(inner)


def hooks_path(place: Place) -> HooksPath | None:
    """What `core.hooksPath` says there, None when it is not set."""
    said = ask_git(place.top, "config", "--show-scope", "--get", "core.hooksPath")
    if said is None:
        return None
    scope, _, value = said.partition("\t")
    return HooksPath(scope=scope, value=value, folder=config(place, "core.hooksPath", as_path=True) or value)


def hooks_folder(place: Place) -> Path:
    """The folder in which git looks for hooks there; a relative one counts from the work tree."""
    path = hooks_path(place)
    return place.top / path.folder if path else place.own_hooks


def is_own(place: Place, folder: Path) -> bool:
    """Whether a folder of hooks is within git's own one, where nobody but this repository has it.

    Any other may be tracked by git, shared with other repositories, or made anew by a tool.
    """
    return folder.resolve().is_relative_to(place.common_dir)


def config(place: Place, name: str, *, local: bool = False, as_path: bool = False) -> str | None:
    """A value of git's configuration."""
    where = ("--local",) if local else ()
    kind = ("--type=path",) if as_path else ()
    return ask_git(place.top, "config", *where, *kind, "--get", name)


def set_config(place: Place, name: str, value: str | None) -> None:
    """Set a value in the repository's own configuration, or take it out; raises Internal with git's words."""
    words = ("--replace-all", name, value) if value is not None else ("--unset-all", name)
    done = _run(place.top, "config", "--local", *words)
    if done.returncode != 0 and not (value is None and done.returncode == 5):  # 5: it was not there
        said = os.fsdecode(done.stderr).strip().removeprefix("error: ")
        raise Internal("git_refused", f"git did not change the configuration of {place.top}: {said}.")


def ask_git(folder: Path, *words: str) -> str | None:
    """What git says, without the last line end; None when it fails."""
    done = _run(folder, *words)
    return os.fsdecode(done.stdout).removesuffix("\n") if done.returncode == 0 else None


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder as if nobody had told it of another repository (as a hook's environment would).

    Not by `merge_guard.git`, which has hooks off: here git is asked where it looks for them.
    """
    # The user's own configuration counts: that is where a shared core.hooksPath stands.
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
    }
    try:
        return subprocess.run(
            ["git", *words],
            cwd=folder,
            env={**environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise NotFound("no_git", "git is not installed.", remedy="sudo apt-get install git") from None
