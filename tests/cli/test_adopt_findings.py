"""What adopt says of a folder of 200 scripts: everything that is planted, and nothing else."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cli.adopting import reading
from cli.adopting.defects import CODES
from cli.adopting.reading import find_scripts
from cli.adopting.restarters import Machine
from cli.adopting.survey import Survey, survey
from foundation.workspace import Workspace
from tests.cli.adopt_folder import _SPECIAL, PLANTED, SCRIPTS, SHELL_LINES, planted_folder
from tests.cli.conftest import Quantum


def surveyed(folder: Path, workspace: Path) -> Survey:
    """What adopt sees, on a machine where nothing else starts anything."""
    machine = Machine(home=workspace / "home", etc=workspace / "etc", crontab=lambda: "", processes=lambda: ())
    return survey(folder, Workspace(workspace), machine, dict(os.environ))


def check(seed: int, tmp_path: Path) -> Counter[str]:
    """One folder; what was planted in it, by code."""
    planted = planted_folder(seed)
    folder, workspace = tmp_path / f"scripts-{seed}", tmp_path / f"ws-{seed}"
    (workspace / "agents").mkdir(parents=True)
    planted.write(folder)
    seen = surveyed(folder, workspace)
    found = {
        (one.shown, defect.code, line)
        for one in seen.proposals
        for defect in one.defects
        for line in defect.lines or (0,)
    }
    assert found - planted.expected == set(), f"seed {seed}: invented"
    assert planted.expected - found == set(), f"seed {seed}: missed"
    assert len(seen.proposals) == SCRIPTS
    return Counter(planted.plantings)


def test_all_planted_are_named_and_none_invented(tmp_path: Path) -> None:
    counts = check(1, tmp_path)
    print(f"{counts.total()} planted of {len(counts)} kinds in {SCRIPTS} scripts, all named, none invented")
    assert counts.total() == PLANTED


def test_the_strangest_file_keeps_no_other_from_being_read(quantum: Quantum, folder: Path, tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name, text in {
        b"plain.sh": b"#!/bin/sh\necho plain\n",
        b"long.sh": b"#!/" + b"a" * 6_000 + b"\necho 1\n",
        b"\xff.sh": b"#!/bin/sh\necho 1\n",
        b"\x1b[2J.sh": b"#!/bin/sh\necho 1\n",
        b"two\nlines.sh": b"#!/bin/sh\n. ./" + b"b" * 6_000 + b"\n",
        b"deep.py": b"x = " + b"-" * 100_000 + b"1\n",
    }.items():
        path = os.fsencode(scripts) + b"/" + name
        Path(os.fsdecode(path)).write_bytes(text)
        os.chmod(path, 0o755)
    os.symlink("loop.sh", scripts / "loop.sh")
    os.symlink(".", scripts / "itself")
    os.mkfifo(scripts / "pipe.sh")
    said = quantum("adopt", str(scripts))
    assert said.code == 0 and "7 scripts in" in said.out and "\x1b" not in said.out
    found = {one["script"]: one for one in quantum("adopt", str(scripts), "--json").document["scripts"]}
    assert found["plain.sh"]["name"] == "plain"
    assert "not UTF-8" in found["\udcff.sh"]["left_alone"]
    assert [each["code"] for each in found["long.sh"]["defects"]] == ["interpreter-missing"]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_all_planted_are_named_on_fifty_seeds(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    for seed in range(100, 150):
        counts += check(seed, tmp_path)
    print(f"{counts.total()} planted of {len(counts)} kinds in {50 * SCRIPTS} scripts: {dict(counts.most_common())}")
    assert set(counts) == {*SHELL_LINES, *_SPECIAL}


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ws" / "agents").mkdir(parents=True)
    closed = tmp_path / "s" / "closed.sh"
    closed.parent.mkdir()
    closed.write_text("#!/bin/sh\necho\n")
    real = Path.open

    def refuse(path: Path, *given: Any, **named: Any) -> Any:
        # Root may read everything, so that the mode alone would not do.
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *given, **named)

    monkeypatch.setattr(Path, "open", refuse)
    [one] = surveyed(closed.parent, tmp_path / "ws").proposals
    assert [defect.code for defect in one.defects] == ["unreadable"] and not one.name
    monkeypatch.setattr(os, "scandir", _refuse_folder)
    [folder] = find_scripts(closed.parent)
    monkeypatch.undo()
    assert (folder.shown, folder.fault) == (".", "unreadable")


def _refuse_folder(path: str) -> Any:
    raise PermissionError(13, "Permission denied", path)


def test_every_code_can_be_planted_or_is_tried_elsewhere() -> None:
    assert set(CODES) - {*SHELL_LINES, *_SPECIAL} == {"unreadable", "source-relative"}


BESIDE = "source-relative"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (". ./lib.sh", BESIDE),
        ("source ./lib.sh", BESIDE),
        ("source sub/lib.sh", BESIDE),
        (". ./gone.sh", "source-missing"),
        (". ./of_the_workspace.sh", ""),
        ('cd "$(dirname "$0")"\n. ./lib.sh', ""),
        ('cd "$(dirname "$0")" || exit 1\nsource sub/lib.sh', ""),
        ('cd "$(dirname "$0")"\n. ./gone.sh', "source-missing"),
        ('cd "$SOMEWHERE"\n. ./lib.sh', ""),
        ('if test -n "$X"; then cd /tmp; fi\n. ./lib.sh', ""),
        ('HERE="$(cd "$(dirname "$0")" && pwd)"\n. ./lib.sh', BESIDE),
        ('HERE="$(cd "$(dirname "$0")" && pwd)"\n. "$HERE/lib.sh"', ""),
        ("[ -f ./lib.sh ] && . ./lib.sh", ""),
        (". lib.sh", ""),
    ],
)
def test_a_helper_that_is_named_from_where_one_stands_is_looked_for_where_it_will_run(
    tmp_path: Path, lines: str, code: str
) -> None:
    folder, workspace = tmp_path / "scripts", tmp_path / "ws"
    (workspace / "agents").mkdir(parents=True)
    (workspace / "of_the_workspace.sh").write_text("log() {\n  echo\n}\n")
    (folder / "sub").mkdir(parents=True)
    for name in ("lib.sh", "sub/lib.sh"):
        (folder / name).write_text("log() {\n  echo\n}\n")
    script = folder / "nightly.sh"
    script.write_text(f"#!/bin/bash\n{lines}\necho done\n")
    script.chmod(0o755)
    [one] = [one for one in surveyed(folder, workspace).proposals if one.shown == "nightly.sh"]
    assert [defect.code for defect in one.defects if defect.code.startswith("source-")] == ([code] if code else [])


def test_a_folder_with_more_than_is_looked_at_says_where_it_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "FILES_MAX", 3)
    monkeypatch.setattr("cli.adopting.survey.FILES_MAX", 3)
    (tmp_path / "ws" / "agents").mkdir(parents=True)
    folder = tmp_path / "scripts"
    folder.mkdir()
    for number in range(3):
        (folder / f"a{number}.sh").write_text("#!/bin/sh\necho 1\n")
    assert not surveyed(folder, tmp_path / "ws").unknown, "as many as are looked at are no reason to say anything"
    for number in range(3, 6):
        (folder / f"a{number}.sh").write_text("#!/bin/sh\necho 1\n")
    seen = surveyed(folder, tmp_path / "ws")
    assert [one.shown for one in seen.proposals] == ["a0.sh", "a1.sh", "a2.sh"]
    assert seen.unknown == (
        "More than 3 scripts lie here; a3.sh and all after it are not looked at: name a folder below.",
    )
