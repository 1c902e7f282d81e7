"""todo-scan: which words count, where, and the change since the last report."""

from __future__ import annotations

from pathlib import Path

from tests.agents.conftest import RunAgent, commit

# Put together here so that the scan of this very repository does not find its own test.
WORD, OTHER = "TO" + "DO", "FIX" + "ME"


def test_counts_words_not_parts_of_words(project: Path, run_agent: RunAgent) -> None:
    commit(
        project,
        {
            "a.py": f"x = 1  # {WORD}: one\ny = 2  # {OTHER}(ada) two\n",
            "b c.sh": f"# {WORD}\n# {WORD}S are not counted, nor is {WORD.lower()}\n",
            "blob.bin": b"\x00 " + WORD.encode() + b" \x00",
        },
    )
    ended = run_agent("todo-scan.py")
    assert ended.exit_code == 0, ended.output
    assert ended.report is not None
    data = ended.report["data"]
    assert data["total"] == 3
    assert data["words"][WORD] == 2 and data["words"][OTHER] == 1
    assert data["files"] == {"a.py": 2, "b c.sh": 1}
    assert data["items"][0] == {"file": "a.py", "line": 1, "word": WORD, "text": f"x = 1  # {WORD}: one"}


def test_untracked_files_are_not_the_projects(project: Path, run_agent: RunAgent) -> None:
    commit(project, {"a.py": "x = 1\n"})
    (project / "scratch.py").write_text(f"# {WORD}\n")
    report = run_agent("todo-scan.py").report
    assert report is not None and report["data"]["total"] == 0


def test_change_since_the_last_report(project: Path, run_agent: RunAgent) -> None:
    commit(project, {"a.py": f"# {WORD}\n# {WORD}\n"})
    first = run_agent("todo-scan.py").report
    commit(project, {"a.py": f"# {WORD}\n"})
    second = run_agent("todo-scan.py", last=first).report
    assert first is not None and first["data"]["change"] is None
    assert second is not None and second["data"]["change"] == -1


def test_long_lists_are_cut_and_still_counted(project: Path, run_agent: RunAgent) -> None:
    commit(project, {"a.py": f"# {WORD}\n" * 20})
    report = run_agent("todo-scan.py", {"items_max": 5}).report
    assert report is not None
    assert (report["data"]["total"], len(report["data"]["items"])) == (20, 5)
