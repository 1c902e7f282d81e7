"""What is wrong with how a shell script lives: loops, restarts, questions, rights, and what only one system has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from cli.adopting.defects import Finding
from cli.adopting.patterns import SECRET_NAME
from cli.adopting.shell import Command, Loop, unquoted
from cli.adopting.shell_commands import runs
from cli.adopting.shell_rules import _SERVICE_STARTS, Script, _on, defined_functions

_PAUSES = re.compile(r"sleep|wait|backoff|inotify|fswatch|\bread\b|tail|delay|pause|nc\b|curl|accept|listen|poll|watch")
_OWN = re.compile(r"^\"?(?:\$0|\$\{0\}|\$BASH_SOURCE|\$\{BASH_SOURCE(?:\[0\])?\})\"?$")
_SCRIPT_WORD = re.compile(r"\.(?:sh|py|bash|zsh)\"?$|\$\{?\w*(?:agent|script)\w*\}?\"?$", re.IGNORECASE)
_MACOS = frozenset(
    {
        *("osascript", "pbcopy", "pbpaste", "launchctl", "vm_stat", "xcodebuild", "xcrun", "xcode-select", "plutil"),
        *("defaults", "caffeinate", "say", "sw_vers", "diskutil", "mdfind", "mdls", "ditto", "scutil", "pmset"),
        *("networksetup", "screencapture", "codesign", "dscl", "terminal-notifier", "system_profiler"),
    }
)
_BASH_WORDS = frozenset({"[[", "declare", "typeset", "source", "shopt", "mapfile", "readarray", "pushd", "popd", "let"})


def loops_without_end(script: Script) -> Iterator[tuple[Loop, list[Command]]]:
    """Every loop that nothing within it ends, in what is run at all, with the commands within it."""
    inside: dict[tuple[Loop, str], list[Command]] = {}
    for command in script.commands:
        for loop in command.loops:
            if loop.endless:
                inside.setdefault((loop, command.function), []).append(command)
    for (loop, function), commands in inside.items():
        if _ends(loop, commands) or (function and not _is_called(script, function)):
            continue
        if all(command.detached for command in commands) and not waits(script):
            continue
        yield loop, commands


def waits(script: Script) -> bool:
    """Whether it waits for what it has put into the background."""
    return any(command.words[:1] == ("wait",) for command in script.commands)


def _ends(loop: Loop, commands: list[Command]) -> bool:
    """Whether a `break` or `return` of its own ends it; `exit` ends the script, which is another thing."""
    for command in commands:
        word = command.words[0] if command.words else ""
        inner = command.loops[command.loops.index(loop) + 1 :]
        if (word == "break" and not inner) or word == "return":
            return True
    return False


def _is_called(script: Script, function: str) -> bool:
    return any(
        function in (unquoted(word) for word in command.words[:1])
        for command in script.commands
        if command.function != function
    )


def pauses(script: Script, commands: list[Command], seen: frozenset[str] = frozenset()) -> bool:
    """Whether something within a loop waits, also in the functions that it calls, or might for all that can be seen."""
    for command in commands:
        for program, *rest in runs(command):
            if _PAUSES.search(program) or program == "timeout":
                return True
            body = [one for one in script.commands if one.function == program and one.loops == ()]
            if body and program not in seen and pauses(script, body, seen | {program}):
                return True
            if program.startswith("python") and any("sleep" in word for word in rest):
                return True
    return False


def loops(script: Script) -> Iterator[Finding]:
    """Loops that take a whole core."""
    for loop, commands in loops_without_end(script):
        if not pauses(script, commands):
            yield Finding("busy-loop", loop.line)


def restarts(script: Script) -> Iterator[Finding]:
    """Whatever starts itself or others for good."""
    for command in script.commands:
        programs = list(runs(command))
        for program, *rest in programs:
            verbs = _SERVICE_STARTS.get(program, set())
            if verbs & set(rest) or (
                program == "brew" and rest[:1] == ["services"] and {"start", "restart"} & set(rest)
            ):
                yield _on(command, "restarts-others", " ".join([program, *rest][:3]))
            elif program == "crontab" and rest and rest[0] not in ("-l", "-r", "-u"):
                yield _on(command, "restarts-others", "crontab")
        detached = command.background or any(program in ("nohup", "setsid", "exec") for program, *_ in programs)
        own = any(_OWN.match(word) for word in command.words[:4])
        if own and detached:
            if not _becomes_once(script, command):
                yield _on(command, "restarts-itself")
        elif detached and not own and programs:
            yield from _detached(command, programs)


def _becomes_once(script: Script, command: Command) -> bool:
    """Whether it goes on as itself under a condition, as who wants another shell or more rights does."""
    if command.background or next(runs(command), ("",))[0] in ("nohup", "setsid"):
        return False
    line = script.shell.lines[command.line - 1]
    return not command.loops and bool(command.conditions or re.search(r"&&|\|\|", line))


def _detached(command: Command, programs: list[tuple[str, ...]]) -> Iterator[Finding]:
    names = [program for program, *_ in programs]
    started = next((one for one in reversed(programs) if one[0] not in ("nohup", "setsid", "exec")), ("",))
    heads = started[:2] if started[0] in ("bash", "sh", "zsh", "python3", "python") else started[:1]
    if (started[0] in ("bash", "sh", "zsh", "python3", "python") and len(started) == 1) or not heads[0]:
        return
    kept = names[0] in ("nohup", "setsid") or command.background
    if kept and any(_SCRIPT_WORD.search(word) for word in (*heads, *command.words[:3])):
        yield _on(command, "restarts-others", unquoted(heads[-1])[:40])
    elif names[0] in ("nohup", "setsid"):
        yield _on(command, "leaves-running", unquoted(" ".join(started))[:40])


def left(script: Script) -> Iterator[Finding]:
    """Processes that are let go of."""
    let_go = {loop for command in script.commands if command.detached for loop in command.loops if loop.endless}
    if not waits(script):
        yield from (Finding("leaves-running", loop.line, "a loop in the background") for loop in let_go)
    for command in script.commands:
        program, *rest = next(runs(command), ("",))
        if (
            program == "disown"
            or (program == "screen" and any(re.match(r"-\w*d\w*m", word) for word in rest))
            or (program == "tmux" and rest[:1] in (["new-session"], ["new"]) and "-d" in rest)
        ):  # fmt: skip
            yield _on(command, "leaves-running", program)


def questions(script: Script) -> Iterator[Finding]:
    """Reads from a keyboard, and menus."""
    for command in script.commands:
        program, *rest = next(runs(command), ("",))
        if program != "read" or command.piped or any(sign.startswith("<") for sign, _ in command.redirects):
            continue
        # Within a function or a loop, what calls it may well have put a file there; a prompt is meant for somebody.
        if any(re.match(r"-\w*p", word) for word in rest) or not (command.loops or command.function):
            yield _on(command, "asks-a-person")
    for loop in {loop for command in script.commands for loop in command.loops if loop.word == "select"}:
        yield Finding("asks-a-person", loop.line)


def rights(script: Script) -> Iterator[Finding]:
    """Root, files for everybody, and connections that are not checked."""
    for command in script.commands:
        for program, *rest in runs(command):
            words = [unquoted(word) for word in rest]
            if program == "sudo" and "-n" not in words:
                yield _on(command, "needs-root")
            elif program == "chmod" and any(
                re.fullmatch(r"0?[0-7]?[0-7]{2}[2367]|(?:[ugo]*[ao])\+r?w\w*", w) for w in words
            ):
                yield _on(command, "world-writable", " ".join(words)[:40])
            elif (
                (program == "curl" and any(re.fullmatch(r"--insecure|-[a-zA-Z]*k[a-zA-Z]*", word) for word in words))
                or (program == "wget" and "--no-check-certificate" in words)
                or (program == "git" and "http.sslVerify=false" in words)
            ):  # fmt: skip
                yield _on(command, "tls-off", program)
    piped = re.compile(r"\b(?:curl|wget)\b[^|;&\n]*\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b(?!\w)")
    handed = re.compile(r"\b(?:ba|z|da)?sh\s+(?:-c\s+)?\"?[<$]\(\s*(?:curl|wget)\b")
    for pattern in (piped, handed):
        for match in pattern.finditer(script.shell.bare):
            yield Finding("runs-download", script.shell.line_of(match.start()))


_COUNTED = re.compile(r"\$#\"?\s*(?:-lt|-le|-ne|-eq|<|!=|==|=)|-z\s+\"?\$\{?1\b|\(\(\s*\$#\s*[<=!]")


def arguments(script: Script) -> Iterator[Finding]:
    """Arguments by place without which it ends at once."""
    for command in script.commands:
        if command.function or not command.words:
            continue
        line = script.shell.lines[command.line - 1]
        # Under two conditions it is one of several commands that wants them.
        under = command.conditions[0] if len(command.conditions) == 1 else ""
        under = line if not command.conditions and re.search(r"&&|\|\|", line) else under
        demands = any(re.search(r"\$\{[1-9]:?\?", word) for word in command.words)
        ends = command.words[0] in ("exit", "usage", "show_usage", "print_usage")
        if demands or (ends and not command.loops and _COUNTED.search(under)):
            yield _on(command, "needs-arguments")


def environment_secrets(script: Script) -> Iterator[Finding]:
    """Secrets that are expected in the environment."""
    for name, line in wanted_names(script):
        if SECRET_NAME.search(name):
            yield Finding("secret-from-env", line, name)


_GIVEN = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "PWD", "OLDPWD", "IFS", "UID", "EUID"),
        *("PPID", "RANDOM", "SECONDS", "LINENO", "HOSTNAME", "OSTYPE", "HOSTTYPE", "MACHTYPE", "OPTARG", "OPTIND"),
        *("REPLY", "PIPESTATUS", "FUNCNAME", "SHLVL", "COLUMNS", "LINES", "TERM", "EPOCHSECONDS", "GROUPS", "DIRSTACK"),
        *("BASHPID", "MAPFILE", "COMP_WORDS", "COMP_CWORD", "COMPREPLY", "PS1", "PS4", "OPTERR", "COPROC"),
    }
)


def wanted_names(script: Script) -> Iterator[tuple[str, int]]:
    """Upper-case variables that it uses and never sets itself, each with the line of its first use."""
    known = set(script.values) | set(re.findall(r"\bfor\s+(\w+)\s+in\b", script.shell.bare))
    for command in script.commands:
        if command.words and next(runs(command), ("",))[0] in ("read", "mapfile", "readarray", "getopts", "printf"):
            known |= {unquoted(word) for word in command.words}
    seen: set[str] = set()
    unread = _without_single_quotes(script)
    for match in re.finditer(r"\$\{?#?([A-Z][A-Z0-9_]+)\b", unread):
        name = match[1]
        self_set = re.search(rf"\b{name}=[\"']?\$\{{{name}\b", script.shell.code)
        if name.startswith(("BASH", "LC_", "QUANTUM_")) or name in _GIVEN or name in seen:
            continue
        if name in known and not self_set:
            continue
        seen.add(name)
        yield name, script.shell.line_of(match.start())


def _without_single_quotes(script: Script) -> str:
    """The code, without what stands in single quotes, which no variable is put into."""
    code, bare = script.shell.code, script.shell.bare
    quoted = [match.span() for match in re.finditer(r"'\0*'", bare)]
    for start, stop in quoted:
        code = code[:start] + " " * (stop - start) + code[stop:]
    return code


def portability(script: Script) -> Iterator[Finding]:
    """What one system has and another has not, unless the script looks first."""
    looked = set(re.findall(r"(?:command\s+-v|which|type(?:\s+-\w+)?|hash)\s+\"?([\w.-]+)", script.shell.code))
    both = script.shell.code
    defined = set(defined_functions(script))
    for command in script.commands:
        for program, *rest in runs(command):
            found = _of_macos(program, rest) or _of_gnu(program, rest)
            if (
                found is None
                or program in looked
                or program in defined
                or _on_one_system(command)
                or _other_form(found, program, both)
            ):
                continue
            yield _on(command, found, " ".join([program, *rest][:2])[:40])


def _on_one_system(command: Command) -> bool:
    return bool(re.search(r"[Dd]arwin|OSTYPE|uname|[Ll]inux|command -v|which ", " ".join(command.conditions)))


def _of_macos(program: str, rest: list[str]) -> str | None:
    words = [unquoted(word) for word in rest]
    if (
        program in _MACOS
        or (program == "sed" and "-i" in rest and rest[rest.index("-i") + 1 : rest.index("-i") + 2] in (["''"], ['""']))
        or (program == "stat" and any(word.startswith("-f") for word in words[:1]))
        or (program == "date" and any(re.match(r"-v", word) for word in words[:2]))
        or (program == "sysctl" and any(word.startswith(("hw.", "machdep.", "vm.swap")) for word in words))
        or (program == "security" and any(word.startswith(("find-", "add-")) for word in words))
        or (program == "open" and words[:1] == ["-a"])
        or (program == "md5" and bool(words))
    ):  # fmt: skip
        return "macos-only"
    return None


def _of_gnu(program: str, rest: list[str]) -> str | None:
    words = [unquoted(word) for word in rest]
    if (
        (program == "sed" and "-i" in words and not {"''", '""'} & set(rest))
        or (program == "date" and any(word == "-d" or word.startswith("--date") for word in words))
        or (program == "stat" and any(word.startswith(("-c", "--format")) for word in words))
        or (program in ("grep", "egrep") and any(re.fullmatch(r"-\w*P\w*", word) for word in words))
        or (program == "find" and "-printf" in words)
        or program in ("free", "nproc")
    ):  # fmt: skip
        return "gnu-only"
    return None


def _other_form(found: str, program: str, code: str) -> bool:
    """Whether the other system's form of the same program is there too, as in `stat -f … || stat -c …`."""
    forms = {
        ("macos-only", "stat"): r"\bstat\s+(?:-c|--format)",
        ("gnu-only", "stat"): r"\bstat\s+-f",
        ("macos-only", "date"): r"\bdate\s+(?:-u\s+)?(?:-d|--date)",
        ("gnu-only", "date"): r"\bdate\s+(?:-u\s+)?(?:-v|-j)",
        ("macos-only", "sed"): r"\bsed\s+-i\s+(?!''|\"\")",
        ("gnu-only", "sed"): r"\bsed\s+-i\s+(?:''|\"\")",
        ("macos-only", "md5"): r"\bmd5sum\b",
        ("macos-only", "sysctl"): r"/proc/|\bnproc\b",
        ("gnu-only", "nproc"): r"\bsysctl\b",
        ("gnu-only", "free"): r"\bvm_stat\b",
        ("macos-only", "vm_stat"): r"\bfree\b|/proc/meminfo",
    }
    other = forms.get((found, program))
    return other is not None and re.search(other, code) is not None


def plain_shell(script: Script) -> Iterator[Finding]:
    """What a script uses that says it is run by `sh`, and `sh` need not have."""
    for command in script.commands:
        program = next(runs(command), ("",))[0]
        list_set = any(re.match(r"\w+\+?=\(", word) for word in command.words)
        if program in _BASH_WORDS or list_set or any(sign == "<<<" for sign, _ in command.redirects):
            yield _on(command, "bash-in-sh", program if program in _BASH_WORDS else "")


def own_lines(script: Script) -> Iterator[Finding]:
    """Reads of its own text by line number."""
    for command in script.commands:
        for program, *rest in runs(command):
            others = [word for word in rest if not _OWN.match(word)]
            reads = program in ("sed", "head", "tail", "awk") and len(others) < len(rest)
            if reads and any(re.search(r"\d", word) for word in others):
                yield _on(command, "reads-own-lines")


RULES: tuple[Callable[[Script], Iterator[Finding]], ...] = (
    loops,
    restarts,
    left,
    questions,
    rights,
    arguments,
    environment_secrets,
    portability,
    own_lines,
)
