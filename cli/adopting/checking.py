"""Asks programs of this machine about scripts without running one: does it parse, is its interpreter there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cli.adopting.defects import Finding
from cli.adopting.observing import Observation, program_of

SECONDS = 20
_SHOWN_MAX = 80
_MESSAGE = re.compile(r"(?:line )?(\d+):\s*(.*)")
_PARSERS = {
    "bash": ("bash", "-O", "extglob", "-n"),
    "zsh": ("zsh", "-f", "-n"),
    "dash": ("dash", "-n"),
    "ksh": ("ksh", "-n"),
}


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a shell says of a script: `line` and `said` where it does not parse; `by` empty where none was asked."""

    by: str = ""
    line: int = 0
    said: str = ""

    @property
    def good(self) -> bool:
        """Whether it parses."""
        return not self.said


Ask = Callable[[Sequence[str], bytes], tuple[int, str]]
Which = Callable[[str], str | None]


def ask_program(argv: Sequence[str], text: bytes) -> tuple[int, str]:
    """Run a shell that only parses its standard input, with no environment in which it finds a file to read first."""
    try:
        done = subprocess.run(
            argv,
            input=text,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return -1, str(error)
    return done.returncode, done.stderr.decode(errors="replace")


def check(
    observed: Sequence[Observation], *, ask: Ask = ask_program, which: Which = shutil.which
) -> tuple[list[Finding], ...]:
    """For each observation, what this machine says about it."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return tuple(pool.map(lambda one: _one(one, ask, which), observed))


def _one(one: Observation, ask: Ask, which: Which) -> list[Finding]:
    found = []
    missing = _missing(one.interpreter, which)
    if missing and not one.file.is_backup:
        found.append(Finding("interpreter-missing", one.shebang_line, missing))
    if one.language == "shell" and not one.file.is_backup and one.file.size == len(one.file.data):
        parsed = parse(one, ask, which)
        if not parsed.good:
            found.append(Finding("syntax-error", parsed.line, parsed.said))
    return found


def _missing(words: Sequence[str], which: Which) -> str:
    if not words:
        return ""
    if not words[0].endswith("/env"):
        return "" if os.path.exists(words[0]) else words[0][:_SHOWN_MAX]
    program = program_of(words)
    return "" if not program or which(program) else program


def parse(one: Observation, ask: Ask, which: Which) -> Parsed:
    """Have a shell parse it: its own where that is here, for `sh` bash, which takes all that any `sh` takes."""
    program = program_of(one.interpreter) or "bash"
    parser = _PARSERS.get("bash" if program in ("sh", "ash") else program, ())
    if not parser or which(parser[0]) is None:
        return Parsed()
    # Line ends of Windows are a defect of their own; here they would hide every other.
    text = one.file.data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    code, said = ask(parser, text)
    if code <= 0:
        return Parsed(by=parser[0])
    for line in said.splitlines():
        match = _MESSAGE.search(line)
        if match:
            return Parsed(
                by=parser[0], line=int(match[1]), said=match[2].removeprefix("syntax error: ")[:80] or "syntax error"
            )
    return Parsed(by=parser[0], said="it does not parse")


def environment(environ: Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    """Those of these names that are set here."""
    return tuple(name for name in names if name in environ)
