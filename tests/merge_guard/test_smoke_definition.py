"""smoke: what is chosen from a tree, what is refused, and when a red test tells nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from foundation.errors import Invalid
from merge_guard.smoke import exit_tells, missing_part, smoke_test
from merge_guard.values import Policy


class Files:
    """A Tree of given texts."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def text(self, path: str) -> str | None:
        return self._files.get(path)

    def has(self, path: str) -> bool:
        return any(file == path or file.startswith(f"{path}/") for file in self._files)

    def files(self, folder: str) -> Sequence[str]:
        return [file for file in self._files if file.startswith(f"{folder}/")]


def test_quantum_toml_says_all_there_is() -> None:
    text = '[merge]\nsmoke = ["make", "quick"]\ntimeout = "90s"\npolicy = "propose"\n'
    text += 'branches = ["main", "release/*"]\nbackground = true\n'
    found = smoke_test(Files({"quantum.toml": text, "Makefile": "smoke:\n"}))
    assert found is not None
    assert found.argv == ("make", "quick") and found.timeout_seconds == 90 and found.policy is Policy.PROPOSE
    assert found.branches == ("main", "release/*")


@pytest.mark.parametrize(
    ("files", "argv"),
    [
        ({"Makefile": "all:\nsmoke: all\n\ttrue\n", "package.json": '{"scripts": {"smoke": "x"}}'}, "make smoke"),
        ({"Makefile": "smoke := 1\n", "package.json": '{"scripts": {"smoke": "x"}}'}, "npm run smoke"),
        ({"tests/unit/test_it.py": ""}, "python3 -m pytest tests/ -k smoke --tb=short -q"),
        ({"Package.swift": "", "Tests/ATests/A.swift": ""}, "swift test"),
        ({"quantum.toml": "[merge]\npolicy = 'report'\n", "Makefile": "smoke:\n"}, "make smoke"),
    ],
)
def test_what_files_show(files: Mapping[str, str], argv: str) -> None:
    found = smoke_test(Files(files))
    assert found is not None and " ".join(found.argv) == argv and found.timeout_seconds == 300


@pytest.mark.parametrize(
    "files", [{}, {"Package.swift": ""}, {"tests/README": ""}, {"package.json": "[]"}, {"package.json": "{"}]
)
def test_nothing_shown(files: Mapping[str, str]) -> None:
    assert smoke_test(Files(files)) is None


def test_an_environment_of_the_users_tests_the_scratch_folder() -> None:
    found = smoke_test(Files({"tests/test_it.py": ""}), python="/home/ada/p/.venv/bin/python", pythonpath="src:.")
    assert found is not None and found.argv[:4] == ("env", "PYTHONPATH=src:.", "/home/ada/p/.venv/bin/python", "-m")


@pytest.mark.parametrize(
    ("merge", "sentence"),
    [
        ('smoke = "make"', "list of words"),
        ("smoke = []", "list of words"),
        ('timeout = "soon"', "duration"),
        ('timeout = "3h"', "up to 30m"),
        ("timeout = 5", "duration"),
        ('policy = "shout"', "rollback, propose, report"),
        ('branchs = ["main"]', "is it branches?"),
        ("branches = [1]", "list of words"),
        ('background = "yes"', "true or false"),
    ],
)
def test_faults_are_sentences(merge: str, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence.replace("?", r"\?")):
        smoke_test(Files({"quantum.toml": f"[merge]\n{merge}\n", "Makefile": "smoke:\n"}))


def test_unreadable_toml() -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        smoke_test(Files({"quantum.toml": "[merge\n"}))


MAKE = {
    "Makefile": "smoke: prepare\n\t./check.sh && python tests/one.py\n\nprepare:\n\tsh prepare.sh\nother:\n\tsh x.sh\n"
}


@pytest.mark.parametrize(
    ("argv", "old", "gone", "named"),
    [
        (("sh", "./smoke.sh"), {"smoke.sh": "true"}, "smoke.sh", "smoke.sh"),
        (("pytest", "tests/test_a.py::test_one"), {"tests/test_a.py": ""}, "tests/test_a.py", "tests/test_a.py"),
        (("pytest", "tests/"), {"tests/test_a.py": ""}, "tests/test_a.py", "tests"),
        (("python3", "-m", "unittest", "tests.test_a"), {"tests/test_a.py": ""}, "tests/test_a.py", "tests/test_a.py"),
        (("python3", "-m", "smoke"), {"smoke.py": ""}, "smoke.py", "smoke.py"),
        (("make", "smoke"), MAKE, "Makefile", "target smoke"),
        (("make", "smoke"), {**MAKE, "check.sh": ""}, "check.sh", "check.sh"),
        (("make", "smoke"), {**MAKE, "tests/one.py": ""}, "tests/one.py", "tests/one.py"),
        (("make", "smoke"), {**MAKE, "prepare.sh": ""}, "prepare.sh", "prepare.sh"),
        (("sh", "smoke.sh"), {"smoke.sh": "exec sh lib/run.sh\n", "lib/run.sh": ""}, "lib/run.sh", "lib/run.sh"),
        (("npm", "run", "smoke"), {"package.json": '{"scripts": {"smoke": "node s.js"}}', "s.js": ""}, "s.js", "s.js"),
        (("npm", "run", "smoke"), {"package.json": '{"scripts": {"smoke": "x"}}'}, "package.json", "script smoke"),
        (("swift", "test"), {"Package.swift": ""}, "Package.swift", "Package.swift"),
        (("sh", "-c", "python3 tests/smoke.py --all"), {"tests/smoke.py": ""}, "tests/smoke.py", "tests/smoke.py"),
        (("cargo", "test", "--test", "smoke"), {"tests/smoke.rs": ""}, "tests/smoke.rs", "tests/smoke.rs"),
        (("go", "test", "./smoke/..."), {"smoke/smoke_test.go": ""}, "smoke/smoke_test.go", "smoke"),
    ],
)
def test_what_is_gone_is_missed(argv: tuple[str, ...], old: Mapping[str, str], gone: str, named: str) -> None:
    rest = {path: text for path, text in old.items() if path != gone}
    assert named in missing_part(argv, Files(old), Files(rest))
    assert missing_part(argv, Files(old), Files(old)) == ""


def test_what_the_test_does_not_need_is_not_missed() -> None:
    old = {**MAKE, "x.sh": "", "src/app.py": ""}
    assert missing_part(("make", "smoke"), Files(old), Files(MAKE)) == ""
    # The rule was changed with the file that it named.
    changed = {"Makefile": "smoke:\n\tsh other.sh\n", "other.sh": ""}
    assert missing_part(("make", "smoke"), Files({**MAKE, "check.sh": ""}), Files(changed)) == ""


@pytest.mark.parametrize(
    ("argv", "code", "tail", "tells"),
    [
        (("x",), 1, "", True),
        (("x",), 2, "", True),
        (("x",), 75, "", True),
        (("x",), -11, "", True),
        (("x",), 126, "", False),
        (("x",), 127, "", False),
        (("x",), -9, "", False),
        (("x",), 137, "", False),
        (("x",), 5, "", True),
        (("python3", "-m", "pytest", "-k", "smoke"), 1, "", True),
        (("python3", "-m", "pytest", "-k", "smoke"), 2, "", True),
        (("python3", "-m", "pytest", "-k", "smoke"), 5, "", False),
        ((".venv/bin/pytest", "tests/test_x.py"), 4, "", False),
        (("make", "smoke"), 2, "make: *** [Makefile:2: smoke] Error 1\n", True),
        (("make", "smoke"), 2, "sh: 1: nope: not found\nmake: *** [Makefile:2: smoke] Error 127\n", False),
        (("make", "smoke"), 2, "make: *** [Makefile:2: smoke] Fehler 126", False),
        (("make", "smoke"), 2, "no tests ran in 0.01s\nmake: *** [Makefile:2: smoke] Error 4\n", False),
        (("make", "smoke"), 2, "make: *** [Makefile:2: smoke] Error 4\n", True),
    ],
)
def test_exit_codes_that_tell_nothing(argv: tuple[str, ...], code: int, tail: str, tells: bool) -> None:
    assert (exit_tells(argv, code, tail) == "") is tells
