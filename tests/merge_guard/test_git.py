"""How git is run: nothing of a hook's variables, no questions, an end in any case."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from foundation.errors import Conflict, TimedOut, Unavailable
from merge_guard.git import Git, GitFailed, clean_environment
from merge_guard.repository import hold
from merge_guard.touching import show
from tests.merge_guard.building import Repo


def test_every_variable_that_git_calls_local_is_taken_out(program: str) -> None:
    named = subprocess.run([program, "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True)
    local = named.stdout.split()
    assert {"GIT_DIR", "GIT_INDEX_FILE", "GIT_CONFIG_PARAMETERS"} <= set(local)
    left = clean_environment(
        dict.fromkeys([*local, "GIT_CONFIG_KEY_0", "GIT_TRACE", "EDITOR", "GIT_EXTERNAL_DIFF"], "x")
    )
    assert not left.keys() & {*local, "GIT_CONFIG_KEY_0", "GIT_TRACE", "EDITOR", "GIT_EXTERNAL_DIFF"}


def test_who_the_user_is_stays_and_the_depth_counts_up() -> None:
    assert (
        clean_environment({"HOME": "/h", "GIT_AUTHOR_NAME": "Ada"}).items()
        >= {
            "HOME": "/h",
            "GIT_AUTHOR_NAME": "Ada",
            "QUANTUM_HOOK_DEPTH": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "LC_ALL": "C",
        }.items()
    )
    assert clean_environment({"QUANTUM_HOOK_DEPTH": "1"})["QUANTUM_HOOK_DEPTH"] == "2"
    assert clean_environment({"QUANTUM_HOOK_DEPTH": "much"})["QUANTUM_HOOK_DEPTH"] == "1"


def test_no_git_and_no_folder(base: Repo, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not installed"):
        Git(base.top, program="no-such-git").text("status")
    with pytest.raises(Unavailable, match="no folder any more"):
        Git(tmp_path / "nowhere").text("status")


def test_what_git_says_is_told(base: Repo) -> None:
    with pytest.raises(GitFailed, match="git rev-parse failed: fatal: Needed a single revision") as failed:
        base.git.text("rev-parse", "--verify", "no-such-thing")
    assert failed.value.exit_code == 128
    assert base.git.commit_of("no-such-thing") == "" and base.git.commit_of("main") == base.tip()


def test_a_git_that_takes_too_long_is_ended_with_its_children(base: Repo, tmp_path: Path) -> None:
    base("config", "alias.forever", f"!echo $$ > '{tmp_path}/pid'; exec tail -f /dev/null")
    with pytest.raises(TimedOut, match="took longer than"):
        base.git.run("forever", timeout_seconds=0.5)
    pid = int((tmp_path / "pid").read_text())
    gone = not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]
    assert gone


def test_a_conversation_ends_with_its_block(base: Repo) -> None:
    with base.git.conversation("update-ref", "--stdin") as refs:
        assert refs.ask("start") == "start: ok"
        refs.say(f"create refs/heads/new {base.tip()}")
        assert refs.ask("prepare") == "prepare: ok"
        assert (base.top / ".git/refs/heads/new.lock").exists()
    assert not (base.top / ".git/refs/heads/new.lock").exists()
    assert base("branch", "--list", "new") == ""
    with pytest.raises(GitFailed), base.git.conversation("update-ref", "--stdin") as refs:
        refs.ask("start")
        refs.say("nonsense")
        refs.ask("prepare")


def test_one_at_a_time(base: Repo) -> None:
    with hold(base.repository) as descriptor:
        assert os.fstat(descriptor).st_size == 0
        with pytest.raises(Conflict, match="being dealt with"), hold(base.repository):
            pass
    with hold(base.repository):
        pass


def test_a_path_is_shown_on_one_line() -> None:
    assert show("grüße\n\x1b[31m".encode()) == "grüße\\n\\x1b[31m"
    assert show(b"\xff") == "\\xff"
