"""What adopt writes is there whole or not at all, and comes off again byte for byte."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cli.adopting import writing
from cli.adopting.block import with_block
from cli.adopting.survey import change_of
from foundation.clock import SystemClock
from foundation.errors import Conflict, NotFound
from foundation.workspace import Workspace
from services.coordinator.domain.manifest import manifest_of_script
from tests.cli.adopt_folder import planted_folder
from tests.cli.test_adopt_findings import surveyed
from tests.repository.tracked import ROOT

SCRIPT = b"#!/bin/sh\n# Says hello to everybody\nset -eu\necho hello\n"


def tree(root: Path) -> dict[str, tuple[str, int, int]]:
    """Content, mode and time of every file and link below a folder, and the mode of every folder."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        if path.is_symlink():
            held = os.readlink(path)
        elif path.is_file():
            held = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            held = ""
        when = status.st_mtime_ns if stat.S_ISREG(status.st_mode) else 0
        found[str(path.relative_to(root))] = (held, stat.S_IMODE(status.st_mode), when)
    return found


def workspace_at(root: Path) -> Workspace:
    """An empty workspace."""
    (root / "agents").mkdir(parents=True)
    return Workspace(root)


def adopt(workspace: Workspace, folder: Path) -> str:
    """Apply all that is proposed."""
    changes = [change_of(one, workspace.agents.resolve()) for one in surveyed(folder, workspace.root).adopted]
    return writing.apply(workspace, changes, now=SystemClock().now())


@pytest.mark.parametrize("inside", [True, False])
def test_scripts_come_and_go_byte_for_byte(inside: bool, tmp_path: Path) -> None:
    come_and_go(inside, 24 if inside else 10, 3, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("inside", [True, False])
def test_two_hundred_scripts_come_and_go_byte_for_byte(inside: bool, seed: int, tmp_path: Path) -> None:
    come_and_go(inside, 200, seed, tmp_path)


def come_and_go(inside: bool, number: int, seed: int, tmp_path: Path) -> None:
    """Adopt so many scripts of a planted folder, and take them back."""
    workspace = workspace_at(tmp_path / "ws")
    folder = workspace.agents if inside else tmp_path / "scripts"
    planted = planted_folder(seed)
    planted.scenes = planted.scenes[:number]
    planted.write(folder)
    agents, scripts = tree(workspace.agents), tree(folder)
    seen = surveyed(folder, workspace.root)
    applied = adopt(workspace, folder)
    if inside:
        blocks = [one for one in seen.adopted if one.place == "block"]
        assert len(blocks) > number * 0.7
        changed = {name for name, held in tree(folder).items() if agents.get(name, held)[0] != held[0]}
        assert changed == {one.shown for one in blocks}
    else:
        assert tree(folder) == scripts, "a folder that lies elsewhere is not touched"
        assert {one.place for one in seen.adopted} == {"file"}
    again = surveyed(folder, workspace.root)
    assert again.adopted == [], "what is adopted is not proposed again"
    assert writing.undo(workspace, applied).edited == ()
    assert (tree(workspace.agents), tree(folder)) == (agents, scripts)
    with pytest.raises(NotFound):
        writing.undo(workspace)


@pytest.mark.parametrize(
    "data",
    [
        SCRIPT,
        SCRIPT.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + SCRIPT,
        b"\n\n  " + SCRIPT,
        SCRIPT.rstrip(b"\n"),
        b"#!/bin/sh",
        b"echo no first line\n",
        b"#!/usr/bin/env python3\n# -*- coding: latin-1 -*-\nprint('caf\xe9')\n",
        b"#!/usr/bin/env python3\n# /// script\n# dependencies = []\n# ///\nprint(1)\n",
    ],
)
def test_a_block_changes_no_other_byte(data: bytes, tmp_path: Path) -> None:
    values = {"description": 'Says "é" \\ more', "kind": "service", "env": ["LANG"], "labels": {"os": "darwin"}}
    after = with_block(data, values, ['schedule = "0 6 * * *"  # later'])
    assert after is not None
    manifest = manifest_of_script(after.decode("utf-8", errors="replace"))
    assert manifest is not None and manifest.faults == ()
    assert (manifest.description, manifest.kind, manifest.env) == ('Says "é" \\ more', "service", ("LANG",))
    kept = iter(after)
    assert all(byte in kept for byte in data), "every byte is there, in its order"
    if b"\r\n" in data:
        assert b"\n" not in after.replace(b"\r\n", b"")
    if b"coding" in data:
        assert after.split(b"\n")[:2] == data.split(b"\n")[:2]


def test_a_file_that_changed_since_the_proposal_stops_all(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / "ws")
    for name in ("first.sh", "second.sh"):
        (workspace.agents / name).write_bytes(SCRIPT)
        (workspace.agents / name).chmod(0o755)
    changes = [change_of(one, workspace.agents) for one in surveyed(workspace.agents, workspace.root).adopted]
    assert len(changes) == 2
    (workspace.agents / "second.sh").write_bytes(SCRIPT + b"echo more\n")
    before = tree(workspace.agents)
    with pytest.raises(Conflict, match=r"second\.sh"):
        writing.apply(workspace, changes, now=SystemClock().now())
    assert tree(workspace.agents) == before


@pytest.mark.parametrize("name", ["second.sh", "other"])
def test_a_link_that_was_put_there_since_is_not_followed(name: str, tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / "ws")
    (workspace.agents / "second.sh").write_bytes(SCRIPT)
    (workspace.agents / "second.sh").chmod(0o755)
    (tmp_path / "scripts" / "other").mkdir(parents=True)
    (tmp_path / "scripts" / "other" / "third.sh").write_bytes(SCRIPT.replace(b"hello", b"third"))
    folder = workspace.agents if name == "second.sh" else tmp_path / "scripts"
    seen = surveyed(folder, workspace.root).adopted
    changes = [change_of(one, workspace.agents) for one in seen]
    assert len(changes) == 1
    if name == "second.sh":
        swapped = workspace.agents / name
        swapped.rename(tmp_path / name)
        swapped.symlink_to(tmp_path / name)
    else:
        (tmp_path / "elsewhere").mkdir()
        (workspace.agents / "third").symlink_to(tmp_path / "elsewhere")
    before = tree(tmp_path)
    with pytest.raises(Conflict):
        writing.apply(workspace, changes, now=SystemClock().now())
    after = {path: held for path, held in tree(tmp_path).items() if ".quantum" not in path}
    assert after == before


def test_what_the_disk_refuses_in_the_middle_is_taken_back_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = workspace_at(tmp_path / "ws")
    for name in ("first.sh", "second.sh", "third.sh"):
        (workspace.agents / name).write_bytes(SCRIPT.replace(b"hello", name.encode()))
        (workspace.agents / name).chmod(0o755)
    changes = [change_of(one, workspace.agents) for one in surveyed(workspace.agents, workspace.root).adopted]
    before, replace, done = tree(workspace.agents), os.replace, []

    def full(source: Path, target: Path) -> None:
        if str(target).endswith("third.sh"):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)
        done.append(target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        writing.apply(workspace, changes, now=SystemClock().now())
    assert len([path for path in done if path.suffix == ".sh"]) == 4, "two were written, and both taken back"
    assert tree(workspace.agents) == before and writing.unfinished(workspace) == []


@pytest.mark.parametrize("inside", [True, False])
def test_undo_knows_a_workspace_that_was_moved_and_leaves_the_one_it_was_copied_from(
    inside: bool, tmp_path: Path
) -> None:
    workspace = workspace_at(tmp_path / "ws")
    folder = workspace.agents if inside else tmp_path / "scripts"
    folder.mkdir(exist_ok=True)
    (folder / "one.sh").write_bytes(SCRIPT)
    (folder / "one.sh").chmod(0o755)
    before = tree(workspace.agents)
    adopt(workspace, folder)
    adopted = tree(workspace.agents)
    copy = Workspace(tmp_path / "copy")
    shutil.copytree(workspace.root, copy.root)
    assert len(writing.undo(copy).restored) == 1
    assert (tree(copy.agents), tree(workspace.agents)) == (before, adopted)
    moved = Workspace(workspace.root.rename(tmp_path / "moved"))
    assert len(writing.undo(moved).restored) == 1
    assert tree(moved.agents) == before


def test_undo_leaves_what_was_edited_since_and_says_which(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / "ws")
    for name in ("kept.sh", "edited.sh", "moded.sh"):
        (workspace.agents / name).write_bytes(SCRIPT.replace(b"hello\n", name.encode() + b"\n"))
        (workspace.agents / name).chmod(0o750)
    before = tree(workspace.agents)
    adopt(workspace, workspace.agents)
    edited, moded = workspace.agents / "edited.sh", workspace.agents / "moded.sh"
    adopted = edited.read_bytes()
    edited.write_bytes(adopted + b"echo mine\n")
    moded.chmod(0o700)
    done = writing.undo(workspace)
    assert (done.restored, done.edited) == ((str(workspace.agents / "kept.sh"),), (str(edited), str(moded)))
    assert edited.read_bytes().endswith(b"echo mine\n") and tree(workspace.agents)["kept.sh"] == before["kept.sh"]
    edited.write_bytes(adopted)
    moded.chmod(0o750)
    assert writing.undo(workspace).edited == ()
    assert tree(workspace.agents) == before


def run_trial(folder: Path, root: Path, verb: str, step: int, *more: str) -> int:
    """One process that applies or undoes, killed at a step; its exit code."""
    words = [sys.executable, "-m", "tests.cli.adopt_trial", str(folder), str(root), verb, str(step), *more]
    return subprocess.run(words, cwd=ROOT, capture_output=True, check=False).returncode


def scene(root: Path) -> Workspace:
    """A workspace with five scripts of its own, one of them in a language that has its manifest beside it."""
    workspace = workspace_at(root)
    for number in range(4):
        path = workspace.agents / f"script{number}.sh"
        path.write_bytes(SCRIPT.replace(b"hello\n", f"{number}\n".encode()))
        path.chmod(0o755)
    other = "#!/usr/bin/env swift\n// Says hello in another language\nprint(1)\n"
    (workspace.agents / "other.swift").write_text(other)
    return workspace


def kill_in_the_middle(tmp_path: Path, verb: str, steps: list[int], *more: str) -> tuple[int, int, int]:
    """How often it was killed, how often that left something half done, and how often it was not as before then."""
    killed = half = wrong = 0
    for number, step in enumerate(steps):
        workspace = scene(tmp_path / f"{verb}{number}{''.join(more)}")
        before = tree(workspace.agents)
        if verb == "undo":
            adopt(workspace, workspace.agents)
        adopted = tree(workspace.agents)
        killed += run_trial(workspace.agents, workspace.root, verb, step, *more) == -signal.SIGKILL
        left = tree(workspace.agents)
        half += left not in (before, adopted)
        if not (workspace.state / "adopt").exists() or not list((workspace.state / "adopt").glob(f"*/{writing.PLAN}")):
            wrong += left != before
            continue
        root = workspace.state / "adopt"
        writing.mend(root)
        if tree(workspace.agents) != before:
            writing.undo(workspace)
        wrong += tree(workspace.agents) != before
    return killed, half, wrong


def test_killed_in_the_middle_it_is_taken_back(tmp_path: Path) -> None:
    killed, half, wrong = kill_in_the_middle(tmp_path, "apply", [10, 18, 24])
    print(f"apply killed {killed} times, {half} of them half done, {wrong} not as before")
    assert killed == 3 and half and not wrong


def test_without_the_journal_it_would_not_be(tmp_path: Path) -> None:
    _, half, wrong = kill_in_the_middle(tmp_path, "apply", [14], "unjournalled")
    assert half and wrong, "the control: what the journal protects from happens without it"


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("verb", ["apply", "undo"])
def test_killed_at_fifty_places_it_is_taken_back(verb: str, tmp_path: Path) -> None:
    workspace = scene(tmp_path / "whole")
    if verb == "undo":
        adopt(workspace, workspace.agents)
    words = [sys.executable, "-m", "tests.cli.adopt_trial", str(workspace.agents), str(workspace.root), verb, "1000000"]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    calls = int(told.split()[-1])
    steps = [random.Random(seed).randrange(calls) for seed in range(50)]
    killed, half, wrong = kill_in_the_middle(tmp_path, verb, steps)
    print(f"{verb}: killed {killed} times within {calls} calls, {half} half done, {wrong} not as before")
    assert killed == 50 and half > 5 and not wrong
