"""What a shell script is: a loop that never ends, a helper that others read, or something that runs to its end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cli.adopting.shell import Command, unquoted
from cli.adopting.shell_commands import assignments, runs
from cli.adopting.shell_habits import loops_without_end
from cli.adopting.shell_rules import SAYS, Script

_QUIET = frozenset(
    {
        *(
            "set",
            "shopt",
            "export",
            "readonly",
            "declare",
            "typeset",
            "local",
            "source",
            ".",
            "return",
            "[",
            "[[",
            "test",
        ),
        *(
            "alias",
            "true",
            ":",
            "trap",
            "umask",
            "cd",
            "pwd",
            "dirname",
            "basename",
            "mkdir",
            "command",
            "type",
            "unset",
        ),
    }
)
_LOOKS = frozenset(
    {
        *(
            "cat",
            "ls",
            "wc",
            "head",
            "tail",
            "grep",
            "egrep",
            "fgrep",
            "cut",
            "tr",
            "sort",
            "uniq",
            "awk",
            "date",
            "df",
        ),
        *("du", "ps", "uptime", "who", "uname", "hostname", "id", "whoami", "stat", "file", "which", "sleep", "seq"),
        *("basename", "dirname", "realpath", "readlink", "pwd", "cd", "true", "false", ":", "test", "[", "[[", "jq"),
        *("bc", "expr", "pgrep", "lsof", "env", "printenv", "nproc", "free", "vm_stat", "sw_vers", "sysctl", "exit"),
        *("return", "set", "shopt", "export", "local", "readonly", "declare", "typeset", "shift", "break", "continue"),
        *(
            "printf",
            "echo",
            "diff",
            "cmp",
            "md5sum",
            "sha256sum",
            "shasum",
            "nl",
            "rev",
            "tac",
            "column",
            "comm",
            "trap",
        ),
    }
)
"""Programs that change nothing outside, however they are called, as long as they write to no file."""
_AGAIN = frozenset({"mkdir", "touch", "chmod", "rsync"})
_GIT_LOOKS = frozenset(
    {"status", "log", "diff", "show", "branch", "rev-parse", "rev-list", "ls-files", "describe", "blame"}
)


@dataclass(frozen=True, slots=True)
class Sourced:
    """A helper that a script reads."""

    line: int
    word: str
    guarded: bool
    folder: str | None = ""
    """The word of the `cd` before it; "": there was none, None: which one counts cannot be told."""

    @property
    def relative(self) -> bool:
        """Whether it is looked for from the folder that the script is in at that moment."""
        return re.fullmatch(r"[\w.-]+/[\w./-]*", self.word) is not None


def sources(script: Script) -> Iterator[Sourced]:
    """Every `source FILE`; guarded when the script looks first whether it is there."""
    moves = [command for command in script.commands if command.words[:1] in (("cd",), ("pushd",), ("popd",))]
    changes = [command for command in moves if not _substituted(script, command)]
    for command in script.commands:
        if len(command.words) < 2 or command.words[0] not in ("source", "."):
            continue
        guarded = any(re.search(r"-[frse]\s", said) for said in command.conditions)
        line = script.shell.lines[command.line - 1]
        guarded = guarded or bool(re.search(r"-[frse]\s.*&&|\|\|", line)) or "2>/dev/null" in line.replace(" ", "")
        yield Sourced(command.line, unquoted(command.words[1]), guarded, _folder(command, changes))


def _folder(command: Command, changes: Sequence[Command]) -> str | None:
    """The word of the last `cd` before a command, where each of those before it is sure to be made."""
    before = [change for change in changes if change.at < command.at]
    if not before:
        return None if command.function and changes else ""
    if command.function or any(change.function or change.conditions or change.loops for change in before):
        return None
    words = [word for word in before[-1].words[1:] if word not in ("--", "-P", "-L")]
    return unquoted(words[0]) if len(words) == 1 and before[-1].words[0] == "cd" else None


def is_helper(script: Script) -> bool:
    """Whether it does nothing by itself but define functions and set variables."""
    defines = re.search(r"^[ \t]*(?:function\s+)?[\w-]+\s*\(\)", script.shell.bare, flags=re.MULTILINE)
    exports = any(command.words[:1] == ("export",) for command in script.commands)
    if not defines and not exports:
        return False
    main = re.compile(r"BASH_SOURCE.*(?:\$0|\$\{0\})|\$\{?ZSH_EVAL_CONTEXT")
    for command in script.commands:
        if command.function or not command.words or any("--health" in said for said in command.conditions):
            continue  # also a helper may answer when it is asked how it is
        if any(main.search(said) for said in command.conditions):
            return False
        program = next(runs(command), ("",))[0]
        if program and program not in _QUIET and not _substituted(script, command):
            return False
    return True


def does_nothing(script: Script) -> bool:
    """Whether it ends without having done anything, as a file does that only marks something."""
    return all(command.words[:1] in (("exit",), (":",), ("true",), ("set",)) for command in script.commands)


def _substituted(script: Script, command: Command) -> bool:
    """Whether a command only gives its output to a variable."""
    return any(
        holder.line == command.line and holder.at < command.at < holder.at + len(value) + 64
        for _, value, holder in assignments(script.commands)
        if "$(" in value or "`" in value
    )


def pause_seconds(script: Script) -> tuple[int, int] | None:
    """The line of the first loop without end, and the longest pause in it in seconds; 0: it is not written out."""
    for loop, commands in loops_without_end(script):
        longest = 0
        for command in commands:
            for program, *rest in runs(command):
                if program == "sleep" and rest:
                    longest = max(longest, _seconds(script, unquoted(rest[0])))
        return loop.line, longest
    return None


def _seconds(script: Script, word: str) -> int:
    match = re.fullmatch(r"\$\{?(\w+)(?::-(\d+))?\}?", word)
    if match:
        values = [unquoted(value) for value in script.values.get(match[1], [])]
        values = [value for value in values if re.fullmatch(r"\d+[smhd]?|\$\{\w+:-\d+\}", value)]
        if values and len(set(values)) == 1:
            word = values[0]
            inner = re.fullmatch(r"\$\{\w+:-(\d+)\}", word)
            word = inner[1] if inner else word
        else:
            word = match[2] or ""
    number = re.fullmatch(r"(\d+)([smhd]?)", word)
    return int(number[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[number[2]] if number else 0


def effects(script: Script) -> str:
    """`none` where every command only looks, `idempotent` where it does what it may do again; else empty."""
    again = False
    defined = {command.function for command in script.commands}
    for command in script.commands:
        for sign, target in command.redirects:
            if (
                ">" in sign
                and "&" not in sign.replace("&>", "")
                and unquoted(target) not in ("/dev/null", "1", "2", "&1", "&2")
            ):
                return ""
        for program, *rest in runs(command):
            if program in ("timeout", "command", "time", "env") or program in defined:
                continue
            if program == "git" and rest[:1] and rest[0] in _GIT_LOOKS:
                continue
            if program in _AGAIN and (program != "mkdir" or "-p" in rest):
                again = True
            elif (program not in _LOOKS and program not in SAYS - {"print"}) or (program == "sysctl" and "-w" in rest):
                return ""
    if not script.commands or (
        script.shell.documents and any("<<" in one.opening for one in script.shell.documents) and script.fed
    ):
        return ""
    return "idempotent" if again else "none"


def own_timeout(script: Script) -> int:
    """The longest time in seconds that it gives anything by `timeout N`, 0 for none."""
    longest = 0
    for command in script.commands:
        for program, *rest in runs(command):
            if program in ("timeout", "gtimeout"):
                numbers = [word for word in rest if re.fullmatch(r"\d+[smh]?", word)]
                longest = max(longest, _seconds(script, numbers[0]) if numbers else 0)
    return longest


def takes_options(script: Script) -> bool:
    """Whether it reads arguments like `--key value`."""
    return bool(
        re.search(
            r"^[ \t]*(?:-\w\s*\|\s*)?--[a-z][\w-]*\)\s*\n?[^\n]*(?:\n[^\n]*)?\$\{?2\b",
            script.shell.code,
            flags=re.MULTILINE,
        )
    )


def functions(script: Script) -> Iterator[tuple[str, str, int]]:
    """Name, body without its indentation, and line of every function of three lines or more."""
    lines = script.shell.lines
    for match in re.finditer(
        r"^(?P<indent>[ \t]*)(?:function\s+)?(?P<name>[\w-]+)\s*(?:\(\))?\s*\{[ \t]*$",
        script.shell.bare,
        flags=re.MULTILINE,
    ):
        first = script.shell.line_of(match.start())
        for last in range(first, len(lines)):
            if lines[last].rstrip() == f"{match['indent']}}}":
                body = [line.strip() for line in lines[first:last] if line.strip()]
                if len(body) >= 3:
                    yield match["name"], "\n".join(body), first
                break
