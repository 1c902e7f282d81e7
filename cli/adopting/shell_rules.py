"""What is wrong with the commands of a shell script: processes, files and money."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from cli.adopting import patterns
from cli.adopting.defects import Finding
from cli.adopting.shell import Command, ShellText, read_shell, unquoted
from cli.adopting.shell_commands import assignments, commands_of, runs

SAYS = frozenset({"echo", "printf", "log", "info", "warn", "warning", "error", "success", "log_message", "print"})
"""Commands whose words are only said."""
_INTERPRETERS = re.compile(r"\b(?:python[\d.]*|bash|sh|zsh|node|ruby|perl)\b")
_STATE_HELPERS = frozenset(
    {"update_agent_status", "update_task_status", "complete_task", "increment_task_count", "set_agent_status"}
)
_SERVICE_STARTS = {
    "launchctl": {"load", "bootstrap", "kickstart", "start", "submit"},
    "systemctl": {"start", "restart", "enable", "reload-or-restart"},
    "service": {"start", "restart"},
    "supervisorctl": {"start", "restart"},
    "pm2": {"start", "restart", "resurrect"},
    "brew": set(),
}


@dataclass(frozen=True)
class Script:
    """A shell script, cut up once for all rules."""

    shell: ShellText
    commands: tuple[Command, ...]

    @classmethod
    def of(cls, text: str) -> Script:
        """Read one."""
        shell = read_shell(text)
        return cls(shell, commands_of(shell))

    @cached_property
    def values(self) -> dict[str, list[str]]:
        """What each variable is set to, as written."""
        values: dict[str, list[str]] = {}
        for name, value, _ in assignments(self.commands):
            values.setdefault(name, []).append(value)
        return values

    @cached_property
    def exports(self) -> tuple[str, ...]:
        """Variables that name a file which is an export here."""
        return tuple(
            name
            for name, values in self.values.items()
            if any(value.rstrip("}\"'").endswith(patterns.EXPORTS) for value in values)
        )

    @cached_property
    def fed(self) -> tuple[tuple[int, str], ...]:
        """Texts that are handed to a program as its source, each with its first line."""
        told = [
            (one.first, one.body) for one in self.shell.documents if _INTERPRETERS.search(_command_part(one.opening))
        ]
        for command in self.commands:
            for program, *rest in runs(command):
                if re.match(r"(?:python[\d.]*|node|ruby|perl)$", program):
                    told += [(command.line, rest[at + 1]) for at, word in enumerate(rest[:-1]) if word in ("-c", "-e")]
        return tuple(told)

    def sets(self, option: str) -> bool:
        """Whether `set -…` switches a letter on at the top."""
        return any(
            command.words[0] == "set" and any(re.match(rf"-[a-z]*{option}", word) for word in command.words[1:])
            for command in self.commands
            if command.words
        )


def _command_part(opening: str) -> str:
    """What stands before `<<` in a line, from the last separator on, a following `| python3` included."""
    before, _, after = opening.partition("<<")
    piped = after.partition("|")[2]
    return re.split(r"[;&|(]", before)[-1] + " " + piped


def _says_only(command: Command) -> bool:
    return bool(command.words) and command.words[0] in SAYS


def _handled(command: Command) -> Iterator[str]:
    """The words of a command that are more than said, and where it writes."""
    if not _says_only(command):
        yield from command.words
    yield from (target for _, target in command.redirects)


def _on(command: Command, code: str, detail: str = "") -> Finding:
    return Finding(code, command.line, detail)


def home_paths(script: Script) -> Iterator[Finding]:
    """Folders below one user's home, where they are used; not where they are only talked about."""
    for command in script.commands:
        for word in _handled(command):
            for match in patterns.home_folders(word):
                yield _on(command, "home-path", match[0])
    for first, text in script.fed:
        for match in patterns.home_folders(text):
            yield Finding("home-path", first + text.count("\n", 0, match.start()), match[0])


def kills(script: Script) -> Iterator[Finding]:
    """Ends by name, by port, and by a pid that was written down."""
    from_file = {
        name
        for name, value, _ in assignments(script.commands)
        if re.search(r"\$\(\s*(?:cat\s|<)[^)]*pid", value, flags=re.IGNORECASE)
    }
    for command in script.commands:
        said = " ".join(command.words)
        for program, *rest in runs(command):
            if program == "killall" or (program == "pkill" and "-P" not in rest):
                yield _on(command, "kill-by-name", " ".join([program, *rest][:3]))
            elif program == "fuser" and any(re.match(r"-\w*k", word) for word in rest):
                yield _on(command, "kill-by-port")
            elif program == "kill":
                yield from _kill(script, command, said, from_file)
        pid_said = {"$$", "$!"} & set(map(unquoted, command.words)) and _says_only(command)
        if pid_said and any("pid" in target.lower() for sign, target in command.redirects if ">" in sign):
            yield _on(command, "pid-file")


def _kill(script: Script, command: Command, said: str, from_file: set[str]) -> Iterator[Finding]:
    line = script.shell.lines[command.line - 1] if command.line <= len(script.shell.lines) else ""
    if "pgrep" in said or (command.words[0] == "xargs" and "pgrep" in line):
        yield _on(command, "kill-by-name", "kill $(pgrep …)")
    elif "lsof" in said or (command.words[0] == "xargs" and "lsof" in line):
        yield _on(command, "kill-by-port")
    elif "-0" in command.words:
        return
    elif re.search(r"\$\(\s*(?:cat\s|<)[^)]*pid", said, flags=re.IGNORECASE) or any(
        re.search(rf"\$\{{?{re.escape(name)}\b", said) for name in from_file
    ):
        yield _on(command, "pid-file")


def git(script: Script) -> Iterator[Finding]:
    """What a repository cannot get back."""
    for command in script.commands:
        for program, *rest in runs(command):
            if program != "git":
                continue
            words = [unquoted(word) for word in rest]
            said = " ".join(words)
            if (
                ("reset" in words and "--hard" in words)
                or ("clean" in words and any(re.match(r"-\w*f", word) for word in words))
                or re.search(r"\b(?:checkout|restore)(?: --)? \.(?:$| )", said)
                or ("push" in words and ({"--force", "-f"} & set(words)))
                or re.search(r"\bstash (?:drop|clear)\b", said)
            ):  # fmt: skip
                yield _on(command, "git-destroys", f"git {said}"[:60])


def removals(script: Script) -> Iterator[Finding]:
    """`rm -r` of what may turn out to be empty, or the root of everything."""
    for command in script.commands:
        for program, *rest in runs(command):
            if program != "rm" or not any(re.match(r"-\w*[rR]|--recursive", word) for word in rest):
                continue
            for word in rest:
                match = re.match(r"\"?\$(?:\{(\w+)\}|(\w+))\"?(?:/[\"*/]*.*|\"?)$", word)
                name = match and (match[1] or match[2])
                if name and "/" in unquoted(word) and not _filled(script, name, command):
                    yield _on(command, "rm-unguarded", word)


def _filled(script: Script, name: str, command: Command) -> bool:
    """Whether a variable is seen to hold something where it is used."""
    if name in ("HOME", "PWD"):
        return True
    text = script.shell.code[: command.at]
    guards = (
        rf"\$\{{{name}:\?",
        rf"-[nd]\s+\"?\$\{{?{name}\b",
        rf"-z\s+\"?\$\{{?{name}\b[^\n]*(?:exit|return|\n\s*(?:[^\n]*\n\s*)?(?:exit|return))",
    )
    if any(re.search(guard, text) for guard in guards) or name.isdigit():
        return not name.isdigit()
    values = script.values.get(name, [])
    if values:
        return all(_never_empty(value) for value in values)
    loop = re.search(rf"\bfor\s+{name}\s+in\b", text)
    return loop is not None or script.sets("u")


def _never_empty(value: str) -> bool:
    text = unquoted(value)
    if not text or (
        text.startswith("$") and not re.match(r"\$\(\s*(?:mktemp|pwd|cd)\b|\$\{?(?:HOME|PWD|TMPDIR)\b", text)
    ):
        return bool(re.match(r"\$\{\w+:?-[^}$]+\}", text)) or bool(re.search(r"\}?/\w", text))
    return True


def state_files(script: Script) -> Iterator[Finding]:
    """Writes to task_queue.json and agent_status.json, which only the coordinator writes here."""
    named = (*patterns.EXPORTS, *(rf"${name}" for name in script.exports), *(f"${{{name}" for name in script.exports))
    defined = set(defined_functions(script))
    for command in script.commands:
        program, *rest = next(runs(command), ("",))
        targets = [target for sign, target in command.redirects if ">" in sign]
        if program in ("mv", "cp", "truncate") or (program == "sed" and any(word.startswith("-i") for word in rest)):
            targets += rest[-1:]
        elif program in ("tee", "rm"):
            targets += rest
        if any(_names(target, named) for target in targets):
            yield _on(command, "state-edited", _which(script, targets))
        elif program in _STATE_HELPERS and program not in defined:
            yield _on(command, "state-edited", f"through {program}")
        elif program.startswith("python") and {"update-agent", "update-task"} & set(rest):
            yield _on(command, "state-edited", "through a helper")
    given = {one.first: one.opening for one in script.shell.documents}
    for first, text in script.fed:
        # The file may be named in the text, or handed to it as an argument.
        if patterns.writes_export(given.get(first, "") + "\n" + text, named[2:]):
            yield Finding("state-edited", first, "from Python")


def _names(target: str, named: tuple[str, ...]) -> bool:
    text = unquoted(target)
    return any(text.endswith((name, f"{name}}}")) for name in named)


def _which(script: Script, targets: list[str]) -> str:
    said = " ".join(targets) + " ".join(value for name in script.exports for value in script.values[name])
    return next((name for name in patterns.EXPORTS if name in said), "")


def defined_functions(script: Script) -> Iterator[str]:
    """The names of the functions that it defines."""
    for match in re.finditer(r"^[ \t]*(?:function\s+)?([\w-]+)\s*\(\)", script.shell.bare, flags=re.MULTILINE):
        yield match[1]


def ports(script: Script) -> Iterator[Finding]:
    """Ports that are written out."""
    for name, value, command in assignments(script.commands):
        if re.search(r"(?:^|_)PORT$", name) and re.fullmatch(r"\d{2,5}", unquoted(value)):
            yield _on(command, "port-fixed", unquoted(value))
    for command in script.commands:
        words = list(_handled(command))
        for at, word in enumerate(words):
            for match in patterns.local_ports(word):
                yield _on(command, "port-fixed", match[1])
            follows = words[at + 1] if at + 1 < len(words) else ""
            option = re.fullmatch(r"--port=(\d{2,5})", word)
            before = word in ("--port", "http.server") or (word == "-l" and words[0] in ("nc", "ncat"))
            if option or (before and re.fullmatch(r"\d{2,5}", follows)):
                yield _on(command, "port-fixed", option[1] if option else follows)


def secrets(script: Script) -> Iterator[Finding]:
    """Secrets in plain text; what they are is never repeated."""
    for number, line in enumerate(script.shell.text.split("\n"), 1):
        code = script.shell.lines[number - 1]
        if any(True for _ in patterns.secrets_in(line, named=False)) or any(True for _ in patterns.secrets_in(code)):
            yield Finding("plain-secret", number)


def money(script: Script) -> Iterator[Finding]:
    """Calls of paid services."""
    for command in script.commands:
        for provider in sorted(patterns.providers_in(" ".join(_handled(command)))):
            yield _on(command, "paid-api", provider)
    for first, text in script.fed:
        for provider in sorted(patterns.providers_in(text)):
            yield Finding("paid-api", first, provider)
        for match in re.finditer(r"^[ \t]*(?:import|from)\s+(\w+)", text, flags=re.MULTILINE):
            if match[1] in patterns.PAID_MODULES:
                line = first + text.count("\n", 0, match.start(1))
                yield Finding("paid-api", line, patterns.PAID_MODULES[match[1]])


RULES: tuple[Callable[[Script], Iterator[Finding]], ...] = (
    home_paths,
    kills,
    git,
    removals,
    state_files,
    ports,
    secrets,
    money,
)
