"""Reads `.quantum/repositories.toml`: the git repositories whose merges are guarded."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedRepository:
    """One repository. `folder` is a work tree of it, `common_dir` git's own folder; both absolute, links resolved."""

    id: str
    folder: Path
    common_dir: Path
    project: str = ""
    """Empty: it is the workspace's own, or that of a folder in no project."""


@dataclass(frozen=True, slots=True)
class GuardedRepositories:
    """By id; one with a fault is left out and the fault is told."""

    by_id: Mapping[str, GuardedRepository] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def read_repositories(path: Path) -> GuardedRepositories:
    """Read the file; none means no repositories. Form: `[<id>]` with `folder`, `common_dir` and `project`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return GuardedRepositories()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return GuardedRepositories(faults=(f"{path.name} cannot be read: {error}.",))
    found: dict[str, GuardedRepository] = {}
    faults: list[str] = []
    for name, table in document.items():
        words = [table.get(key) for key in ("folder", "common_dir")] if isinstance(table, dict) else []
        project = table.get("project", "") if isinstance(table, dict) else ""
        if not words or not all(isinstance(word, str) and word.startswith("/") for word in (*words, "/")):
            faults.append(f"{path.name}: [{name}] needs folder and common_dir, both absolute.")
            continue
        folder, common_dir = (Path(str(word)) for word in words)
        found[name] = GuardedRepository(id=name, folder=folder, common_dir=common_dir, project=str(project))
    return GuardedRepositories(found, tuple(faults))
