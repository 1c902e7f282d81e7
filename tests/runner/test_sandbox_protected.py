"""A script that may write a whole repository cannot change what git or Quantum run by themselves, nor leave a trace."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.agent_runner.warden.placeholders import RECORD, Placeholders
from services.agent_runner.warden.protected import Guard, Kind
from services.agent_runner.warden.protocol import Refused
from tests.programs import require
from tests.runner.sandboxes import Sandbox, SandboxUnderTest

_ATTACKS = {
    "a hook": "mkdir -p .git/hooks; echo '#!/bin/sh' > .git/hooks/post-merge",
    "the hooks' folder replaced": "mv .git/hooks .git/h; mkdir .git/hooks; echo x > .git/hooks/post-merge",
    "git's configuration": "echo '[x]' >> .git/config; echo '[x]' > .git/config.new; mv -f .git/config.new .git/config",
    "the whole .git replaced": "mv .git .g && mkdir -p .git/hooks && echo x > .git/hooks/post-merge; mv .g .git2",
    "another common folder": "mkdir -p d/hooks; rm -f .git/commondir; echo ../d > .git/commondir",
    "our configuration": "mkdir -p {root}/config; echo '{{}}' > {root}/config/agent_config.json",
    "our configuration replaced": "mv {root}/config {root}/c; mkdir {root}/config",
    "our state": "mv {root}/.quantum {root}/q; echo x > {root}/.quantum/STOP",
    "a nested repository's hook": "mkdir -p nested/.git/hooks; echo x > nested/.git/hooks/post-merge",
    "a nested repository renamed": "mv nested n2; mkdir -p nested/.git/hooks; echo x > nested/.git/hooks/post-merge",
}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[SandboxUnderTest]:
    require("bwrap", "bubblewrap")
    box = SandboxUnderTest(tmp_path)
    yield box
    box.close()


def _repository(folder: Path, *, bare: bool) -> None:
    """One that git has made, or with all that can be missing missing."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["git", "init", "-q", str(folder)], check=True, env={"PATH": os.environ["PATH"], "HOME": "/"})
    if bare:
        for path in sorted((folder / ".git" / "hooks").iterdir()):
            path.unlink()
        (folder / ".git" / "hooks").rmdir()
        (folder / ".git" / "config").unlink()


def _state(*folders: Path) -> dict[str, str]:
    """Every file, folder and mode of what is protected."""
    found = {}
    for folder in folders:
        for path in [folder, *sorted(folder.rglob("*"))]:
            if path.is_socket() or ".quantum" in path.parts:
                continue
            text = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
            found[str(path)] = f"{path.lstat().st_mode:o} {text}"
    return found


@pytest.mark.parametrize("bare", [False, True], ids=["as git makes it", "with all missing"])
def test_nothing_protected_changes_and_nothing_is_left(box: SandboxUnderTest, bare: bool) -> None:
    _repository(box.project, bare=bare)
    _repository(box.project / "nested", bare=bare)
    if bare:
        (box.root / "config" / "agent_config.json").unlink()
        (box.root / "config").rmdir()
    sandbox: Sandbox = ([".", str(box.root)], [], [], False)
    watched = (box.project / ".git", box.project / "nested")
    before = _state(*watched)
    for number, (what, text) in enumerate(_ATTACKS.items()):
        box.run(f"{text.format(root=box.root)}; echo tried", f"k{number}", sandbox)
        after = {path: seen for path, seen in _state(*watched).items() if "/.git/config.new" not in path}
        assert after == before, what
        assert (box.root / "config").exists() is not bare, what
        assert bare or (box.root / "config" / "agent_config.json").read_text() == "{}", what
        assert (box.state / "runner").is_dir() and not (box.state / "STOP").exists(), what
    box.run("echo x > work; git add work", "last", sandbox)
    assert (box.project / "work").exists(), "what it may write, it writes"


def test_without_a_sandbox_each_of_them_works(box: SandboxUnderTest) -> None:
    for what, text in _ATTACKS.items():
        if what == "our state":
            # It would take the warden's own folder away.
            continue
        shutil.rmtree(box.project)
        _repository(box.project, bare=True)
        _repository(box.project / "nested", bare=True)
        before = _state(box.project, box.root)
        box.run(text.format(root=box.root), what, sandbox=None)
        assert _state(box.project, box.root) != before, what


def test_a_folder_that_is_no_repository_cannot_be_made_one(box: SandboxUnderTest) -> None:
    _, said = box.run("echo x > a; git init . ; ls -A", sandbox=(["."], [], [], False))
    assert "Read-only" in said or "cannot" in said
    assert [path.name for path in box.project.iterdir()] == ["a"]


def test_what_a_runner_elsewhere_has_fetched_stays_as_it_is(box: SandboxUnderTest) -> None:
    fetched = box.root / "scripts" / "attic" / "ab" / "other.sh"
    fetched.parent.mkdir(parents=True)
    fetched.write_text("good")
    attack = f"echo bad > {fetched}; mv {box.root}/scripts {box.root}/s"
    sandbox: Sandbox = ([str(box.root)], [], [], False)
    (box.state / "joined.json").write_text("{}")
    box.run(attack, "joined", sandbox)
    assert fetched.read_text() == "good"
    (box.state / "joined.json").unlink()
    box.run(attack, "not joined", sandbox)
    assert not fetched.exists(), "in another workspace it is a folder like any other"


@pytest.mark.parametrize("name", [".git", ".git/config", "program"])
def test_a_pipe_where_a_file_is_expected_keeps_nobody_waiting(box: SandboxUnderTest, name: str) -> None:
    pipe = box.project / "sub" / name
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe, 0o755)
    if name == "program":
        box.warden.send(box.warden.order(pipe, folder=str(box.project), sandbox=([], [], [], False)))
        assert box.warden.expect(Refused).cause == "configuration"
    code, _ = box.run("exit 3", "b", ([str(box.project)], [], [], False))
    assert code == 3


def test_a_lock_of_somebody_elses_keeps_nobody_waiting(box: SandboxUnderTest) -> None:
    hooks = box.project / ".git" / "hooks"
    hooks.mkdir(parents=True)
    handle = os.open(hooks, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    script, folder = box.warden.shell("exit 3"), str(box.project)
    sandbox: Sandbox = ([folder], [], [], False)
    box.warden.send(box.warden.order(script, folder=folder, sandbox=sandbox))
    assert box.warden.expect(Refused).cause == "resources"
    os.close(handle)
    assert os.waitstatus_to_exitcode(box.warden.run(script, "b", folder=folder, sandbox=sandbox).status) == 3


def test_two_at_once_share_their_placeholders(tmp_path: Path) -> None:
    guards = [Guard(str(tmp_path / "hooks"), Kind.MISSING_FOLDER), Guard(str(tmp_path / "config"), Kind.MISSING_FILE)]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = Placeholders(tmp_path / "one"), Placeholders(tmp_path / "two")
    first, second = one.hold(guards), one.hold(guards)
    # Another warden finds them there, and holds them because they are empty.
    third = two.hold([Guard(guard.path, Kind.PRESENT) for guard in guards])
    one.release(first)
    assert all(os.path.exists(guard.path) for guard in guards)
    one.release(second)
    assert all(os.path.exists(guard.path) for guard in guards), "the other still needs them"
    two.release(third)
    one.release([])
    assert not any(os.path.exists(guard.path) for guard in guards)


def test_what_a_killed_warden_left_goes_at_the_next_start(tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.mkdir()
    hooks, theirs = tmp_path / "hooks", tmp_path / "theirs"
    lost = Placeholders(record)
    lost.hold([Guard(str(hooks), Kind.MISSING_FOLDER), Guard(str(theirs), Kind.MISSING_FILE)])
    theirs.write_text("somebody has made it their own")
    for count, lock in lost._held.values():
        os.close(lock)
        assert count == 1
    assert set(json.loads((record / RECORD).read_text())) == {str(hooks), str(theirs)}
    Placeholders(record)
    assert not hooks.exists() and theirs.read_text()


_AS_A_REPOSITORY = """rm -f .git/HEAD; mkdir -p refs/heads objects/info; echo 'ref: refs/heads/main' > HEAD
printf '[core]\nrepositoryformatversion=0\nbare=false\nworktree=.\nfsmonitor="touch {taken}; false"\n' > config
touch refs/x objects/x; echo tried"""


@pytest.mark.parametrize("repository", [False, True])
def test_a_folder_cannot_become_a_repository_itself(box: SandboxUnderTest, repository: bool) -> None:
    if repository:
        _repository(box.project, bare=False)
    attack = _AS_A_REPOSITORY.format(taken=box.root / "taken")
    status = ["git", "-c", "safe.directory=*", "status"]
    for number in range(2):
        box.run(attack, f"k{number}", ([".", str(box.root)], [], [], False))
        subprocess.run(status, cwd=box.project, capture_output=True, check=False)
        assert not (box.project / "refs").exists() and not (box.root / "taken").exists()
    box.run(attack, "outside", sandbox=None)
    subprocess.run(status, cwd=box.project, capture_output=True, check=False)
    assert (box.root / "taken").exists(), "without a sandbox it works"


def test_a_bare_repository_keeps_its_configuration_and_hooks(box: SandboxUnderTest) -> None:
    subprocess.run(["git", "init", "-q", "--bare", str(box.project)], check=True)
    before = _state(box.project / "config", box.project / "hooks")
    box.run("echo x > hooks/post-update; echo '[x]' >> config; mv hooks h; echo x > a", sandbox=(["."], [], [], False))
    assert _state(box.project / "config", box.project / "hooks") == before
    assert (box.project / "a").exists()


@pytest.mark.parametrize("pipe", [".git", ".git/config", ".git/hooks", ".git/commondir"])
def test_a_pipe_in_a_protected_place_keeps_nobody_waiting(box: SandboxUnderTest, pipe: str) -> None:
    there = box.project / "nested" / pipe
    there.parent.mkdir(parents=True)
    os.mkfifo(there)
    code, said = box.run("echo done", sandbox=(["."], [], [], False))
    assert (code, said) == (0, "done\n")


def test_a_lock_of_somebody_else_is_not_waited_for(tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    guard = Guard(str(hooks), Kind.PRESENT)
    theirs = os.open(hooks, os.O_RDONLY)
    fcntl.flock(theirs, fcntl.LOCK_EX)
    ours = Placeholders(tmp_path)
    with pytest.raises(BlockingIOError, match="locked"):
        ours.hold([guard])
    os.close(theirs)
    assert ours.hold([guard]) == [str(hooks)]
