"""code-health: what counts as a finding, the trend, and the refusals."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.agents.conftest import RunAgent, commit, git

LONG = "def long():\n" + "".join(f"    x{n} = {n}\n" for n in range(80))
COMPLEX = "def branchy(x):\n" + "".join(f"    if x == {n}:\n        return {n}\n" for n in range(20))
PLAIN = "def plain():\n    return 1\n"


def test_names_the_long_and_the_complex_function(project: Path, run_agent: RunAgent) -> None:
    commit(project, {"a.py": LONG, "sub/b.py": COMPLEX, "c.py": PLAIN, "notes.txt": "no code"})
    ended = run_agent("code-health.py")
    assert ended.exit_code == 0, ended.output
    assert ended.report is not None
    assert ended.report["type"] == "code-health"
    assert ended.report["project"] == "Sample"
    data = ended.report["data"]
    assert (data["functions"], data["finding_count"], data["too_long"], data["too_complex"]) == (3, 2, 1, 1)
    assert [finding["key"] for finding in data["findings"]] == ["sub/b.py::branchy", "a.py::long"]
    assert data["trend"] is None
    assert "first look" in ended.report["summary"]


def test_trend_names_what_came_and_what_went(project: Path, run_agent: RunAgent) -> None:
    commit(project, {"a.py": LONG, "c.py": PLAIN})
    first = run_agent("code-health.py").report
    commit(project, {"a.py": PLAIN, "b.py": COMPLEX, "c.py": LONG})
    second = run_agent("code-health.py", last=first).report
    assert second is not None
    assert second["data"]["trend"] == {
        "change": 1,
        "new": ["b.py::branchy", "c.py::long"],
        "gone": ["a.py::long"],
    }
    assert "+1 since the last look" in second["summary"]


def test_thresholds_are_params(project: Path, run_agent: RunAgent) -> None:
    commit(project, {"a.py": LONG})
    report = run_agent("code-health.py", {"lines_max": 100}).report
    assert report is not None and report["data"]["finding_count"] == 0


def test_generated_and_vendored_files_are_left_out(project: Path, run_agent: RunAgent) -> None:
    commit(project, {"x_pb2.py": LONG, "vendor/y.py": LONG, "web/node_modules/z/i.js": "function f() {}"})
    report = run_agent("code-health.py").report
    assert report is not None and report["data"]["functions"] == 0
    assert report["data"]["lines_mean"] is None


def test_a_file_that_was_deleted_but_not_committed_is_no_fault(project: Path, run_agent: RunAgent) -> None:
    commit(project, {"a.py": LONG, "c.py": PLAIN})
    (project / "a.py").unlink()
    assert run_agent("code-health.py").exit_code == 0


def test_outside_a_repository_it_says_so(tmp_path: Path, run_agent: RunAgent) -> None:
    bare = tmp_path / "plain"
    bare.mkdir()
    ended = run_agent("code-health.py", folder=bare)
    assert ended.exit_code == 78
    assert "is not a git repository" in ended.output
    assert ended.report is None


def test_without_lizard_it_names_the_line_that_installs_it(project: Path, run_agent: RunAgent) -> None:
    commit(project, {"a.py": PLAIN})
    # -S: an interpreter that sees no installed packages.
    ended = run_agent("code-health.py", python=(sys.executable, "-S"))
    assert ended.exit_code == 78
    assert "pip install lizard" in ended.output
    assert "Traceback" not in ended.output


def test_wrong_params_are_all_named(project: Path, run_agent: RunAgent) -> None:
    commit(project, {"a.py": PLAIN})
    ended = run_agent("code-health.py", {"lines_max": "60", "lenght": 3})
    assert ended.exit_code == 78
    assert "'lenght'" in ended.output and "'lines_max'" in ended.output


def test_works_in_a_linked_worktree(tmp_path: Path, project: Path, run_agent: RunAgent) -> None:
    commit(project, {"a.py": LONG})
    git(project, "worktree", "add", "--quiet", str(tmp_path / "second"), "-b", "topic")
    ended = run_agent("code-health.py", folder=tmp_path / "second")
    assert ended.report is not None and ended.report["data"]["finding_count"] == 1
