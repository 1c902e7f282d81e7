"""What may stand in a repository's hooks before the guard is put in, and looks at what stands there after."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cli.hooks.places import find_place
from cli.hooks.scripts import EVENTS
from cli.hooks.standing import State, standing
from cli.hooks.targets import Target
from tests.hooks.scene import Scene

SAYS = '#!/bin/sh\necho "before: ${0##*/} $*" >>"$HOME/said"\ncat >>"$HOME/said"\nexit 3\n'


def snapshot(top: Path) -> dict[str, tuple[str, int]]:
    """Hooks and configuration: content or target, and mode."""
    found = {}
    folders = [top / ".git", top]
    for path in sorted({path for folder in folders for path in folder.rglob("*")}):
        relative = path.relative_to(top)
        if relative.parts[0] == ".git" and relative.parts[1:2] not in (("hooks",), ("config",)):
            continue
        if path.is_symlink():
            found[str(relative)] = (os.readlink(path), 0)
        elif path.is_file():
            found[str(relative)] = (path.read_text(), path.stat().st_mode)
    return found


def state(scene: Scene, top: Path | None = None) -> tuple[State, str]:
    """How the repository stands, and why."""
    place = find_place(top or scene.top)
    found = standing(Target(folder=place.top, project="", place=place), scene.workspace)
    assert bool(found.remedy) == (found.state is not State.GUARDED)
    return found.state, found.reason


def said(scene: Scene) -> str:
    """What the hooks of before have said."""
    path = scene.home / "said"
    return path.read_text() if path.exists() else ""


def script(path: Path, text: str = SAYS, mode: int = 0o755) -> Path:
    """Write a hook."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


# What may be there before


def bare_folder(scene: Scene) -> None:
    for path in (scene.top / ".git" / "hooks").iterdir():
        path.unlink()


def no_folder(scene: Scene) -> None:
    bare_folder(scene)
    (scene.top / ".git" / "hooks").rmdir()


def one_hook(scene: Scene) -> None:
    script(scene.top / ".git" / "hooks" / "post-merge", mode=0o751)


def all_hooks(scene: Scene) -> None:
    for name in EVENTS:
        script(scene.top / ".git" / "hooks" / name)


def not_executable(scene: Scene) -> None:
    script(scene.top / ".git" / "hooks" / "post-merge", mode=0o644)


def link(scene: Scene) -> None:
    script(scene.top / "scripts" / "hook.sh")
    bare_folder(scene)
    (scene.top / ".git" / "hooks" / "post-merge").symlink_to("../../scripts/hook.sh")


def dead_link(scene: Scene) -> None:
    (scene.top / ".git" / "hooks" / "post-commit").symlink_to("nowhere")


def tracked_folder(scene: Scene, where: str = "tools/hooks") -> None:
    for name in ("post-merge", "pre-commit"):
        script(scene.top / where / name, SAYS if name == "post-merge" else SAYS.replace("exit 3", "exit 0"))
    scene.git("add", where)
    scene.git("commit", "-q", "-m", "hooks of the project")


def tracked_path(scene: Scene) -> None:
    tracked_folder(scene)
    scene.git("config", "core.hooksPath", "tools/hooks")


def linked_folder(scene: Scene) -> None:
    tracked_folder(scene)
    no_folder(scene)
    (scene.top / ".git" / "hooks").symlink_to("../tools/hooks")


def global_path(scene: Scene) -> None:
    for name in ("post-merge", "pre-commit"):
        script(scene.home / "my hooks" / name, SAYS if name == "post-merge" else SAYS.replace("exit 3", "exit 0"))
    scene.git("config", "--global", "core.hooksPath", "~/my hooks")


def own_path(scene: Scene) -> None:
    script(scene.top / ".git" / "other" / "post-merge")
    scene.git("config", "core.hooksPath", ".git/other")


BEFORE: dict[str, Callable[[Scene], None]] = {
    case.__name__: case
    for case in (
        bare_folder,
        no_folder,
        one_hook,
        all_hooks,
        not_executable,
        link,
        dead_link,
        tracked_path,
        linked_folder,
        global_path,
        own_path,
    )
}
RUN_FIRST = {"one_hook", "all_hooks", "link", "tracked_path", "linked_folder", "global_path", "own_path"}
