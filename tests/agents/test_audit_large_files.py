"""audit-large-files: the whole history is weighed, not only what is checked out."""

from __future__ import annotations

from pathlib import Path

from tests.agents.conftest import RunAgent, commit, git


def test_finds_a_large_file_that_was_deleted(project: Path, run_agent: RunAgent) -> None:
    commit(project, {"keep.txt": "small", "video file ü.bin": bytes(2_000_000)}, "add the video")
    (project / "video file ü.bin").unlink()
    commit(project, {}, "remove the video")
    ended = run_agent("audit-large-files.py", {"large_bytes": 1_000_000})
    assert ended.exit_code == 0, ended.output
    assert ended.report is not None
    data = ended.report["data"]
    assert (data["versions"], data["large"]) == (2, 1)
    heaviest = data["largest"][0]
    assert heaviest["path"] == "video file ü.bin"
    assert heaviest["size_bytes"] == 2_000_000
    assert heaviest["disk_bytes"] < heaviest["size_bytes"]
    assert heaviest["in_head"] is False
    assert heaviest["commit"].endswith("add the video")
    assert data["largest"][1]["in_head"] is True
    assert "history only" in ended.output


def test_branches_and_tags_count_too(project: Path, run_agent: RunAgent) -> None:
    commit(project, {"a": "a"})
    git(project, "checkout", "--quiet", "-b", "topic")
    commit(project, {"b": bytes(3000)})
    git(project, "checkout", "--quiet", "main")
    report = run_agent("audit-large-files.py", {"large_bytes": 2000}).report
    assert report is not None and report["data"]["large"] == 1


def test_lists_no_more_than_asked_for(project: Path, run_agent: RunAgent) -> None:
    commit(project, {f"file{n}": "x" * n for n in range(1, 30)})
    report = run_agent("audit-large-files.py", {"top": 3}).report
    assert report is not None
    assert [entry["size_bytes"] for entry in report["data"]["largest"]] == [29, 28, 27]


def test_an_empty_repository_is_weighed_as_empty(run_agent: RunAgent) -> None:
    ended = run_agent("audit-large-files.py")
    assert ended.exit_code == 0, ended.output
    assert ended.report is not None and ended.report["data"]["versions"] == 0


def test_a_shallow_clone_says_what_it_did_not_see(tmp_path: Path, project: Path, run_agent: RunAgent) -> None:
    commit(project, {"a": "1"})
    commit(project, {"a": "2"})
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{project}", "shallow")
    ended = run_agent("audit-large-files.py", folder=tmp_path / "shallow")
    assert ended.report is not None and ended.report["data"]["shallow"] is True
    assert "shallow" in ended.report["summary"]
