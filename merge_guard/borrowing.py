"""Makes repositories that borrow the objects of the user's, which are only ever read, and share nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from foundation.errors import Unavailable
from merge_guard.git import Git
from merge_guard.values import Repository

# Of the user's own settings for this repository: who commits, and how files are merged and written.
_CARRIED_OVER = r"^(user|author|committer|merge|diff|filter)\.|^core\.(autocrlf|eol|safecrlf|attributesfile)$"
# No hooks; and whatever changed in a file shows, whatever the user's settings trust.
_OWN_SETTINGS = (
    ("core.hooksPath", os.devnull),
    ("core.checkStat", "default"),
    ("core.ignoreStat", "false"),
    ("core.untrackedCache", "false"),
    ("core.sparseCheckout", "false"),
    ("gc.auto", "0"),
    ("advice.detachedHead", "false"),
)
_GITLINK = b"160000"


class Lender:
    """The user's repository, of which `theirs` is the git; `here` is one that runs where the borrowers are."""

    def __init__(self, repository: Repository, theirs: Git, here: Git) -> None:
        self._common_dir = repository.common_dir
        self.here = here
        carried = theirs.run("config", "--local", "--includes", "--null", "--get-regexp", _CARRIED_OVER)
        entries = os.fsdecode(carried.out).split("\0") if carried.exit_code == 0 else []
        self._settings = [*_OWN_SETTINGS, *(_key_and_value(entry) for entry in entries if entry)]
        self._tags = theirs.output("for-each-ref", "--format=%(objectname) %(refname)", "refs/tags")
        self._format = theirs.text("rev-parse", "--show-object-format")

    def make(self, folder: Path, *more: Path, bare: bool = False) -> None:
        """Make a repository that has the user's objects, and those of `more`, its settings and its tags."""
        own = self.make_empty(folder, bare=bare)
        _borrow(own, (*more, self._common_dir), self._settings)
        (own / "packed-refs").write_bytes(self._tags)
        for name in ("shallow", "info/attributes"):
            source = self._common_dir / name
            if source.is_file():
                (own / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(source, own / name)

    def make_of(self, folder: Path, lender: Path) -> None:
        """Make a repository that has the objects of another one of the user's, by git's own folder of that."""
        _borrow(self.make_empty(folder), (lender,), _OWN_SETTINGS)

    def make_empty(self, folder: Path, *, bare: bool = False) -> Path:
        """Make a repository without anything; returns git's own folder of it."""
        folder.mkdir(parents=True, exist_ok=True)
        plain = ("init", "--quiet", "--template=", f"--object-format={self._format}", *(["--bare"] if bare else []))
        self.here.at(folder).output("-c", "init.defaultRefFormat=files", *plain)
        return folder if bare else folder / ".git"


def _borrow(own: Path, lenders: Sequence[Path], settings: Sequence[tuple[str, str]]) -> None:
    info = own / "objects" / "info"
    info.mkdir(exist_ok=True)
    (info / "alternates").write_bytes(b"".join(os.fsencode(lender / "objects") + b"\n" for lender in lenders))
    with (own / "config").open("a", encoding="utf-8", errors="surrogateescape") as config:
        config.writelines(_setting(key, value) for key, value in settings)


def fill_submodules(lender: Lender, git: Git, modules: Sequence[Path], theirs: Path) -> None:
    """Check out the submodules that the user has, from the user's own copies; nothing is fetched.

    `git` is that of the checked out project, `modules` where the user's copies may lie, `theirs` the user's work tree.
    One that the user has not is left empty. Raises Unavailable for one that has not the commit that is wanted.
    """
    for entry in git.output("ls-files", "--stage", "-z").split(b"\0"):
        if not entry.startswith(_GITLINK):
            continue
        about, _, raw = entry.partition(b"\t")
        path, commit = os.fsdecode(raw), about.split()[1].decode()
        name = _submodule_name(git, path)
        places = (*(place / name for place in modules), theirs / path / ".git")
        copy = next((place for place in places if (place / "objects").is_dir() and (place / "HEAD").is_file()), None)
        if copy is None:
            continue
        folder = git.folder / path
        lender.make_of(folder, copy)
        inner = git.at(folder)
        if not inner.commit_of(commit):
            raise Unavailable(
                "submodule_missing",
                f"The submodule {path} has no commit {commit[:12]} here.",
                remedy="git submodule update --init --recursive",
            )
        inner.output("checkout", "--quiet", "--detach", "--force", commit)
        fill_submodules(lender, inner, (copy / "modules",), theirs / path)


def ceilings(folder: Path) -> str:
    """GIT_CEILING_DIRECTORIES that keep git, started in a folder or beside it, from a repository around it."""
    return os.pathsep.join(str(parent) for parent in folder.parents)


def _submodule_name(git: Git, path: str) -> str:
    done = git.run("config", "--file", ".gitmodules", "--null", "--get-regexp", r"^submodule\..*\.path$")
    for entry in os.fsdecode(done.out).split("\0"):
        key, _, value = entry.partition("\n")
        if value == path:
            return key.removeprefix("submodule.").removesuffix(".path")
    return path


def _key_and_value(entry: str) -> tuple[str, str]:
    """As `git config --null` tells them; a key alone means true."""
    key, newline, value = entry.partition("\n")
    return key, value if newline else "true"


def _setting(key: str, value: str) -> str:
    """One setting as a part of a configuration file."""
    section, _, rest = key.partition(".")
    subsection, dot, name = rest.rpartition(".")
    head = f'[{section} "{_escaped(subsection)}"]' if dot else f"[{section}]"
    return f'{head}\n\t{name if dot else rest} = "{_escaped(value)}"\n'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
