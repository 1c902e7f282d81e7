"""What the smoke test of a project is, by `quantum.toml` or by what its files show, and whether it is whole."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NoReturn, Protocol

from foundation.errors import Invalid, QuantumError, did_you_mean
from foundation.quantities import parse_duration
from merge_guard.values import Policy, SmokeTest

TIMEOUT_SECONDS = 300.0
TIMEOUT_SECONDS_MAX = 1800.0
SETTINGS = "quantum.toml"
_MERGE_KEYS = ("smoke", "timeout", "policy", "branches", "background")
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
_MAKE_PROGRAMS = frozenset({"make", "gmake", "bmake"})
_NPM_PROGRAMS = frozenset({"npm", "pnpm", "yarn"})
_WORD = re.compile(r"[\w./+-]+")
_LOOKED_AT = 64 * 1024
# make: *** [Makefile:2: smoke] Error 127 – in whatever language.
_MAKE_FAILED = re.compile(r"^\S*make\S*: \*\*\* \[.*\] \S+ ([0-9]+)$", re.MULTILINE)


class Tree(Protocol):
    """The files of a project: those of a folder, or of a commit. Paths are relative, with `/`."""

    def text(self, path: str) -> str | None:
        """What a file holds, whatever is not UTF-8 replaced; None where there is no such file."""
        ...

    def has(self, path: str) -> bool:
        """Whether there is a file or a folder of this path."""
        ...

    def files(self, folder: str) -> Sequence[str]:
        """The paths of all files below a folder; none where there is no such folder."""
        ...


class Folder:
    """The Tree of a folder as it lies there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def text(self, path: str) -> str | None:
        """What a file holds."""
        file = self._path / path
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None

    def has(self, path: str) -> bool:
        """Whether there is a file or a folder of this path."""
        return os.path.lexists(self._path / path)

    def files(self, folder: str) -> Sequence[str]:
        """The paths of all files below a folder."""
        return [path.relative_to(self._path).as_posix() for path in (self._path / folder).rglob("*") if path.is_file()]


def smoke_test(tree: Tree, *, python: str = "python3", pythonpath: str = "") -> SmokeTest | None:
    """The smoke test that a tree declares or shows; None when it shows none.

    `python` runs a pytest that was found, with `pythonpath` before everything else where it is given: an environment in
    which the project is installed as "editable" would otherwise test the folder it was installed from.

    Raises Invalid, code `bad_quantum_toml`, with every fault of `quantum.toml`.
    """
    merge = _merge_table(tree)
    named = _words("smoke", merge.get("smoke"), '["make", "smoke"]')
    found = (named, f"{SETTINGS} says so") if named else _shown(tree, python, pythonpath)
    if found is None:
        return None
    return SmokeTest(
        argv=found[0],
        because=found[1],
        timeout_seconds=_timeout(merge.get("timeout")),
        policy=_policy(merge.get("policy", Policy.ROLLBACK.value)),
        branches=_words("branches", merge.get("branches"), '["main"]'),
    )


def is_protected(branch: str, patterns: Sequence[str]) -> bool:
    """Whether `[merge] branches` means a branch ("": a detached HEAD); without any it means every one."""
    return not patterns or any(fnmatchcase(branch, pattern) for pattern in patterns)


def _merge_table(tree: Tree) -> Mapping[str, object]:
    text = tree.text(SETTINGS)
    if text is None:
        return {}
    try:
        merge = tomllib.loads(text).get("merge", {})
    except ValueError as error:
        _refuse(f"{SETTINGS} cannot be read: {error}.")
    if not isinstance(merge, dict):
        _refuse(f"In {SETTINGS}, [merge] must be a table.")
    for key in merge:
        if key not in _MERGE_KEYS:
            near = did_you_mean(key, _MERGE_KEYS)
            _refuse(f"In {SETTINGS}, [merge] has no key {key}{f'; is it {near}?' if near else '.'}")
    if not isinstance(merge.get("background", False), bool):
        _refuse(f"In {SETTINGS}, [merge] background must be true or false.")
    return merge


def _refuse(sentence: str) -> NoReturn:
    raise Invalid("bad_quantum_toml", sentence, remedy=f"Correct {SETTINGS} on the branch that is merged into.")


def _words(key: str, value: object, example: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not value or not all(isinstance(word, str) and word for word in value):
        _refuse(f"In {SETTINGS}, [merge] {key} must be a list of words, such as {example}.")
    return tuple(value)


def _timeout(value: object) -> float:
    if value is None:
        return TIMEOUT_SECONDS
    try:
        seconds = parse_duration(value).total_seconds() if isinstance(value, str) else 0.0
    except QuantumError:
        seconds = 0.0
    if not 0 < seconds <= TIMEOUT_SECONDS_MAX:
        _refuse(f'In {SETTINGS}, [merge] timeout must be a duration up to 30m, such as "5m", not {value!r}.')
    return seconds


def _policy(value: object) -> Policy:
    if value not in list(Policy):
        _refuse(f"In {SETTINGS}, [merge] policy must be one of {', '.join(Policy)}, not {value!r}.")
    return Policy(str(value))


def _shown(tree: Tree, python: str, pythonpath: str) -> tuple[tuple[str, ...], str] | None:
    makefile = _makefile(tree)
    if makefile and _has_target(tree.text(makefile) or "", "smoke"):
        return ("make", "smoke"), f"{makefile} has a target smoke"
    if "smoke" in _npm_scripts(tree):
        return ("npm", "run", "smoke"), "package.json has a script smoke"
    if any(_is_pytest_file(path) for path in tree.files("tests")):
        before = ("env", f"PYTHONPATH={pythonpath}") if pythonpath else ()
        pytest = (python, "-m", "pytest", "tests/", "-k", "smoke", "--tb=short", "-q")
        return (*before, *pytest), "tests/ holds pytest files"
    if tree.has("Package.swift") and tree.files("Tests"):
        return ("swift", "test"), "Package.swift has Tests/"
    return None


def _is_pytest_file(path: str) -> bool:
    name = PurePosixPath(path).name
    return name.startswith("test_") and name.endswith(".py")


def _makefile(tree: Tree) -> str:
    return next((name for name in _MAKEFILES if tree.text(name) is not None), "")


def _has_target(makefile: str, target: str) -> bool:
    return re.search(rf"^{re.escape(target)}\s*:(?!=)", makefile, re.MULTILINE) is not None


def _npm_scripts(tree: Tree) -> Mapping[str, object]:
    try:
        package = json.loads(tree.text("package.json") or "{}")
    except ValueError:
        return {}
    scripts = package.get("scripts") if isinstance(package, dict) else None
    return scripts if isinstance(scripts, dict) else {}


def missing_part(argv: Sequence[str], old: Tree, new: Tree) -> str:
    """What the test is made of that `old` has and `new` has not, as a sentence; empty: nothing.

    A path or a module among the words, the target of make or the script of npm, and a path that those, or a file among
    the words, name in turn: without it a red test tells nothing of what came.
    """
    program = PurePosixPath(argv[0]).name
    words = (*argv, *_words_of([word for word in argv if " " in word]), *_words_of(_texts(argv, new)))
    paths = [path for word in words for path in _paths_in(word)]
    if program == "cargo":
        paths += [f"tests/{word}.rs" for word in argv[1:]]
    gone = next((path for path in paths if old.has(path) and not new.has(path)), "")
    if gone:
        return f"{gone}, which the test needs, is not there any more."
    for word in argv[1:]:
        if program in _MAKE_PROGRAMS and _rule(old, word) and not _rule(new, word):
            return f"The target {word} is not in the Makefile any more."
        if program in _NPM_PROGRAMS and word in _npm_scripts(old) and word not in _npm_scripts(new):
            return f"The script {word} is not in package.json any more."
    if program == "swift" and old.has("Package.swift") and not new.has("Package.swift"):
        return "Package.swift is not there any more."
    return ""


def _paths_in(word: str) -> Sequence[str]:
    """The paths that a word may mean: `./tests/smoke.sh`, `tests/test_it.py::test_one`, the module `tests.test_it`."""
    path = os.path.normpath(word.partition("::")[0].removesuffix("/...") or ".")
    if path.startswith(("/", "..", "-")) or path == ".":
        return ()
    module = path.replace(".", "/") if "/" not in path else ""
    return (path, module, f"{module}.py") if module.strip("/") else (path,)


def _texts(argv: Sequence[str], tree: Tree) -> Sequence[str]:
    """What the test does, as far as it can be read without running it."""
    program = PurePosixPath(argv[0]).name
    texts = [tree.text(path) for path in dict.fromkeys(os.path.normpath(word) for word in argv) if tree.has(path)]
    if program in _MAKE_PROGRAMS:
        texts += [_rule(tree, word) for word in argv[1:]]
    if program in _NPM_PROGRAMS:
        texts += [str(_npm_scripts(tree).get(word, "")) for word in argv[1:]]
    return [text[:_LOOKED_AT] for text in texts if text]


def _words_of(texts: Sequence[str]) -> Sequence[str]:
    """Words with a `/` or a suffix in them: a bare word is too often no path."""
    return [word for text in texts for word in _WORD.findall(text) if "/" in word or "." in word.strip(".")]


def _rule(tree: Tree, target: str) -> str:
    """The lines of a target in the makefile, with those of the targets that it needs; empty where there is none."""
    makefile = tree.text(_makefile(tree)) or "" if _makefile(tree) else ""
    rules: dict[str, str] = {}
    wanted = [target]
    while wanted:
        name = wanted.pop()
        found = re.search(rf"^{re.escape(name)}\s*:(?!=)(.*(?:\n(?:\t.*|[ ]*(?=\n)))*)", makefile, re.MULTILINE)
        if found and name not in rules:
            rules[name] = found[0]
            wanted += found[1].partition("\n")[0].partition("#")[0].partition(";")[0].split()
    return "\n".join(rules.values())


def exit_tells(argv: Sequence[str], exit_code: int, tail: str) -> str:
    """Why an exit code of this command tells nothing of the tree, as a sentence; empty: it does.

    Not asked about 0. `tail` is the end of the output, in which make tells the code of the command that it ran.
    """
    inner = _MAKE_FAILED.findall(tail) if PurePosixPath(argv[0]).name in _MAKE_PROGRAMS else []
    code = int(inner[-1]) if inner else exit_code
    if code == 127:
        return "A command of the test was not found (exit 127)."
    if code == 126:
        return "A command of the test cannot be executed (exit 126)."
    if code in (-9, -15, 137, 143):
        return "The test was killed from outside, or for want of memory."
    if code in (4, 5) and (inner or any(PurePosixPath(word).name in ("pytest", "py.test") for word in argv)):
        nothing = "no tests ran" in tail or " deselected" in tail or "collected 0 items" in tail
        if not inner or nothing:
            return f"pytest did not find the test that it was to run (exit {code})."
    return ""
