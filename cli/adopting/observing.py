"""Reads one script: which language, what kind, what it needs, and what is wrong with it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from cli.adopting import patterns, python_rules, shell_habits, shell_rules, shell_shape
from cli.adopting.defects import Finding
from cli.adopting.reading import MARK, READ_BYTES_MAX, ScriptFile

_SHELLS = {"sh", "bash", "zsh", "dash", "ksh", "ash"}
_PLUMBING = frozenset(
    {"PYTHONPATH", "VIRTUAL_ENV", "CI", "DEBUG", "TEST_MODE", "NO_COLOR", "DISPLAY", "EDITOR", "LD_LIBRARY_PATH"}
)
_BORING = re.compile(
    r"^(?:[-=#*~_ ]*$|!|shellcheck|-\*-|vim:|author|\(c\)|created|version|date:|usage|auto-injected|pylint|flake8|noqa"
    r"|type:|/// |\$Id|source\b|prefer shared|set task queue|ensure project|add reliability|export variables)"
    r"|copyright|licen[cs]e|permission is|redistribut|free software|general public|foundation, inc|source code form",
    re.IGNORECASE,
)
ENV_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What could be seen in one script. `kind` is task, service or helper; empty where nothing could be told."""

    file: ScriptFile
    language: str = ""
    interpreter: tuple[str, ...] = ()
    shebang_line: int = 0
    declared: bool = False
    description: str = ""
    kind: str = ""
    why: str = ""
    every_seconds: int = 0
    effects: str = ""
    timeout_seconds: int = 0
    uses: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    darwin: bool = False
    params_as_arguments: bool = False
    functions: Sequence[tuple[str, str, int]] = ()
    sources: Sequence[shell_shape.Sourced] = ()
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    unknown: tuple[str, ...] = ()


_OF_STARTING = frozenset({"shebang-missing", "not-executable", "bash-in-sh"})


def observe(file: ScriptFile) -> Observation:
    """Read a script. What concerns several scripts, or the machine, is found elsewhere."""
    one = _observe(file)
    if one.kind != "helper":
        return one
    # A helper is not started, so that it need not say how.
    return replace(one, findings=tuple(each for each in one.findings if each.code not in _OF_STARTING))


def _observe(file: ScriptFile) -> Observation:
    if file.fault:
        return Observation(file=file, findings=(Finding(file.fault, 0, file.fault_detail),))
    if not file.is_text:
        return Observation(file=file, findings=(Finding("not-text", 0),))
    findings = list(_of_file(file))
    text = file.data.removeprefix(MARK).decode(errors="replace").replace("\r\n", "\n")
    line, words = _shebang(text)
    if line == 0:
        findings.append(Finding("shebang-missing", 1))
    elif line > 1 or text[0] != "#":
        findings.append(Finding("shebang-late", line))
    language = _language(file, words)
    if not _has_code(text):
        findings.append(Finding("empty", 0))
    about = {
        "file": file,
        "language": language,
        "interpreter": words,
        "shebang_line": line,
        "declared": re.search(r"^#[ \t]*\[tool\.quantum\]", text, flags=re.MULTILINE) is not None,
    }
    if file.is_backup:
        return Observation(**about, findings=(*findings, Finding("backup-copy", 0)))  # type: ignore[arg-type]
    if language == "shell":
        return _of_shell(text, about, findings)
    if language == "python":
        return _of_python(text, about, findings)
    findings += _of_other(text)
    said = f"Quantum cannot read {language or 'its language'}: whether it ends, and what it needs, is not known."
    return Observation(**about, description=_comment(text), findings=tuple(findings), unknown=(said,))  # type: ignore[arg-type]


def _of_file(file: ScriptFile) -> Iterator[Finding]:
    if file.size > READ_BYTES_MAX:
        yield Finding("too-large", 0)
    if file.data.startswith(MARK):
        yield Finding("byte-order-mark", 1)
    if b"\r\n" in file.data:
        yield Finding("windows-lines", file.data[: file.data.index(b"\r\n")].count(b"\n") + 1)
    if not file.executable and not file.is_backup:
        yield Finding("not-executable", 0)
    try:
        file.data.decode()
    except UnicodeDecodeError as error:
        if len(file.data) < READ_BYTES_MAX or error.start < len(file.data) - 4:
            yield Finding("not-utf8", file.data[: error.start].count(b"\n") + 1)


def _shebang(text: str) -> tuple[int, tuple[str, ...]]:
    """The line and the words of what names the program, as the catalogue looks for it; 0 for none."""
    for number, line in enumerate(text.split("\n", 5)[:5], 1):
        said = line.strip()
        if said:
            return (number, tuple(said[2:].split())) if said.startswith("#!") else (0, ())
    return 0, ()


def program_of(words: Sequence[str]) -> str:
    """The program's own name of a first line: `bash` of `/usr/bin/env -S bash -e`."""
    rest = list(words)
    if rest and rest[0].endswith("/env"):
        rest = [word for word in rest[1:] if not word.startswith("-") and "=" not in word]
    return rest[0].rpartition("/")[2] if rest else ""


def _language(file: ScriptFile, words: Sequence[str]) -> str:
    program = program_of(words)
    suffix = PurePath(re.sub(r"\.(?:bak|backup|old|orig).*$", "", file.name)).suffix
    if program in _SHELLS:
        return "shell"
    if program.startswith(("python", "pypy")) or (not program and suffix == ".py"):
        return "python"
    if program:
        return program
    return "shell" if suffix in (".sh", ".bash", ".zsh", "") else suffix.removeprefix(".")


def _has_code(text: str) -> bool:
    return any(line.strip() and not line.strip().startswith("#") for line in text.split("\n"))


def _comment(text: str, sign: str = "#") -> str:
    """The first comment that says something about the script, also behind what a tool has put before its first line."""
    lines = text.split("\n")[:80]
    again = [at for at, line in enumerate(lines) if at and line.startswith("#!/")]
    for line in lines[again[-1] :] if again else lines:
        said = line.strip()
        if said.startswith("//"):
            said = "#" + said[2:]
        if not said.startswith(sign):
            if said and not said.startswith(("DIR=", "SCRIPT_DIR=", "set ", "import ", "from ")):
                break
            continue
        said = said.lstrip("#").strip()
        if len(said) >= 8 and not _BORING.search(said) and " " in said and re.search(r"[A-Za-z]{3}", said):
            return " ".join(said.split())[:160]
    named = re.search(r"^# ?([A-Z][\w ]*[Aa]gent[\w ]*: \S.{7,})$", "\n".join(lines), flags=re.MULTILINE)
    return " ".join(named[1].split())[:160] if named else ""


def _of_shell(text: str, about: dict[str, object], findings: list[Finding]) -> Observation:
    script = shell_rules.Script.of(text)
    for rule in (*shell_rules.RULES, *shell_habits.RULES):
        findings += rule(script)
    if shell_shape.does_nothing(script) and _has_code(text):
        findings.append(Finding("empty", 0))
    file, words = about["file"], about["interpreter"]
    assert isinstance(file, ScriptFile) and isinstance(words, tuple)
    program = program_of(words) or ("sh" if PurePath(file.name).suffix in (".sh", "") else "bash")
    if program in ("sh", "dash", "ash"):
        findings += shell_habits.plain_shell(script)
    loop = shell_shape.pause_seconds(script)
    kind, why = "task", "it runs to its end"
    if loop:
        kind, why = "service", f"the loop in line {loop[0]} never ends"
    elif shell_shape.is_helper(script):
        kind, why = "helper", "it only defines what other scripts read"
    names = [name for name, _ in shell_habits.wanted_names(script) if not patterns.SECRET_NAME.search(name)]
    uses = {finding.detail for finding in findings if finding.code == "paid-api"}
    uses |= {"ollama"} if re.search(r"\bollama\s+(?:run|generate|pull)\b|:11434\b", script.shell.code) else set()
    return Observation(
        **about,  # type: ignore[arg-type]
        description=_comment(text),
        kind=kind,
        why=why,
        every_seconds=loop[1] if loop else 0,
        effects=shell_shape.effects(script)
        if kind == "task" and not any(True for _ in shell_shape.sources(script))
        else "",
        timeout_seconds=shell_shape.own_timeout(script) if kind == "task" else 0,
        uses=tuple(f"cloud:{name}" for name in sorted(uses)),
        env=_names(names),
        darwin=any(finding.code == "macos-only" for finding in findings),
        params_as_arguments=shell_shape.takes_options(script),
        functions=tuple(shell_shape.functions(script)),
        sources=tuple(shell_shape.sources(script)),
        values=script.values,
        findings=tuple(findings),
    )


def _names(names: Sequence[str]) -> tuple[str, ...]:
    kept = [name for name in dict.fromkeys(names) if not name.startswith("QUANTUM_") and name not in _PLUMBING]
    return tuple(sorted(kept)[:ENV_MAX])


def _of_python(text: str, about: dict[str, object], findings: list[Finding]) -> Observation:
    try:
        script = python_rules.PythonScript.of(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 0
        findings.append(Finding("syntax-error", line, getattr(error, "msg", "") or str(error)))
        said = "It does not parse, so that whether it ends is not known."
        return Observation(**about, description=_comment(text), findings=tuple(findings), unknown=(said,))  # type: ignore[arg-type]
    findings += python_rules.findings(script)
    loops = python_rules.endless(script)
    helper = not loops and _is_module(script)
    serves = 0 if loops or helper else python_rules.serving(script)
    kind = "service" if loops or serves else "helper" if helper else "task"
    why = {
        "service": f"what line {serves} calls never ends"
        if serves
        else f"the loop in line {loops[0].lineno if loops else 0} never ends",
        "helper": "it only defines what others import",
        "task": "it runs to its end",
    }[kind]
    doc = (ast.get_docstring(script.tree) or "").strip().split("\n")[0].strip()
    uses = {finding.detail for finding in findings if finding.code == "paid-api"}
    uses |= {"ollama"} if re.search(r"^[ \t]*(?:import|from) ollama\b|:11434\b", text, flags=re.MULTILINE) else set()
    names = [name for name, _ in python_rules.wanted_names(script) if not patterns.SECRET_NAME.search(name)]
    return Observation(
        **about,  # type: ignore[arg-type]
        description=(doc or _comment(text))[:160],
        kind=kind,
        why=why,
        uses=tuple(f"cloud:{name}" for name in sorted(uses)),
        env=_names([name for name in names if re.fullmatch(r"[A-Za-z_]\w*", name) and name not in shell_habits._GIVEN]),
        darwin=any(finding.code == "macos-only" for finding in findings),
        params_as_arguments=python_rules.takes_options(script),
        functions=tuple(
            (node.name, ast.unparse(node), node.lineno)
            for node in script.tree.body
            if isinstance(node, ast.FunctionDef) and len(node.body) >= 3
        ),
        findings=tuple(findings),
    )


def _is_module(script: python_rules.PythonScript) -> bool:
    """Whether nothing happens when it is run: only definitions, imports and constants."""
    quiet = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    found = [node for node in script.tree.body if not isinstance(node, quiet)]
    return bool(script.tree.body) and all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in found
    )


def _of_other(text: str) -> Iterator[Finding]:
    """What can be seen in any language, outside lines that are comments."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip().startswith(("//", "#", "*", "/*")):
            continue
        for match in patterns.home_folders(line):
            yield Finding("home-path", number, match[0])
        if any(True for _ in patterns.secrets_in(line)):
            yield Finding("plain-secret", number)
        for provider in sorted(patterns.providers_in(line)):
            yield Finding("paid-api", number, provider)
