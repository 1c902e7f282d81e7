"""Cuts the code of a shell script into its commands, with the functions, loops and conditions around each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from cli.adopting.shell import Command, Loop, ShellText, read_shell, unquoted

_TOKEN = re.compile(
    r"(?P<space>[ \t]+)"
    r"|(?P<arithmetic>(?<![\w$])\(\(\s*;\s*;\s*\)\))"
    r"|(?P<redirect>(?:\d+|&)?(?:>>|>\||>&|<&|<<<|<>|>(?!\()|<(?!\()))"
    r"|(?P<end>\n|;;&?|;&|;|&&|\|\||\|&|\||&)"
    r"|(?P<open>[<>]?\()"
    r"|(?P<close>\))"
    r"|(?P<tick>`)"
    r"|(?P<word>(?:(?<!\d)\d+(?![<>])|[^\s;|&()<>`])+)"
)
_OPENERS = frozenset({"while", "until", "for", "select"})
_PASSED = frozenset(
    {"then", "else", "do", "!", "time", "{", "if", "elif", "while", "until", "coproc", "function", "case"}
)
_CLOSERS = frozenset({"done", "fi", "esac", "}"})
_NESTED = frozenset({"trap", "eval"})
_SHELLS = frozenset({"bash", "sh", "zsh", "dash", "ksh"})
_DEPTH_MAX = 4
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=")


@dataclass(slots=True)
class _Open:
    """A command that is being read."""

    words: list[list[int]] = field(default_factory=list)
    redirects: list[tuple[str, list[int]]] = field(default_factory=list)
    wants: str = ""  # a redirection whose target comes next
    piped: bool = False


@dataclass(slots=True)
class _Parsing:
    shell: ShellText
    found: list[Command] = field(default_factory=list)
    stack: list[tuple[str, _Open]] = field(default_factory=list)
    now: _Open = field(default_factory=_Open)
    loops: list[Loop] = field(default_factory=list)
    braces: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    named: str = ""  # a function's name, before its brace
    opened: list[int] = field(default_factory=list)  # how many commands there were when each subshell or loop began
    closed: int = -1  # the same of the subshell or loop that has just ended

    def text(self, place: list[int]) -> str:
        return self.shell.code[place[0] : place[1]]


def commands_of(shell: ShellText, depth: int = 0) -> tuple[Command, ...]:
    """Every command in the order of its end, those of substitutions, traps, `eval` and `sh -c` included."""
    parsing = _Parsing(shell)
    for match in _TOKEN.finditer(shell.bare):
        _token(parsing, str(match.lastgroup), match)
    _end(parsing, "\n")
    found = parsing.found
    if depth < _DEPTH_MAX:
        found = [each for command in found for each in (command, *_inner(command, depth))]
    return tuple(found)


def _token(parsing: _Parsing, kind: str, match: re.Match[str]) -> None:
    now, start, stop = parsing.now, match.start(), match.end()
    if kind in ("word", "arithmetic"):
        if now.wants:
            now.redirects.append((now.wants, [start, stop]))
            now.wants = ""
        elif now.redirects and now.redirects[-1][1][1] == start:
            now.redirects[-1][1][1] = stop
        elif now.words and now.words[-1][1] == start:
            now.words[-1][1] = stop
        else:
            now.words.append([start, stop])
    elif kind == "redirect":
        now.wants = match[0]
    elif kind == "end":
        _end(parsing, match[0])
    elif kind == "open":
        _open(parsing, match)
    elif kind == "close":
        _close(parsing, stop)
    elif kind == "tick":
        if parsing.stack and parsing.stack[-1][0] == "`":
            _close(parsing, stop)
        else:
            _descend(parsing, "`", start)


def _open(parsing: _Parsing, match: re.Match[str]) -> None:
    start, bare = match.start(), parsing.shell.bare
    before = bare[start - 1] if start else "\n"
    now = parsing.now
    if before == "$" or match[0] != "(":
        _descend(parsing, "$(", start)
    elif before == "=":
        _descend(parsing, "=(", start)
    elif before in "([" or bare.startswith("((", start):
        _descend(parsing, "((", start)
    elif len(now.words) == 1 and re.match(r"\([ \t]*\)", bare[start:]):
        parsing.named = parsing.text(now.words[0])
        now.words.clear()
        _descend(parsing, "f(", start)
    elif len(now.words) == 2 and parsing.text(now.words[0]) == "function":
        _descend(parsing, "f(", start)
    else:
        _end(parsing, "(")
        parsing.opened.append(len(parsing.found))
        parsing.stack.append(("(", _Open()))


def _descend(parsing: _Parsing, kind: str, start: int) -> None:
    """Into a substitution, a list or arithmetic: the command outside goes on behind it."""
    parsing.stack.append((kind, parsing.now))
    if not (parsing.now.words and parsing.now.words[-1][1] == start) and kind in ("$(", "`") and not parsing.now.wants:
        parsing.now.words.append([start, start])
    parsing.now = _Open()


def _close(parsing: _Parsing, stop: int) -> None:
    if not parsing.stack:
        parsing.now = _Open()  # the pattern of a `case`
        return
    kind, outer = parsing.stack[-1]
    if kind in ("=(", "((", "f("):
        parsing.now = _Open()
    else:
        _end(parsing, ")")
    parsing.stack.pop()
    parsing.now = outer
    if kind == "(":
        parsing.closed = parsing.opened.pop() if parsing.opened else -1
        return
    if outer.wants:
        outer.redirects.append((outer.wants, [stop, stop]))
        outer.wants = ""
    elif outer.words:
        outer.words[-1][1] = stop


def _end(parsing: _Parsing, sign: str) -> None:
    now, parsing.now = parsing.now, _Open(piped=sign in ("|", "|&"))
    began, parsing.closed = parsing.closed, -1
    if began >= 0 and not now.words:
        _detach(parsing, began, sign)
    words = [parsing.text(place) for place in now.words]
    places = list(now.words)
    while words and words[0] in _PASSED | _CLOSERS:
        if _keyword(parsing, words, places):
            if parsing.closed >= 0:
                _detach(parsing, parsing.closed, sign)
                parsing.closed = -1
            return
    if words and words[0] in _OPENERS:
        _open_loop(parsing, words, places)
        return
    if words or now.redirects:
        _emit(parsing, now, words, places, background=sign == "&")


def _keyword(parsing: _Parsing, words: list[str], places: list[list[int]]) -> bool:
    """Take a word of the grammar off the front; True when nothing of a command follows."""
    word = words[0]
    if word in _CLOSERS:
        _close_block(parsing, word)
        return True
    if word in ("while", "until"):
        _open_loop(parsing, words, places)
    elif word in ("if", "case"):
        parsing.conditions.append(" ".join(words[1:]))
    elif word in ("elif", "else") and parsing.conditions:
        parsing.conditions[-1] += " | " + (" ".join(words[1:]) if word == "elif" else "else")
    elif word == "{":
        parsing.braces.append(parsing.named)
        parsing.named = ""
    elif word == "function" and len(words) > 1:
        parsing.named = words[1]
        del words[1], places[1]
    del words[0], places[0]
    return word == "case"


def _close_block(parsing: _Parsing, word: str) -> None:
    if word == "done" and parsing.loops:
        parsing.loops.pop()
        parsing.closed = parsing.opened.pop() if parsing.opened else -1
    elif word in ("fi", "esac") and parsing.conditions:
        parsing.conditions.pop()
    elif word == "}" and parsing.braces:
        parsing.braces.pop()


def _open_loop(parsing: _Parsing, words: list[str], places: list[list[int]]) -> None:
    line = parsing.shell.line_of(places[0][0])
    parsing.opened.append(len(parsing.found))
    parsing.loops.append(Loop(words[0], tuple(words[1:]), line))


def _detach(parsing: _Parsing, began: int, sign: str) -> None:
    """What is behind a subshell or loop: with `&`, all of it goes on in the background."""
    if sign == "&":
        parsing.found[began:] = [replace(each, detached=True) for each in parsing.found[began:]]


def _emit(parsing: _Parsing, now: _Open, words: list[str], places: list[list[int]], *, background: bool) -> None:
    first = places[0][0] if places else now.redirects[0][1][0]
    functions = [name for name in (*parsing.braces, _about_to_open(parsing)) if name]
    parsing.found.append(
        Command(
            line=parsing.shell.line_of(first),
            at=first,
            words=tuple(words),
            redirects=tuple((sign, parsing.text(place)) for sign, place in now.redirects),
            background=background,
            piped=now.piped,
            function=functions[-1] if functions else "",
            loops=tuple(parsing.loops),
            conditions=tuple(parsing.conditions),
        )
    )


def _about_to_open(parsing: _Parsing) -> str:
    """The function whose brace stands before the substitution that we are in: `log() { echo "$(date)"; }`."""
    braced = any(outer.words and parsing.text(outer.words[0]) == "{" for _, outer in parsing.stack)
    return parsing.named if braced else ""


def _inner(command: Command, depth: int) -> Iterator[Command]:
    """The commands within a text that a command hands to a shell."""
    name = command.words[0] if command.words else ""
    handed = ""
    if name in _NESTED and len(command.words) > 1:
        handed = command.words[1]
    elif name.rpartition("/")[2] in _SHELLS and "-c" in command.words[:-1]:
        handed = command.words[command.words.index("-c") + 1]
    if len(handed) > 2 and handed[0] in "\"'":
        for inside in commands_of(read_shell(handed[1:-1].replace('\\"', '"')), depth + 1):
            yield replace(
                inside,
                line=command.line + inside.line - 1,
                at=command.at,
                function=command.function,
                loops=command.loops,
                conditions=command.conditions,
            )


_BEFORE = {
    "sudo": 0, "nohup": 0, "exec": 0, "command": 0, "time": 0, "nice": 0, "caffeinate": 0, "setsid": 0, "builtin": 0,
    "env": 0, "timeout": 1, "gtimeout": 1, "xargs": 0, "ionice": 0, "stdbuf": 0,
}  # fmt: skip
"""What runs the command that follows, and how many words of its own come first, options aside."""


def runs(command: Command) -> Iterator[tuple[str, ...]]:
    """The program that a command runs, with its arguments: as written, then without what only starts it."""
    return iter(_runs(command.words))


@lru_cache(maxsize=65_536)
def _runs(given: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    words, found = list(given), []
    while words and _ASSIGNMENT.match(words[0]):
        words.pop(0)
    while words:
        found.append((unquoted(words[0]).rpartition("/")[2], *words[1:]))
        skipped = _BEFORE.get(unquoted(words[0]).rpartition("/")[2])
        if skipped is None:
            break
        words.pop(0)
        while words and (words[0].startswith("-") or _ASSIGNMENT.match(words[0])):
            words.pop(0)
        del words[:skipped]
    return tuple(found)


def assignments(commands: tuple[Command, ...]) -> Iterator[tuple[str, str, Command]]:
    """Every variable that is set, with the value as written."""
    for command in commands:
        words = command.words
        if words and words[0] in ("export", "local", "readonly", "declare", "typeset"):
            words = words[1:]
        for word in words:
            match = re.match(r"([A-Za-z_]\w*)(\+?)=(.*)", word, flags=re.DOTALL)
            if match is None:
                if word.startswith("-"):
                    continue
                break
            yield match[1], match[3], command
