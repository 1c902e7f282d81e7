"""checking: verdicts over real repositories and real tests; what tells nothing never makes a merge bad."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from foundation.clock import SystemClock
from merge_guard.checking import Bench, check, definition
from merge_guard.dependencies import wanting
from merge_guard.repository import open_repository
from merge_guard.scratch import Scratch
from merge_guard.values import Arrival, Colour, Finding, Kind, Verdict
from tests.merge_guard.sample import Sample


def toml(*words: str, timeout: str = "30s") -> str:
    return f"[merge]\nsmoke = {list(words)!r}\ntimeout = '{timeout}'\n"


def arrival_of(old: str, new: str) -> Arrival:
    return Arrival(old=old, new=new, kind=Kind.FAST_FORWARD, branch="main", pulled=False, commits=1)


def checked(sample: Sample, work: Path, old: str, new: str) -> Finding:
    """A check of what a fast-forward brought, in a scratch repository of its own."""
    work.mkdir()
    repository = open_repository(sample.folder, git=sample.git)
    scratch = Scratch(repository, work, sample.git)
    test = definition(scratch, repository, old)
    assert test is not None
    bench = Bench(scratch, test, old, environment=sample.environment, clock=SystemClock())
    return check(bench, arrival_of(old, new), lambda line: None)


def colours(finding: Finding, commit: str) -> list[Colour]:
    return [run.colour for run in finding.runs if run.commit == commit]


OLD = {"quantum.toml": toml("sh", "smoke.sh"), "smoke.sh": "cat value; test $(cat value) = good\n", "value": "good\n"}


def test_good_needs_one_run(sample: Sample, tmp_path: Path) -> None:
    old, new = sample.commit(OLD), sample.commit({"other": "x\n"})
    finding = checked(sample, tmp_path / "work", old, new)
    assert finding.verdict is Verdict.GOOD and len(finding.runs) == 1
    assert finding.runs[0].tree == sample.tree(new) and finding.runs[0].tail == "good\n"


def test_bad_needs_five_and_five(sample: Sample, tmp_path: Path) -> None:
    old, new = sample.commit(OLD), sample.commit({"value": "bad\n"})
    finding = checked(sample, tmp_path / "work", old, new)
    assert finding.verdict is Verdict.BAD
    assert colours(finding, new) == [Colour.RED] * 5 and colours(finding, old) == [Colour.GREEN] * 5
    assert {run.tree for run in finding.runs if run.commit == new} == {sample.tree(new)}


def test_red_before_is_pre_existing(sample: Sample, tmp_path: Path) -> None:
    old, new = sample.commit({**OLD, "value": "bad\n"}), sample.commit({"other": "x\n"})
    assert checked(sample, tmp_path / "work", old, new).verdict is Verdict.PRE_EXISTING


def test_the_definition_is_that_of_the_tree_before(sample: Sample, tmp_path: Path) -> None:
    old = sample.commit(OLD)
    new = sample.commit({"quantum.toml": toml("true"), "value": "bad\n"})
    assert checked(sample, tmp_path / "work", old, new).verdict is Verdict.BAD


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (OLD, {"smoke.sh": "exit 126\n"}, "126"),
        (OLD, {"smoke.sh": "exit 127\n"}, "127"),
        (OLD, {"smoke.sh": "no-such-command\n"}, "127"),
        (OLD, {"smoke.sh": "kill -9 $$\n"}, "killed"),
        ({**OLD, "quantum.toml": toml("sh", "smoke.sh", timeout="300ms")}, {"smoke.sh": "sleep 600\n"}, "time limit"),
        ({**OLD, "quantum.toml": toml("./smoke.sh"), "smoke.sh": "#!/bin/sh\n"}, {"smoke.sh": "true\n"}, "126"),
        ({**OLD, "quantum.toml": toml("no-such-program")}, {"x": "y\n"}, "127"),
        ({"Makefile": "smoke:\n\tsh t.sh\n", "t.sh": "true\n"}, {"t.sh": "exit 127\n"}, "127"),
        ({"Makefile": "smoke:\n\ttrue\n"}, {"Makefile": "all:\n\ttrue\n"}, "target smoke"),
    ],
)
def test_what_tells_nothing_is_inconclusive(
    sample: Sample, tmp_path: Path, old: dict[str, str], new: dict[str, str], why: str
) -> None:
    before = sample.commit(old)
    finding = checked(sample, tmp_path / "work", before, sample.commit(new))
    assert finding.verdict is Verdict.INCONCLUSIVE and why in finding.reason, finding


PYTHON = {
    "quantum.toml": toml("python3", "-B", "-c", "import src.app"),
    "src/app.py": "",
    "src/own.py": "",
    "pyproject.toml": "",
}


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        ({"src/app.py": "import notyetinstalled", "pyproject.toml": "dependencies"}, Verdict.INCONCLUSIVE),
        ({"src/app.py": "import notyetinstalled.part", "sub/uv.lock": ""}, Verdict.INCONCLUSIVE),
        ({"src/app.py": "raise OSError('Could not resolve host: files')", "uv.lock": ""}, Verdict.INCONCLUSIVE),
        # Nobody could have installed what is declared nowhere; and the project's own modules are no packages.
        ({"src/app.py": "import notyetinstalled"}, Verdict.BAD),
        ({"src/app.py": "raise OSError('Could not resolve host: files')"}, Verdict.BAD),
        ({"src/app.py": "import own", "pyproject.toml": "dependencies"}, Verdict.BAD),
        ({"src/app.py": "import src.own.gone", "pyproject.toml": "dependencies"}, Verdict.BAD),
        ({"src/app.py": "1 / 0", "pyproject.toml": "dependencies"}, Verdict.BAD),
    ],
)
def test_a_package_that_nobody_has_installed_yet_is_no_fault_of_what_came(
    sample: Sample, tmp_path: Path, new: dict[str, str], verdict: Verdict
) -> None:
    finding = checked(sample, tmp_path / "work", sample.commit(PYTHON), sample.commit(new))
    assert finding.verdict is verdict, finding
    assert verdict is Verdict.BAD or "other packages than before" in finding.reason


@pytest.mark.parametrize(
    "said",
    [
        "Error: Cannot find module 'left-pad'",
        "Error [ERR_MODULE_NOT_FOUND]: Cannot find package '@scope/it' imported from /x",
        "cannot load such file -- nokogiri (LoadError)",
        "curl: (6) Could not resolve host: registry",
        "go: example.org/a@v1: dial tcp: lookup proxy",
        "error: failed to download `serde v1.0.0`",
    ],
)
def test_the_words_of_other_tools(said: str) -> None:
    assert wanting(said, frozenset({"src"}))
    assert not wanting("AssertionError: Cannot find module './own'", frozenset())


@pytest.mark.parametrize("gone", ["smoke.sh", "value"])
def test_a_missing_test_is_inconclusive_and_a_missing_file_is_not(sample: Sample, tmp_path: Path, gone: str) -> None:
    old = sample.commit({**OLD, "smoke.sh": "test -e value\n"})
    sample.run("rm", "--quiet", gone)
    sample.run("commit", "--quiet", "--message", "remove")
    finding = checked(sample, tmp_path / "work", old, sample.run("rev-parse", "HEAD"))
    assert finding.verdict is (Verdict.INCONCLUSIVE if gone == "smoke.sh" else Verdict.BAD), finding


def test_a_missing_commit_is_inconclusive(sample: Sample, tmp_path: Path) -> None:
    finding = checked(sample, tmp_path / "work", sample.commit(OLD), "1" * 40)
    assert finding.verdict is Verdict.INCONCLUSIVE and "rev-parse" in finding.reason


def test_pytest_in_the_users_environment_tests_what_was_checked_out(sample: Sample, tmp_path: Path) -> None:
    """Its environment has the project installed as editable: from the work tree, where what came already lies."""
    own = sample.folder / ".venv/bin/python"
    own.parent.mkdir(parents=True)
    own.write_text(
        '#!/bin/sh\n[ "$1 $2" = "-m pytest" ] && exec python3 -c "'
        f"import sys; sys.path.append('{sample.folder}/src'); import app; sys.exit(app.VALUE != 1)\"\n"
    )
    own.chmod(0o755)
    old = sample.commit({"src/app.py": "VALUE = 1\n", "tests/test_smoke.py": ""})
    new = sample.commit({"src/app.py": "VALUE = 2\n"})
    assert checked(sample, tmp_path / "work", old, new).verdict is Verdict.BAD


def by_chance(sample: Sample, tmp_path: Path, seed: int) -> tuple[str, str]:
    """Commit a test whose runs fail one in three, as written down beforehand; returns old and new."""
    chance = random.Random(seed)
    (tmp_path / "chance").write_text("".join("01"[chance.random() < 1 / 3] + "\n" for _ in range(2000)))
    script = (
        f"cd {tmp_path}\nn=$(cat count 2>/dev/null || echo 1)\necho $((n + 1)) >count\nexit $(sed -n ${{n}}p chance)\n"
    )
    return sample.commit({**OLD, "smoke.sh": script}), sample.commit({"other": "x\n"})


@pytest.mark.timeout(300)
def test_a_test_that_fails_one_in_three_undoes_nothing_in_a_hundred_checks(sample: Sample, tmp_path: Path) -> None:
    """One series of many: by chance one in nineteen holds a `bad`, and one in 400 before the test is known as flaky.

    What is remembered for 30 days keeps everything after the first `flaky` from being undone; see test_verdict for the
    exact figures.
    """
    old, new = by_chance(sample, tmp_path, seed=20261128)
    repository = open_repository(sample.folder, git=sample.git)
    (tmp_path / "work").mkdir()
    scratch = Scratch(repository, tmp_path / "work", sample.git)
    test = definition(scratch, repository, old)
    assert test is not None
    bench = Bench(scratch, test, old, environment=sample.environment, clock=SystemClock())
    findings = [check(bench, arrival_of(old, new), lambda line: None) for _ in range(100)]
    verdicts = [finding.verdict for finding in findings]
    reds = [run.colour is Colour.RED for finding in findings for run in finding.runs]
    first_red = sum(finding.runs[0].colour is Colour.RED for finding in findings)
    told = Counter(verdict.value for verdict in verdicts)
    print(f"\n100 checks, {len(reds)} runs, {sum(reds)} red: {dict(told)}")
    known = verdicts.index(Verdict.FLAKY) + 1
    print(f"one red run alone would have undone {first_red}; known as flaky from check {known} on")
    assert told["bad"] == 0
    # The rare thing did happen, and often.
    assert told["flaky"] >= 10 and told["pre_existing"] >= 5 and first_red >= 20
