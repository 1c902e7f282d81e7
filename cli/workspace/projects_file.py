"""Edits `config/projects.toml` line by line, so that a person's comments and order stay as they are."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from foundation.errors import Conflict, Invalid, NotFound, did_you_mean
from foundation.files import atomic_write
from foundation.projects import folder_in

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HEAD = "# Projects: a name and a folder. `quantum projects add NAME FOLDER` writes here; so may you.\n[projects]\n"


@dataclass(frozen=True, slots=True)
class ProjectsFile:
    """The file; it need not exist."""

    path: Path

    def read(self) -> dict[str, str]:
        """Folders by name, as written. Raises Invalid for what is no TOML."""
        table = _table(self._document())
        return {name: folder_in(value) for name, value in table.items()}

    def folder_of(self, name: str) -> str:
        """The folder of a project, as written. Raises NotFound with the nearest name."""
        present = self.read()
        if name not in present:
            near = did_you_mean(name, present)
            meant = f" Did you mean “{near}”?" if near else ""
            raise NotFound("unknown_project", f"There is no project “{name}”.{meant}", remedy="quantum projects list")
        return present[name]

    def add(self, name: str, folder: Path) -> bool:
        """Add a project; False when it is there with the same folder already.

        Raises Invalid for a name or a folder that cannot be one, Conflict when the name has another folder.
        """
        if not _NAME.fullmatch(name):
            raise Invalid(
                "bad_name",
                f"“{name}” cannot be the name of a project.",
                remedy="Letters, digits, - and _, at most 64, beginning with a letter or a digit.",
            )
        if not folder.is_dir():
            raise Invalid("no_folder", f"{folder} is no folder.")
        present = self.read().get(name)
        if present is not None:
            if Path(present).expanduser() == folder:
                return False
            raise Conflict(
                "project_exists",
                f"There is a project “{name}” already, with the folder {present}.",
                remedy=f"quantum projects remove {name}, then add it again.",
            )
        line = f"{name} = {json.dumps(str(folder), ensure_ascii=False)}\n"
        self._write(self._with(line))
        return True

    def remove(self, name: str) -> str:
        """Take a project out and return its folder. Raises NotFound, or Conflict where only a person can."""
        present, folder = self.read(), self.folder_of(name)
        kept = [line for line in self._lines() if not re.match(rf"""\s*["']?{re.escape(name)}["']?\s*=""", line)]
        text = "".join(kept)
        left = {key: folder_in(value) for key, value in _table(tomllib.loads(text)).items()}
        if left != {key: value for key, value in present.items() if key != name}:
            raise Conflict(
                "written_by_hand",
                f"“{name}” is written in a form of its own in {self.path}.",
                remedy="Remove it there.",
            )
        self._write(text)
        return folder

    def _with(self, line: str) -> str:
        """The text with one line more, in `[projects]` where that stands, else where bare names may."""
        lines = self._lines()
        if not lines:
            return _HEAD + line
        if lines[-1] and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        headings = [at for at, text in enumerate(lines) if text.lstrip().startswith("[")]
        if not headings:
            return "".join([*lines, line])
        opening = next((at for at in headings if lines[at].strip() == "[projects]"), None)
        if opening is None:
            bare = "projects" not in tomllib.loads("".join(lines))
            return "".join(
                [*lines[: headings[0]], line, *lines[headings[0] :]] if bare else [*lines, "[projects]\n", line]
            )
        end = next((at for at in headings if at > opening), len(lines))
        while end > opening + 1 and not lines[end - 1].strip():
            end -= 1
        return "".join([*lines[:end], line, *lines[end:]])

    def _lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []

    def _document(self) -> Mapping[str, object]:
        try:
            return tomllib.loads("".join(self._lines()))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Invalid("bad_projects_file", f"{self.path} is not TOML: {error}.") from None

    def _write(self, text: str) -> None:
        tomllib.loads(text)  # what we write must be read again; if not, nothing is written
        self.path.parent.mkdir(exist_ok=True)
        atomic_write(self.path, text.encode(), 0o644)


def _table(document: Mapping[str, object]) -> Mapping[str, object]:
    table = document.get("projects", document)
    return table if isinstance(table, dict) else {}
