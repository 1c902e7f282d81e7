"""Reads a shell script as text: what is code, what stands in quotes, comments and here-documents; nothing is run."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

FILL = "\0"
"""Stands for each character within quotes in `bare`: no white space, and in no command's name."""

_HEREDOC = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]+)'|\"([^\"\n]+)\"|\\?([A-Za-z_][\w.-]*))")
_BEFORE_COMMENT = " \t\n;&|()`"


@dataclass(frozen=True, slots=True)
class HereDocument:
    """What a here-document holds, and the line of code that opens it."""

    line: int
    opening: str
    body: str
    first: int
    """Line of its first line of text."""


@dataclass(slots=True)
class _Scan:
    text: str
    code: list[str]
    bare: list[str]
    comments: list[tuple[int, str]] = field(default_factory=list)
    documents: list[HereDocument] = field(default_factory=list)
    waiting: list[tuple[str, bool, int]] = field(default_factory=list)  # delimiter, tabs stripped, where it is named

    def blank(self, start: int, end: int) -> None:
        for at in range(start, end):
            if self.text[at] != "\n":
                self.code[at] = self.bare[at] = " "


@dataclass(frozen=True)
class ShellText:
    """A script as its reader sees it. `code` and `bare` are as long as `text`, so that places are the same in all.

    In `code` comments and here-documents are blank; in `bare` what stands in quotes is filled besides.
    """

    text: str
    code: str
    bare: str
    comments: tuple[tuple[int, str], ...]
    documents: tuple[HereDocument, ...]

    @cached_property
    def _breaks(self) -> list[int]:
        return [match.start() for match in re.finditer("\n", self.text)]

    def line_of(self, at: int) -> int:
        """The number of the line, from 1, in which a place lies."""
        return bisect_right(self._breaks, at - 1) + 1

    @cached_property
    def lines(self) -> list[str]:
        """The lines of `code`, one for each line of `text`, also where two of them are one command."""
        places = [-1, *self._breaks, len(self.text)]
        return [self.code[start + 1 : stop] for start, stop in pairwise(places)]


def read_shell(text: str) -> ShellText:
    """Tell code from quotes, comments and here-documents, in one pass; one that is broken is read as far as it goes."""
    scan = _Scan(text, list(text), list(text))
    at, end = 0, len(text)
    # What we are in: "code", '"', or the closing mark of a substitution: ")" with its depth, or "`".
    stack: list[list[str | int]] = [["code", 0]]
    while at < end:
        at = _next(scan, at, stack)
    return _finished(scan)


def _next(scan: _Scan, at: int, stack: list[list[str | int]]) -> int:
    """Read what begins here, and return the place behind it."""
    text, here, sign = scan.text, stack[-1], scan.text[at]
    if sign == "\\" and at + 1 < len(text):
        return _escape(scan, at, quoted=here[0] == '"')
    if here[0] == '"':
        return _in_double(scan, at, stack)
    if sign == "\n":
        return _skip_documents(scan, at + 1)
    if sign == "#" and (at == 0 or text[at - 1] in _BEFORE_COMMENT):
        return _comment(scan, at)
    if sign == "'":
        return _single(scan, at)
    if sign == "<":
        return _less(scan, at)
    _bracket(stack, sign)
    return at + 1


def _comment(scan: _Scan, at: int) -> int:
    stop = scan.text.find("\n", at)
    stop = len(scan.text) if stop < 0 else stop
    scan.comments.append((at, scan.text[at:stop]))
    scan.blank(at, stop)
    return stop


def _less(scan: _Scan, at: int) -> int:
    """A redirection; of a here-document, the name of its end is taken, too."""
    if scan.text.startswith("<<<", at):
        return at + 3
    match = _HEREDOC.match(scan.text, at)
    if match is None:
        return at + 1
    scan.waiting.append((match[2] or match[3] or match[4], match[1] == "-", at))
    scan.bare[match.start() : match.end()] = [" "] * (match.end() - match.start())
    return match.end()


def _bracket(stack: list[list[str | int]], sign: str) -> None:
    """What opens or closes quotes and substitutions."""
    here = stack[-1]
    if sign == '"':
        stack.append(['"', 0])
    elif sign == "`":
        if here[0] == "`":
            stack.pop()
        else:
            stack.append(["`", 0])
    elif sign == "(":
        here[1] = int(here[1]) + 1
    elif sign == ")":
        if here[0] == ")" and here[1] == 0:
            stack.pop()
        else:
            here[1] = max(0, int(here[1]) - 1)


def _finished(scan: _Scan) -> ShellText:
    bare, code = "".join(scan.bare), "".join(scan.code)
    lines = ShellText(scan.text, code, bare, (), ())
    comments = tuple((lines.line_of(at), text) for at, text in scan.comments)
    return ShellText(scan.text, code, bare, comments, tuple(scan.documents))


def _escape(scan: _Scan, at: int, *, quoted: bool) -> int:
    if scan.text[at + 1] == "\n":
        scan.code[at] = scan.code[at + 1] = " "
        scan.bare[at] = scan.bare[at + 1] = FILL if quoted else " "
    else:
        scan.bare[at] = scan.bare[at + 1] = FILL
    return at + 2


def _in_double(scan: _Scan, at: int, stack: list[list[str | int]]) -> int:
    text, sign = scan.text, scan.text[at]
    if sign == '"':
        stack.pop()
    elif sign == "$" and text.startswith("$(", at) and not text.startswith("$((", at):
        stack.append([")", 0])
        return at + 2
    elif sign == "`":
        stack.append(["`", 0])
    else:
        scan.bare[at] = FILL
    return at + 1


def _single(scan: _Scan, at: int) -> int:
    text = scan.text
    stop = at + 1
    escapes = at > 0 and text[at - 1] == "$"
    while stop < len(text) and text[stop] != "'":
        stop += 2 if escapes and text[stop] == "\\" else 1
    for inside in range(at + 1, min(stop, len(text))):
        scan.bare[inside] = FILL
    return stop + 1


def _skip_documents(scan: _Scan, at: int) -> int:
    """Behind the end of a line: the here-documents that it opened lie here."""
    text = scan.text
    for delimiter, stripped, named in scan.waiting:
        start, stop = at, at
        while stop < len(text):
            newline = text.find("\n", stop)
            newline = len(text) if newline < 0 else newline
            line = text[stop:newline]
            if (line.lstrip("\t") if stripped else line).rstrip("\r") == delimiter:
                break
            stop = newline + 1
        stop = min(stop, len(text))
        begin = text.rfind("\n", 0, named) + 1
        opening = text[begin : text.find("\n", named) if "\n" in text[named:] else len(text)]
        first = text.count("\n", 0, start) + 1
        opened = text.count("\n", 0, named) + 1
        scan.documents.append(HereDocument(opened, opening, text[start:stop], first))
        after = text.find("\n", stop)
        after = len(text) if after < 0 else after + 1
        scan.blank(start, min(after, len(text)))
        at = after
    scan.waiting.clear()
    return at


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop, and what stands between its word and `do`."""

    word: str
    header: tuple[str, ...]
    line: int

    @property
    def endless(self) -> bool:
        """Whether its condition never ends it."""
        said = " ".join(self.header)
        if self.word == "while":
            return said in ("true", ":", "1", "[ 1 ]", "[ true ]", "[[ true ]]", "[[ 1 ]]", "/bin/true", "[ : ]")
        if self.word == "until":
            return said in ("false", "[ ]", "/bin/false")
        return self.word == "for" and bool(re.fullmatch(r"\(\(\s*;\s*;\s*\)\)|", said)) and self.header == ("((;;))",)


@dataclass(frozen=True, slots=True)
class Command:
    """One simple command: its words as written, where they are, and what it is inside of."""

    line: int
    at: int
    words: tuple[str, ...]
    redirects: tuple[tuple[str, str], ...] = ()
    background: bool = False
    piped: bool = False
    """Reads from a pipe."""
    function: str = ""
    loops: tuple[Loop, ...] = ()
    detached: bool = False
    """Is within a loop or a subshell that as a whole goes on in the background."""
    conditions: tuple[str, ...] = ()
    """Texts of the `if`, `elif` and `case` conditions it stands under, outermost first."""


def unquoted(word: str) -> str:
    """A word without its quotes, as far as that can be told without running it."""
    return re.sub(r"""(?<!\\)["']""", "", word)
