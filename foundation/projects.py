"""Reads `config/projects.toml`: names and folders of projects."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

NAME_RULE = "lower-case letters, digits, - and _, at most 64, beginning with a letter or digit"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Projects:
    """Folders by name, absolute; a project with a fault is left out and the fault is told."""

    folders: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def read_projects(path: Path) -> Projects:
    """Read the file; none means no projects.

    Both forms are read: `HabitQuest = "~/Projects/HabitQuest"` under `[projects]` or bare, and
    `[projects.HabitQuest]` with `folder = "…"`. A relative folder counts from the workspace.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Projects()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return Projects(faults=(f"{path.name} cannot be read: {error}.",))
    table = document.get("projects", document)
    if not isinstance(table, dict):
        return Projects(faults=(f"{path.name}: [projects] must be a table.",))
    folders: dict[str, str] = {}
    faults: list[str] = []
    for name, value in table.items():
        said = _fault(name, value)
        if said:
            faults.append(f"{path.name}: “{name}” {said}")
        else:
            folder = Path(folder_in(value)).expanduser()
            folders[name] = str(folder if folder.is_absolute() else path.parent.parent / folder)
    return Projects(folders, tuple(faults))


def folder_in(value: object) -> str:
    """The folder in what stands behind a name, in either form; empty: there is none."""
    found = value.get("folder") if isinstance(value, dict) else value
    return found if isinstance(found, str) else ""


def _fault(name: str, value: object) -> str:
    if not is_project_name(name):
        return f"cannot be the name of a project: {NAME_RULE}, upper case allowed."
    if not folder_in(value):
        return 'needs a folder: name = "~/Projects/name".'
    return ""


def is_project_name(text: str) -> bool:
    """Projects may have upper-case letters, as their folders do (HabitQuest)."""
    return _NAME.fullmatch(text.lower()) is not None
