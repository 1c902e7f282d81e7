"""What is wrong with a Python script, and what it looks like, by its syntax tree; nothing is imported or run."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from cli.adopting import patterns
from cli.adopting.defects import Finding
from cli.adopting.shell_habits import RULES as HABITS
from cli.adopting.shell_rules import RULES, Script

_SAYS = frozenset(
    {"print", "info", "debug", "warning", "error", "exception", "critical", "log", "help", "add_argument"}
)
_SHELLS = frozenset({"system", "popen", "run", "call", "check_call", "check_output", "Popen", "getoutput"})
_SERVE = frozenset({"serve_forever", "run_forever"})
_SERVERS = frozenset({"HTTPServer", "ThreadingHTTPServer", "TCPServer", "ThreadingTCPServer", "UDPServer"})
_PAUSES = re.compile(r"sleep|wait|join|input|recv|accept|poll|select|get\b|read|run_pending|next|serve|listen")


@dataclass(frozen=True)
class PythonScript:
    """A script as its tree. Raises SyntaxError for what does not parse."""

    text: str
    tree: ast.Module

    @classmethod
    def of(cls, text: str) -> PythonScript:
        """Read one."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "script", "exec", dont_inherit=True)
            return cls(text, ast.parse(text))

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node."""
        return list(ast.walk(self.tree))

    @cached_property
    def calls(self) -> list[tuple[str, ast.Call]]:
        """Every call, with the dotted name of what is called as far as it is written out."""
        return [(_dotted(node.func), node) for node in self.nodes if isinstance(node, ast.Call)]

    @cached_property
    def said(self) -> set[int]:
        """Nodes that are only said or explain: docstrings, and what is printed or logged."""
        found = set()
        for node in self.nodes:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                found.add(id(node.value))
        for name, call in self.calls:
            if name.rpartition(".")[2] in _SAYS:
                found |= {id(below) for argument in call.args for below in ast.walk(argument)}
                found |= {
                    id(below)
                    for word in call.keywords
                    if word.arg in ("help", "description")
                    for below in ast.walk(word)
                }
        return found

    @cached_property
    def texts(self) -> list[tuple[int, str]]:
        """Every text that is used, with its line."""
        return [
            (node.lineno, node.value)
            for node in self.nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in self.said
        ]


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def findings(script: PythonScript) -> Iterator[Finding]:
    """Everything that is wrong with it, as far as can be told."""
    for line, text in script.texts:
        for match in patterns.home_folders(text):
            yield Finding("home-path", line, match[0])
        for match in patterns.local_ports(text):
            if not _overridable(script, line):
                yield Finding("port-fixed", line, match[1])
        for provider in sorted(patterns.providers_in(text)):
            yield Finding("paid-api", line, provider)
    for number, line_text in enumerate(script.text.split("\n"), 1):
        code = re.sub(r"(?:^|\s)#.*$", "", line_text)
        if any(True for _ in patterns.secrets_in(line_text, named=False)) or any(
            True for _ in patterns.secrets_in(code)
        ):
            yield Finding("plain-secret", number)
    yield from _imports(script)
    yield from _calls(script)
    yield from _state(script)
    yield from _loops(script)
    yield from _environment(script)


def _overridable(script: PythonScript, line: int) -> bool:
    said = script.text.split("\n")[line - 1]
    return "environ" in said or "getenv" in said


def _imports(script: PythonScript) -> Iterator[Finding]:
    for node in script.nodes:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            provider = patterns.PAID_MODULES.get(name.partition(".")[0])
            if provider:
                assert isinstance(node, ast.stmt)
                yield Finding("paid-api", node.lineno, provider)


def _calls(script: PythonScript) -> Iterator[Finding]:
    for name, call in script.calls:
        last, line = name.rpartition(".")[2], call.lineno
        words = {word.arg: word.value for word in call.keywords}
        if name == "input":
            yield Finding("asks-a-person", line)
        if last in ("run", "serve", "run_server", "make_server", "HTTPServer") and isinstance(
            words.get("port"), ast.Constant
        ):
            port = words["port"]
            assert isinstance(port, ast.Constant)
            yield Finding("port-fixed", line, str(port.value))
        address = call.args[0] if call.args and last in _SERVERS else None
        if isinstance(address, ast.Tuple) and len(address.elts) == 2:
            port = address.elts[1]
            if isinstance(port, ast.Constant) and port.value and not _overridable(script, line):
                yield Finding("port-fixed", line, str(port.value))
        verify = words.get("verify")
        if (isinstance(verify, ast.Constant) and verify.value is False) or name.endswith("_create_unverified_context"):
            yield Finding("tls-off", line, name)
        if last == "chmod" and any(isinstance(one, ast.Constant) and one.value in (0o777, 0o666) for one in call.args):
            yield Finding("world-writable", line)
        if name in ("os.execv", "os.execl", "os.execvp", "os.execve"):
            yield Finding("restarts-itself", line, name)
        if last in _SHELLS and call.args:
            yield from _command(call)


def _command(call: ast.Call) -> Iterator[Finding]:
    """What a shell or a program is told to do, read as a line of shell."""
    first = call.args[0]
    if isinstance(first, ast.List):
        words = [node.value for node in first.elts if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        if not words or not isinstance(first.elts[0], ast.Constant):
            return
        line = " ".join(
            "'" + word.replace("'", "") + "'" if re.search(r"[^\w./:=@%+-]", word) else word for word in words
        )
    elif isinstance(first, ast.Constant) and isinstance(first.value, str):
        line = first.value
    else:
        return
    script = Script.of(line)
    told = {finding.code: finding for rule in (*RULES, *HABITS) for finding in rule(script)}
    wanted = ("kill-by-name", "kill-by-port", "git-destroys", "restarts-others", "needs-root", "runs-download")
    for code in (*wanted, "leaves-running", "macos-only", "world-writable"):
        if code in told:
            yield Finding(code, call.lineno, told[code].detail)


def _state(script: PythonScript) -> Iterator[Finding]:
    """Writes to the exports, also through a name that was given to their path."""
    names = {
        target.id
        for node in script.nodes
        if isinstance(node, ast.Assign) and any(export in ast.unparse(node.value) for export in patterns.EXPORTS)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def meant(node: ast.AST) -> bool:
        said = ast.unparse(node)
        return any(export in said for export in patterns.EXPORTS) or bool(names & set(re.findall(r"\w+", said)))

    for name, call in script.calls:
        last = name.rpartition(".")[2]
        mode = next(
            (word.value for word in call.keywords if word.arg == "mode"), call.args[1] if len(call.args) > 1 else None
        )
        writes = isinstance(mode, ast.Constant) and isinstance(mode.value, str) and re.search(r"[wax+]", mode.value)
        if (
            (name == "open" and writes and call.args and meant(call.args[0]))
            or (last in ("write_text", "write_bytes") and meant(call.func))
            or (
                name in ("os.replace", "os.rename", "shutil.move", "shutil.copy")
                and len(call.args) > 1
                and meant(call.args[1])
            )
        ):
            yield Finding("state-edited", call.lineno)


def endless(script: PythonScript) -> list[ast.While]:
    """Loops that nothing of their own ends."""
    return [
        node for node in script.nodes if isinstance(node, ast.While) and _always(node.test) and not _broken(node.body)
    ]


def serving(script: PythonScript) -> int:
    """The line of the first call that serves until it is ended, not in a thread beside the rest; 0: there is none."""
    beside = {
        _dotted(word.value) for _, call in script.calls for word in call.keywords if word.arg in ("target", "func")
    }
    apart = {
        id(below)
        for node in script.nodes
        if isinstance(node, ast.Lambda) or (isinstance(node, ast.FunctionDef) and node.name in beside)
        for below in ast.walk(node)
    }
    found = [call.lineno for name, call in script.calls if name.rpartition(".")[2] in _SERVE and id(call) not in apart]
    return min(found, default=0)


def _always(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and bool(test.value)


def _broken(body: list[ast.stmt]) -> bool:
    for node in body:
        if isinstance(node, ast.Break | ast.Return) or _yields(node):
            return True
        if isinstance(node, ast.For | ast.While | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _returns(node):
                return True
            continue
        inner = [*getattr(node, "body", []), *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
        inner += [each for handler in getattr(node, "handlers", []) if not _interrupt(handler) for each in handler.body]
        inner += [each for case in getattr(node, "cases", []) for each in case.body]
        if _broken(inner):
            return True
    return False


def _yields(node: ast.stmt) -> bool:
    """Whether it hands something out and waits to be asked again: then whoever asks decides when it ends."""
    return any(isinstance(below, ast.Yield | ast.YieldFrom) for below in ast.walk(node))


def _interrupt(handler: ast.ExceptHandler) -> bool:
    """Ctrl-C is how a person ends a loop that does not end."""
    return handler.type is not None and "KeyboardInterrupt" in ast.unparse(handler.type)


def _returns(loop: ast.stmt) -> bool:
    return any(isinstance(node, ast.Return) for node in ast.walk(loop))


def _loops(script: PythonScript) -> Iterator[Finding]:
    for loop in endless(script):
        called = [_dotted(node.func) for node in ast.walk(loop) if isinstance(node, ast.Call)]
        defined = {node.name: node for node in script.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        for name in list(called):
            body = defined.get(name.rpartition(".")[2])
            called += [_dotted(node.func) for node in ast.walk(body) if isinstance(node, ast.Call)] if body else []
        if not any(_PAUSES.search(name) for name in called):
            yield Finding("busy-loop", loop.lineno)


def wanted_names(script: PythonScript) -> Iterator[tuple[str, int]]:
    """Names that it reads from its environment."""
    for name, call in script.calls:
        if name in ("os.environ.get", "os.getenv", "environ.get", "getenv") and call.args:
            first = call.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value, call.lineno
    for node in script.nodes:
        if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
            continue
        if _dotted(node.value) in ("os.environ", "environ") and isinstance(node.slice, ast.Constant):
            yield str(node.slice.value), node.lineno


def _environment(script: PythonScript) -> Iterator[Finding]:
    for name, line in wanted_names(script):
        if patterns.SECRET_NAME.search(name):
            yield Finding("secret-from-env", line, name)


def takes_options(script: PythonScript) -> bool:
    """Whether it reads options like `--key value`."""
    return any(
        name.endswith("add_argument") and any(
            isinstance(one, ast.Constant) and str(one.value).startswith("--") for one in call.args
        )
        for name, call in script.calls
    )  # fmt: skip
