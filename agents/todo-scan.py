#!/usr/bin/env python3
# /// script
# [tool.quantum]
# description = "Lists what the project's own comments say is left to do"
# effects = "none"
# timeout = "5m"
# schedule = { cron = "15 5 * * MON", projects = "git" }
# ///
"""Finds the words TODO, FIXME, HACK and XXX in every tracked text file, and how the count changed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from kit.attempt import give_up, given, last_data, publish, require_repository, run_git, say

WORDS = ("TODO", "FIXME", "HACK", "XXX")
_WORD = re.compile(rf"\b({'|'.join(WORDS)})\b")
_TEXT_LENGTH_MAX = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    """`items_max`: how many marks the report lists; all of them are counted."""

    items_max: int = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """One word that was left in one line."""

    file: str
    line: int
    word: str
    text: str


def scan() -> list[Mark]:
    """Return every mark in the tracked text files of the current folder, in git's order."""
    found = run_git("grep", "-nIzE", "--no-color", rf"(^|[^A-Za-z0-9_])({'|'.join(WORDS)})([^A-Za-z0-9_]|$)", "--", ".")
    if found.returncode > 1:
        give_up(f"git grep failed: {found.stderr.strip()}")
    marks = []
    for row in found.stdout.splitlines():
        file, separator, rest = row.partition("\0")
        number, separator, text = rest.partition("\0")
        word = _WORD.search(text)
        if separator and word:
            marks.append(Mark(file=file, line=int(number), word=word[1], text=text.strip()[:_TEXT_LENGTH_MAX]))
    return marks


def main() -> None:
    """Scan, compare with the last report, publish."""
    params = given(Params)
    require_repository()
    marks = scan()
    words = Counter(mark.word for mark in marks)
    files = Counter(mark.file for mark in marks)
    for file, count in files.most_common(10):
        say(f"{count:5}  {file}")
    previous = last_data()
    change = None if previous is None else len(marks) - int(previous.get("total", 0))
    since = "first look" if change is None else f"{change:+d} since the last look"
    data = {
        "total": len(marks),
        "change": change,
        "words": {word: words[word] for word in WORDS},
        "files": dict(files.most_common(50)),
        "items": [
            {"file": mark.file, "line": mark.line, "word": mark.word, "text": mark.text}
            for mark in marks[: params.items_max]
        ],
    }
    publish("todo-scan", f"{len(marks)} marks left in {len(files)} files ({since})", data)


if __name__ == "__main__":
    main()
