"""Reads `config/agent_config.json` with a YAML reader, so that the runbook's sample, comment and trailing comma, loads as printed."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.errors import FieldFault

FILE_NAME = "config/agent_config.json"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One key of the file with its value as YAML reads it and the line it stands on, the first line being 1."""

    name: str
    value: object
    line: int


def read_settings_file(path: Path) -> tuple[list[FileEntry], list[FieldFault]]:
    """Every entry of the file and everything wrong with its form; a file that is not there or empty has no entries."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return [], []
    except (OSError, UnicodeDecodeError) as error:
        return [], [FieldFault(FILE_NAME, f"the file cannot be read: {error}.")]
    # PyYAML takes 20 ms to import and has no types of its own; only who has a file to read pays.
    yaml: Any = importlib.import_module("yaml")
    loader = yaml.SafeLoader(text)
    try:
        return _entries(yaml, loader, loader.get_single_node())
    except yaml.YAMLError as error:
        return [], [_syntax_fault(error)]
    finally:
        loader.dispose()


def _entries(yaml: Any, loader: Any, document: Any) -> tuple[list[FileEntry], list[FieldFault]]:
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
            message = f"it stands on line {entries[name].line} already."
            faults.append(FieldFault(f"{FILE_NAME} line {line}: {name}", message))
        else:
            entries[name] = FileEntry(name, loader.construct_object(value, deep=True), line)
    return list(entries.values()), faults


def _syntax_fault(error: Any) -> FieldFault:
    mark = getattr(error, "problem_mark", None)
    where = FILE_NAME if mark is None else f"{FILE_NAME} line {mark.line + 1}"
    return FieldFault(where, f"this is neither JSON nor YAML: {getattr(error, 'problem', None) or error}.")
