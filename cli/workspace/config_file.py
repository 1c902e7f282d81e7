"""Edits `config/agent_config.json` entry by entry, so that a person's comments, order and commas stay as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from foundation.errors import Conflict, Invalid
from foundation.files import atomic_write
from foundation.known_settings import Value
from foundation.settings_file import read_settings_file


@dataclass(frozen=True, slots=True)
class _Entry:
    """One key with its value: where its text begins and ends."""

    name: str
    value: object
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The file; it is there in every workspace."""

    path: Path

    def set(self, name: str, value: Value) -> None:
        """Give a setting a value, in place of the one it has. Raises as `unset` does."""
        text, entries = self._read()
        written = json.dumps(value, ensure_ascii=False)
        after = [entry for entry in _pairs(entries) if entry[0] != name] + [(name, value)]
        self._write(_insert(_without(text, entries, name), name, written), after)

    def unset(self, name: str) -> int:
        """Take every entry of a name away and return how many there were. Raises Invalid for a file that is neither
        JSON nor YAML, Conflict for one that only a person can edit.
        """
        text, entries = self._read()
        found = sum(entry.name == name for entry in entries)
        if found:
            self._write(_without(text, entries, name), [pair for pair in _pairs(entries) if pair[0] != name])
        return found

    def _read(self) -> tuple[str, list[_Entry]]:
        text = self.path.read_text(encoding="utf-8")
        try:
            return text, _entries(text)
        except (yaml.YAMLError, ValueError):
            faults = read_settings_file(self.path)[1]
            raise Invalid("bad_settings", f"{self.path} is not right.", fields=faults) from None

    def _write(self, text: str, wanted: Sequence[tuple[str, object]]) -> None:
        """Only if what it says then is what was wanted: a layout that is not understood stays as it is."""
        try:
            made = sorted(_pairs(_entries(text)), key=repr)
        except (yaml.YAMLError, ValueError):
            made = None
        if made != sorted(wanted, key=repr):
            raise Conflict("not_edited", f"{self.path} is written in a way that only you can edit; it is as it was.")
        atomic_write(self.path, text.encode(), self.path.stat().st_mode & 0o777)


def _entries(text: str) -> list[_Entry]:
    loader = yaml.SafeLoader(text)
    document = loader.get_single_node()
    if document is None:
        return []
    if not isinstance(document, yaml.MappingNode):
        raise ValueError
    return [
        _Entry(str(key.value), loader.construct_object(value, deep=True), key.start_mark.index, value.end_mark.index)
        for key, value in document.value
    ]


def _pairs(entries: Sequence[_Entry]) -> list[tuple[str, object]]:
    return [(entry.name, entry.value) for entry in entries]


def _without(text: str, entries: Sequence[_Entry], name: str) -> str:
    """The text without the entries of a name: each with its comma, and its line if nothing else stands there."""
    for entry in reversed([entry for entry in entries if entry.name == name]):
        begin, end = entry.begin, entry.end
        rest = text[end:].lstrip(" \t")
        if rest.startswith(","):
            end = len(text) - len(rest) + 1
        line = text.rfind("\n", 0, begin) + 1
        newline = text.find("\n", end)
        if not text[line:begin].strip() and newline >= 0 and not text[end:newline].strip():
            begin, end = line, newline + 1
        elif rest.startswith(","):
            end += len(text[end:]) - len(text[end:].lstrip(" "))
        text = text[:begin] + text[end:]
    return text


def _insert(text: str, name: str, written: str) -> str:
    """The text with one entry more, at its end."""
    body = text.rstrip()
    if not body.endswith("}"):
        return f"{body}\n{name}: {written}\n".lstrip()
    inner = body[:-1].rstrip()
    comma = "" if inner.endswith(("{", ",")) else ","
    if "\n" in body:
        return f'{inner}{comma}\n  "{name}": {written},\n}}\n'
    space = "" if inner.endswith("{") else " "
    return f'{inner}{comma}{space}"{name}": {written}}}\n'
