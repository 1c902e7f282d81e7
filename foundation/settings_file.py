"""Reads `config/agent_config.json` as YAML: the runbook's sample has a comment and a trailing comma."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from foundation.errors import FieldFault

FILE_NAME = "config/agent_config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One key of the file with its value as YAML reads it, and the line it stands on, counted from 1."""

    name: str
    value: object
    line: int

    @property
    def origin(self) -> str:
        """Where it stands, for people."""
        return f"{FILE_NAME} line {self.line}"


def read_settings_file(path: Path) -> tuple[list[FileEntry], list[FieldFault]]:
    """Every entry of the file and everything wrong with its form; an empty file has no entries."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [], [FieldFault(FILE_NAME, f"the file cannot be read: {error}.")]
    try:
        return _entries(text)
    except yaml.MarkedYAMLError as error:
        where = FILE_NAME if error.problem_mark is None else f"{FILE_NAME} line {error.problem_mark.line + 1}"
        return [], [FieldFault(where, f"this is neither JSON nor YAML: {error.problem}.")]
    except (yaml.YAMLError, ValueError) as error:  # a forbidden character; a date that no calendar has
        return [], [FieldFault(FILE_NAME, f"this is neither JSON nor YAML: {error}.")]


def _entries(text: str) -> tuple[list[FileEntry], list[FieldFault]]:
    """Goes through the parsed document by hand: only there are the lines, and the keys that stand twice."""
    loader = yaml.SafeLoader(text)
    document = loader.get_single_node()
    if document is None:
        return [], []
    if not isinstance(document, yaml.MappingNode):
        return [], [FieldFault(FILE_NAME, 'the file must hold one mapping, like {"max_concurrent_agents": 10}.')]
    entries: dict[str, FileEntry] = {}
    faults = []
    for key, value in document.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in entries:
            # YAML and JSON readers would silently take the last.
            where = f"{FILE_NAME} line {line}: {name}"
            faults.append(FieldFault(where, f"it stands on line {entries[name].line} already."))
        else:
            entries[name] = FileEntry(name=name, value=loader.construct_object(value, deep=True), line=line)
    return list(entries.values()), faults
