"""cleanup: what counts as a leftover, that nothing is touched unless it is told to, and what it never touches."""

from __future__ import annotations

import os
from pathlib import Path

from tests.agents.conftest import RunAgent, commit, git

OLD = 1_600_000_000


def _mess(project: Path) -> None:
    """A project with things of every kind, tracked, ignored and neither."""
    commit(
        project,
        {
            ".gitignore": "__pycache__/\nbuild/\ntarget\n*.log\n.env\nkept/\nlink\nown/\n",
            "a.py": "x = 1\n",
            "dist/tracked.txt": "tracked, so it stays\n",
            "src/build.py": "a name is not enough\n",
        },
    )
    for name in ("__pycache__/a.pyc", "build/lib/big.o", "src/__pycache__/b.pyc", "kept/build/x", ".env", "own/notes"):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10_000)
    for name in ("old.log", "young.log"):
        (project / name).write_text("line\n")
    os.utime(project / "old.log", (OLD, OLD))
    (project / "untracked.txt").write_text("nobody ignores it\n")
    (project / "elsewhere").mkdir()
    (project / "elsewhere" / "precious").write_text("mine\n")
    (project / "target").symlink_to("elsewhere")


def _all(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if ".git/" not in f"{path}/"}


GOES = {"__pycache__", "build", "src/__pycache__", "old.log"}


def test_a_dry_run_shows_all_and_touches_nothing(project: Path, run_agent: RunAgent) -> None:
    _mess(project)
    before = _all(project)
    ended = run_agent("cleanup.py")
    assert ended.exit_code == 0 and ended.report is not None, ended.output
    data = ended.report["data"]
    assert {str(Path(item["path"]).relative_to(project)) for item in data["items"]} == GOES
    assert data["bytes"] > 30_000 and not data["applied"]
    assert _all(project) == before
    assert "could go" in ended.report["summary"] and '"apply": true' in ended.report["summary"]


def test_told_to_it_removes_that_and_nothing_else(project: Path, run_agent: RunAgent) -> None:
    _mess(project)
    before = _all(project)
    ended = run_agent("cleanup.py", {"apply": True})
    assert ended.exit_code == 0, ended.output
    gone = before - _all(project)
    assert {name for name in gone if not any(f"{parent}" in gone for parent in Path(name).parents)} - GOES == set()
    assert gone >= GOES
    assert (project / "elsewhere" / "precious").read_text() == "mine\n"
    again = run_agent("cleanup.py", {"apply": True}).report
    assert again is not None and again["data"]["count"] == 0


def test_a_repository_within_a_build_folder_is_nobodys_leftover(project: Path, run_agent: RunAgent) -> None:
    _mess(project)
    inner = project / "build" / "checkout"
    inner.mkdir()
    git(inner, "init", "--quiet")
    ended = run_agent("cleanup.py", {"apply": True})
    assert ended.exit_code == 0 and inner.exists()


def test_a_folder_without_git_is_said_and_left_alone(tmp_path: Path, run_agent: RunAgent) -> None:
    plain = tmp_path / "plain"
    (plain / "__pycache__").mkdir(parents=True)
    ended = run_agent("cleanup.py", {"apply": True}, folder=plain)
    assert ended.exit_code == 0 and "not a git repository" in ended.output
    assert (plain / "__pycache__").exists()
