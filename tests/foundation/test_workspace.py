"""Where everything lies, and the lock."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.errors import Conflict, Denied, Invalid, NotFound
from foundation.workspace import Workspace, WorkspaceLock, find_workspace


def make_workspace(root: Path) -> Workspace:
    (root / "config").mkdir(parents=True)
    (root / "config" / "agent_config.json").write_text("{}")
    (root / ".quantum").mkdir(mode=0o700)
    return Workspace(root.resolve())


def test_the_workspace_is_the_nearest_folder_upwards(tmp_path: Path) -> None:
    outer, inner = make_workspace(tmp_path), make_workspace(tmp_path / "inner")
    deep = inner.root / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "other").mkdir()
    assert find_workspace({}, deep) == inner
    assert find_workspace({}, inner.root) == inner
    assert find_workspace({}, tmp_path / "other") == outer


def test_the_environment_goes_before_the_folder(tmp_path: Path) -> None:
    here, there = make_workspace(tmp_path / "here"), make_workspace(tmp_path / "there")
    assert find_workspace({"QUANTUM_WORKSPACE": str(there.root)}, here.root) == there
    assert find_workspace({"QUANTUM_WORKSPACE": "../there"}, here.root) == there
    assert find_workspace({"QUANTUM_WORKSPACE": ""}, here.root) == here


def test_no_workspace_names_the_line_that_makes_one(tmp_path: Path) -> None:
    for environ in ({}, {"QUANTUM_WORKSPACE": str(tmp_path / "away")}):
        with pytest.raises(NotFound) as caught:
            find_workspace(environ, tmp_path)
        assert caught.value.code == "no_workspace"
        assert "quantum init" in caught.value.remedy


def test_the_key_stands_for_the_real_path(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "real")
    (tmp_path / "link").symlink_to(workspace.root)
    assert Workspace(tmp_path / "link").key12 == workspace.key12
    assert len(workspace.key12) == 12
    assert Workspace(tmp_path).key12 != workspace.key12


def test_sockets_lie_in_the_runtime_folder_else_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace(tmp_path / "w")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    assert workspace.sockets == tmp_path / "run" / "quantum" / workspace.key12
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert str(workspace.socket("safety")) == f"/run/user/1000/quantum/{workspace.key12}/safety.sock"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert workspace.sockets == tmp_path / "home" / ".quantum" / "run" / workspace.key12


def test_a_cron_job_finds_the_sockets_that_up_has_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace(tmp_path / "w")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    made = workspace.make_sockets()
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert workspace.sockets == made
    made.rmdir()  # as a restart of the machine does
    assert workspace.sockets == tmp_path / "home" / ".quantum" / "run" / workspace.key12


def test_a_socket_folder_open_to_others_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace(tmp_path / "w")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    workspace.sockets.mkdir(parents=True, mode=0o755)
    assert stat.S_IMODE(workspace.make_sockets().stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace(tmp_path / "w")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    workspace.sockets.mkdir(parents=True)
    os.chown(workspace.sockets, 65534, 65534)
    with pytest.raises(Denied):
        workspace.make_sockets()


def test_a_socket_path_that_the_system_would_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(Invalid) as caught:
        Workspace(tmp_path).socket("runner-" + "x" * 64)
    assert caught.value.code == "socket_path_too_long"


def test_a_second_holder_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / ".quantum" / "lock"
    with WorkspaceLock(path) as lock:
        with pytest.raises(Conflict) as caught:
            WorkspaceLock(path).acquire()
        assert caught.value.code == "workspace_locked"
        assert str(os.getpid()) in caught.value.message
        assert WorkspaceLock(path).holder() == os.getpid()
        lock.acquire()  # once more by its holder is nothing new
    assert WorkspaceLock(path).holder() is None
    with WorkspaceLock(path):
        pass


def test_nobody_holds_a_lock_that_was_never_taken(tmp_path: Path) -> None:
    assert WorkspaceLock(tmp_path / "lock").holder() is None


def test_a_killed_holder_gives_the_lock_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    hold = (
        "import sys; from pathlib import Path; from foundation.workspace import WorkspaceLock\n"
        "lock = WorkspaceLock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin and holder.stdout
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Conflict, match=str(holder.pid)):
            WorkspaceLock(path).acquire()
        holder.kill()
        holder.wait()
        with WorkspaceLock(path):
            assert WorkspaceLock(path).holder() == os.getpid()


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = WorkspaceLock(path)
    lock.acquire()
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    )
    with child:
        # Popen returns while the kernel is still closing what the child is not to inherit.
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        lock.release()
        with WorkspaceLock(path):
            child.kill()
