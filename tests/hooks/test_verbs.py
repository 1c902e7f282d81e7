"""`quantum hooks`, its token, and what doctor says: on real repositories, with a played safety."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import run
from cli.doctor import state
from cli.doctor.subject import Subject
from cli.hooks import token as hooks_token
from clients.safety_values import IssuedToken, TokenView
from foundation.clock import ManualClock
from foundation.errors import Unavailable
from foundation.ids import random_bytes
from foundation.repositories import GuardedRepository, change_repositories, read_repositories
from foundation.tokens import mint, parse
from foundation.workspace import Workspace
from tests.cli.conftest import Printed, Quantum
from tests.cli.fakes import PlayedConnection, PlayedCoordinator, PlayedSafety, PlayedSession
from tests.hooks.scene import Scene


@dataclass
class Tokens(PlayedSafety):
    """Safety, as far as tokens go."""

    clock: ManualClock = field(default_factory=ManualClock)
    tokens: dict[str, TokenView] = field(default_factory=dict)

    async def issue_token(self, name: str, scopes: Iterable[str], *, lifetime: timedelta | None = None) -> IssuedToken:
        """A real one."""
        text = mint(random_bytes).text
        view = TokenView(
            id=parse(text).id,
            name=name,
            scopes=frozenset(scopes),
            created_at=self.clock.now(),
            expires_at=None,
            last_used_at=None,
            revoked_at=None,
        )
        self.tokens[view.id] = view
        return IssuedToken(token=view, text=text)

    async def list_tokens(self) -> tuple[TokenView, ...]:
        """All of them."""
        return tuple(self.tokens.values())

    async def revoke_token(self, token_id: str) -> TokenView:
        """Make it worthless."""
        self.tokens[token_id] = replace(self.tokens[token_id], revoked_at=self.clock.now())
        return self.tokens[token_id]

    @property
    def good(self) -> set[str]:
        """The ids of those that are still good."""
        return {one.id for one in self.tokens.values() if one.revoked_at is None}


class OneSession(PlayedSession):
    """Connected to it, unless nothing runs."""

    up = True

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """The played services."""
        if not self.up:
            raise Unavailable("not_running", "The safety of this workspace does not run.", remedy="quantum up --detach")
        yield PlayedConnection(self.played, self.played_safety)


@dataclass
class Place:
    """A workspace in a repository, and a project with a submodule."""

    scene: Scene
    session: OneSession
    safety: Tokens

    @property
    def workspace(self) -> Workspace:
        """Where it is."""
        return self.session.workspace

    @property
    def inner(self) -> Path:
        """The submodule."""
        return self.scene.top / "inner"


@pytest.fixture
def place(scene: Scene, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("HOME", str(scene.home))
    scene.git("init", "-q", str(folder))
    scene.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(scene.top), "inner")
    scene.git("commit", "-q", "-m", "a submodule")
    text = f"[projects]\nHabitQuest = {json.dumps(str(scene.top), ensure_ascii=False)}\n"
    (folder / "config" / "projects.toml").write_text(text)
    safety = Tokens()
    session = OneSession(folder, PlayedCoordinator(), safety)
    safety.clock = session.clock  # type: ignore[assignment]  # it is the manual one
    return Place(scene, session, safety)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The workspace."""
    root = tmp_path / "ws"
    (root / "config").mkdir(parents=True)
    (root / "config" / "agent_config.json").write_text("{}")
    (root / ".quantum").mkdir(mode=0o700)
    return root


@pytest.fixture
def typed(place: Place, capsys: pytest.CaptureFixture[str]) -> Quantum:
    """Types a command."""

    def type_it(*words: str) -> Printed:
        code = run(list(words), place.session)
        printed = capsys.readouterr()
        return Printed(code, printed.out, printed.err)

    return type_it


def states(typed: Quantum) -> dict[str, str]:
    """By folder."""
    return {one["folder"]: one["state"] for one in typed("hooks", "status", "--json").document["repositories"]}


def test_all_that_is_meant_without_a_name(place: Place, typed: Quantum, folder: Path) -> None:
    every = [str(place.scene.top), str(place.inner), str(folder)]
    assert states(typed) == dict.fromkeys(every, "absent")
    document = typed("hooks", "install", "--json").document
    assert [(one["folder"], one["project"]) for one in document["repositories"]] == [
        (every[0], "HabitQuest"),
        (every[1], "HabitQuest"),
        (every[2], None),
    ]
    assert (document["refused"], document["undo"]) == ([], "quantum hooks uninstall")
    assert states(typed) == dict.fromkeys(every, "guarded")
    listed = read_repositories(place.workspace.repositories_file)
    assert [(str(one.folder), one.project) for one in listed.by_id.values()] == [
        (every[0], "HabitQuest"),
        (every[1], "HabitQuest"),
        (every[2], ""),
    ]
    again = typed("hooks", "install")
    assert again.out.count("was guarded already") == 3
    assert "undo" not in again.out


def test_by_the_name_of_a_project_or_a_folder(place: Place, typed: Quantum, folder: Path) -> None:
    assert typed("hooks", "install", ".").code == 0
    assert states(typed)[str(folder)] == "guarded"
    assert states(typed)[str(place.scene.top)] == "absent"
    said = typed("hooks", "install", "HabitQuest")
    assert said.out.count("is guarded now") == 2
    assert "undo: quantum hooks uninstall HabitQuest" in said.out
    wrong = typed("hooks", "install", "HabitQuset")
    assert wrong.code == 66
    assert "Did you mean “HabitQuest”?" in wrong.err
    plain = place.scene.folder / "plain"
    plain.mkdir()
    assert "is in no git repository" in typed("hooks", "install", str(plain)).err


def test_one_that_is_refused_does_not_keep_the_others(place: Place, typed: Quantum) -> None:
    hooks = place.scene.top / ".git" / "hooks"
    for name in ("post-merge", "post-merge.quantum-before"):
        (hooks / name).write_text(f"#!/bin/sh\n# {name}\n")
    said = typed("hooks", "install")
    assert (said.code, said.out.count("is guarded now")) == (1, 2)
    assert f"{place.scene.top} is left as it was" in said.err
    document = typed("hooks", "install", "--json").document
    assert [one["folder"] for one in document["refused"]] == [str(place.scene.top)]


def test_status_names_what_bypasses_it_and_the_line_that_mends_it(place: Place, typed: Quantum) -> None:
    typed("hooks", "install")
    (place.scene.top / ".git" / "hooks" / "post-merge").chmod(0o644)
    said = typed("hooks", "status", "HabitQuest")
    assert said.code == 1
    assert "not executable" in said.out
    line = next(line for line in said.out.splitlines() if "→" in line)
    assert typed("hooks", "install", str(place.scene.top)).code == 0
    assert line.endswith(f"quantum hooks install {_quoted(place.scene.top)}")
    assert typed("hooks", "status").code == 0


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))


def test_uninstall_says_what_and_how_to_undo_it(place: Place, typed: Quantum) -> None:
    typed("hooks", "install")
    dry = typed("hooks", "uninstall", "--dry-run")
    assert dry.out.startswith("The guard would be taken out of 3 repositories.")
    assert set(states(typed).values()) == {"guarded"}
    one = typed("hooks", "uninstall", ".").out
    assert one.startswith("The guard is taken out of 1 repository.")
    assert "undo: quantum hooks install ." in one
    assert place.workspace.hooks_token.exists()
    assert typed("hooks", "uninstall", "--json").document["repositories"] != []
    assert set(states(typed).values()) == {"absent"}
    assert typed("hooks", "uninstall").out.startswith("The guard is taken out of 0 repositories.")


def test_a_repository_that_is_gone_is_told_and_forgotten(place: Place, typed: Quantum) -> None:
    other = place.scene.folder / "other"
    place.scene.git("init", "-q", str(other))
    typed("hooks", "install", str(other))
    assert states(typed)[str(other)] == "guarded"
    other.rename(place.scene.folder / "gone")
    assert states(typed)[str(other)] == "absent"
    typed("hooks", "uninstall", str(other))
    assert str(other) not in states(typed)


# The token


def test_the_token_is_for_merges_alone_and_for_nobody_else_to_read(place: Place, typed: Quantum) -> None:
    said = typed("hooks", "install")
    path = place.workspace.hooks_token
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    (issued,) = place.safety.tokens.values()
    assert (issued.name, issued.scopes) == ("git hooks", frozenset({"merge"}))
    assert hooks_token.token_id(place.workspace) == issued.id
    assert path.read_text().strip() not in said.out + said.err
    typed("hooks", "install")
    assert len(place.safety.tokens) == 1


def test_while_nothing_runs_the_rest_is_done(place: Place, typed: Quantum) -> None:
    place.session.up = False
    said = typed("hooks", "install")
    assert (said.code, said.out.count("is guarded now")) == (0, 3)
    assert "The hooks have no token yet" in said.err
    assert "→ quantum up --detach makes it" in said.err
    assert typed("hooks", "status").code == 1
    place.session.up = True
    typed("hooks", "install")
    assert typed("hooks", "status").code == 0


def renew(place: Place, *, age: timedelta = timedelta(days=1)) -> IssuedToken | None:
    """What `quantum up` has done every few minutes."""
    connected: Any = PlayedConnection(place.session.played, place.safety)
    overlap = timedelta(minutes=15)
    now = place.session.clock.now()
    return hooks_token.keep_good(place.workspace, connected, age=age, overlap=overlap, now=now)


def test_what_is_missing_is_made_by_up(place: Place, typed: Quantum) -> None:
    place.session.up = False
    typed("hooks", "install")
    made = renew(place)
    assert made is not None
    assert hooks_token.token_id(place.workspace) == made.token.id
    assert renew(place) is None


def test_rotation_keeps_a_good_one_in_the_file_and_ends_the_one_before(place: Place, typed: Quantum) -> None:
    typed("hooks", "install")
    first = hooks_token.token_id(place.workspace)
    place.safety.clock.advance(timedelta(days=1))
    renewed = renew(place)
    assert renewed is not None
    assert hooks_token.token_id(place.workspace) == renewed.token.id != first
    # A hook that waits has read the first one.
    assert place.safety.good == {first, renewed.token.id}
    place.safety.clock.advance(timedelta(minutes=5))
    assert renew(place) is None
    assert place.safety.good == {first, renewed.token.id}
    place.safety.clock.advance(timedelta(minutes=11))
    assert renew(place) is None
    assert place.safety.good == {renewed.token.id}


def test_a_revoked_one_is_replaced_and_others_are_left_alone(place: Place, typed: Quantum) -> None:
    typed("hooks", "install")
    mine = mint(random_bytes)
    place.safety.tokens[mine.id] = replace(
        next(iter(place.safety.tokens.values())), id=mine.id, name="mine", scopes=frozenset({"merge"})
    )
    first = hooks_token.token_id(place.workspace)
    place.safety.tokens[first] = replace(place.safety.tokens[first], revoked_at=place.safety.clock.now())
    place.safety.clock.advance(timedelta(hours=1))
    renewed = renew(place)
    assert renewed is not None
    assert place.safety.good == {mine.id, renewed.token.id}


def test_with_nothing_left_to_guard_it_is_dropped_and_revoked(place: Place, typed: Quantum) -> None:
    typed("hooks", "install")
    typed("hooks", "uninstall")
    assert not place.workspace.hooks_token.exists()
    assert renew(place) is None
    assert place.safety.good == set()


# Doctor


def guard_of(place: Place) -> list[tuple[str, str]]:
    """What it says of the guard."""
    return [(one.mark.value, one.cure) for one in state.merge_guard(Subject(place.session))]


def test_doctor_tells_absent_bypassed_and_on(place: Place, typed: Quantum) -> None:
    assert {mark for mark, _ in guard_of(place)} == {"WARN"}
    typed("hooks", "install")
    assert guard_of(place) == [("OK", "")]
    (place.inner.resolve() / "../.git/modules/inner/hooks/post-merge").resolve().unlink()
    assert guard_of(place) == [("FAIL", f"quantum hooks install {_quoted(place.inner)}")]
    typed("hooks", "install")
    place.workspace.hooks_token.unlink()
    assert ("FAIL", "quantum up --detach && quantum hooks install") in guard_of(place)


# The file


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "made" / "repositories.toml"
    odd = Path('/a "b" \\ \t ü \x7f 𝛀')
    one = GuardedRepository(id="r1", folder=odd, common_dir=odd / ".git", project="HabitQuest")
    two = GuardedRepository(id="r2", folder=Path("/c"), common_dir=Path("/c/.git"))
    change_repositories(path, put=[one])
    change_repositories(path, put=[two])
    assert read_repositories(path).by_id == {"r1": one, "r2": two}
    assert path.stat().st_mode & 0o777 == 0o600
    change_repositories(path, drop=["r1", "unknown"])
    assert read_repositories(path).by_id == {"r2": two}
    inode = path.stat().st_ino
    change_repositories(path, put=[two])
    assert path.stat().st_ino == inode


def test_a_file_with_a_fault_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "repositories.toml"
    path.write_text("[r1]\nfolder = 3\n")
    one = GuardedRepository(id="r2", folder=Path("/c"), common_dir=Path("/c/.git"))
    with pytest.raises(Exception, match="needs folder and common_dir"):
        change_repositories(path, put=[one])
    assert path.read_text() == "[r1]\nfolder = 3\n"
