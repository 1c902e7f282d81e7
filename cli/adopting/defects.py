"""What can be wrong with a script: every code, what it means here, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One place in one file."""

    code: str
    line: int
    """From 1; 0 where it concerns the file as a whole."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is wrong with one file, wherever it stands in it."""

    code: str
    lines: tuple[int, ...]
    sentence: str


CODES: dict[str, str] = {
    # The file
    "unreadable": "It cannot be read",
    "link-broken": "It is a link that leads nowhere",
    "link-outside": "It is a link that leads out of the folder; what it leads to is not looked at",
    "not-text": "It is no text, so that nothing can be told about it",
    "not-utf8": "It is not written in UTF-8",
    "too-large": "It is larger than 1 MiB; only its beginning was read, and it does not travel to runners elsewhere",
    "empty": "It holds no command",
    "byte-order-mark": "It begins with a byte order mark, which hides its first line from the system",
    "windows-lines": "Its lines end as on Windows, so that each command ends with an invisible character",
    "shebang-missing": "It does not say which program runs it; here the ending of its name decides",
    "shebang-late": "The line that names its program is not its very first text, so that the system does not see it",
    "not-executable": "It is not executable; here it runs all the same, by hand it does not",
    "interpreter-missing": "The program that runs it is not on this machine",
    "syntax-error": "It does not parse",
    "backup-copy": "It looks like a copy of another script, and is left alone",
    "identical-copy": "It is byte for byte the same as another script",
    # Its name
    "name-illegal": "Its name cannot be an agent's: lower-case letters, digits, - and _ only, at most 64",
    "name-clash": "Another script comes to the same agent's name",
    "alias-clash": "It would answer to a short name that is another script's own name",
    "hides-builtin": "It takes the place of an agent that comes with Quantum",
    # What it does
    "home-path": "A folder of one user on one machine is written into it",
    "source-missing": "It reads a helper that is not there",
    "source-relative": "It looks for a helper from where it is started, here the workspace or the project: name"
    ' it by the script itself, as in `. "$(dirname "$0")/…"`',
    "copied-function": "It carries its own copy of a function that other scripts have too",
    "kill-by-name": "It ends processes by their name, and may hit others: use `quantum stop` or `quantum cancel`",
    "kill-by-port": "It ends whatever holds a port",
    "pid-file": "It trusts a pid that was written down: that number may be another process by now",
    "git-destroys": "It throws away changes in a repository for good",
    "rm-unguarded": "It removes a folder whose name comes from a variable that may be empty",
    "state-edited": "It writes a file that is only an export here: what it writes is overwritten within seconds",
    "port-fixed": "A port is written into it, so that two cannot run on one machine",
    "plain-secret": "A secret stands in it in plain text: revoke it, then `quantum secret set NAME`",
    "secret-from-env": "It wants a secret from its environment, and here it is a file: `quantum secret set NAME`",
    "paid-api": "It calls a paid service without reserving what that costs",
    "busy-loop": "It loops for ever without a pause",
    "restarts-itself": "It starts itself again; here the runner does that",
    "restarts-others": "It starts or keeps alive what is Quantum's to keep alive",
    "leaves-running": "It leaves a process running; here that ends with it",
    "asks-a-person": "It waits for somebody at a keyboard",
    "needs-root": "It asks for the rights of root",
    "needs-arguments": "It wants arguments by place; here params come as a file, or as --key value",
    "runs-download": "It runs what it has just downloaded",
    "world-writable": "It lets every user of the machine write to a file",
    "tls-off": "It does not check whom it talks to",
    "macos-only": "It uses what only macOS has",
    "gnu-only": "It uses what macOS does not have in this form",
    "bash-in-sh": "It uses what `sh` does not have; name bash in its first line",
    "reads-own-lines": "It reads its own text by line number, so that a block in it would break it",
}


def gathered(findings: Iterable[Finding]) -> tuple[Defect, ...]:
    """Findings of one file as defects, one for each code, in the order of `CODES`."""
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    return tuple(_defect(code, by_code[code]) for code in CODES if code in by_code)


def _defect(code: str, findings: list[Finding]) -> Defect:
    lines = tuple(sorted({finding.line for finding in findings if finding.line}))
    details = list(dict.fromkeys(finding.detail for finding in findings if finding.detail))
    shown = f": {', '.join(details[:3])}{', …' if len(details) > 3 else ''}" if details else ""
    return Defect(code, lines, f"{CODES[code]}{shown}.")
