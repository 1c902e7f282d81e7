"""Somebody saves a file in the very moment in which git writes it over: it is open, or it is late in the row."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from merge_guard import moving
from merge_guard.doctor import mend
from merge_guard.rollback import roll_back
from merge_guard.values import Action
from tests.merge_guard.building import Repo
from tests.merge_guard.judging import act
from tests.merge_guard.kinds import ROLLED_BACK
from tests.merge_guard.snapshot import take
from tests.merge_guard.test_races import arrived, demand_untouched, rolled_back_while

SAVED = b"Saved\n"
# One is written over, the other removed.
PATHS = ["app.py", "feature/new.py"]


class Crash(BaseException):
    """The process ends here."""


def saved_while_written_over(base: Repo, path: str, at: str) -> None:
    """An editor that has a file open saves it once git has another one in its place, before the move is made."""
    arrival = arrived(base)
    before = take(base)
    with open(base.top / path, "r+b", buffering=0) as editor:
        done = rolled_back_while(base, arrival, lambda: (editor.truncate(0), editor.write(SAVED), None)[2], at)
    assert done.action is Action.REFUSED and f"{path} was saved" in done.sentence
    demand_untouched(base, replace(before, files={**before.files, path: ("file", SAVED)}))


@pytest.mark.parametrize("at", ["switched", "indexed"])
@pytest.mark.parametrize("path", PATHS)
def test_it_is_not_lost(base: Repo, path: str, at: str) -> None:
    saved_while_written_over(base, path, at)


def test_without_a_second_name_it_would_be(base: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "hold_names", lambda *_: None)
    with pytest.raises(AssertionError):
        saved_while_written_over(base, "app.py", "switched")


@pytest.mark.parametrize("path", PATHS)
def test_it_is_kept_when_the_move_is_made_already(base: Repo, path: str) -> None:
    arrival = arrived(base)
    with open(base.top / path, "r+b", buffering=0) as editor:
        done = rolled_back_while(base, arrival, lambda: (editor.truncate(0), editor.write(SAVED), None)[2], "committed")
    assert done.action is Action.ROLLED_BACK and base.tip() == arrival.old
    kept = Path(done.sentence.partition(" is kept as ")[2].removesuffix("."))
    assert path in done.sentence and kept.read_bytes() == SAVED


@pytest.mark.parametrize("at", ["switched", "indexed", "committed"])
@pytest.mark.parametrize("path", PATHS)
def test_it_outlives_a_crash(base: Repo, path: str, at: str) -> None:
    arrival = arrived(base)
    with open(base.top / path, "r+b", buffering=0) as editor:

        def save_and_crash(name: str) -> None:
            if name == at:
                editor.truncate(0)
                editor.write(SAVED)
                raise Crash

        with pytest.raises(Crash):
            act(base, rolling_back=partial(roll_back, step=save_and_crash))
    told = " ".join(mend(base.repository, git=base.git))
    if at == "committed":
        kept = Path(told.partition(" is kept as ")[2].removesuffix("."))
        assert base.tip() == arrival.old and kept.read_bytes() == SAVED
    else:
        assert base.tip() == arrival.new and (base.top / path).read_bytes() == SAVED
        assert base("status", "--porcelain", "--", path) == f" M {path}"
    assert mend(base.repository, git=base.git) == []


def test_a_file_that_nobody_saves_leaves_nothing_behind(base: Repo) -> None:
    arrived(base)
    assert act(base).outcome == ROLLED_BACK
    assert [path.name for path in (base.top / ".git/quantum").iterdir()] == ["lock"]
    assert not list((base.top / ".git").glob("quantum-*"))
