"""Which program runs a script that does not run by itself."""

import shlex
from pathlib import PurePath

SCRIPT_SUFFIXES = frozenset({".sh", ".bash", ".zsh", ".py", ".swift", ".js", ".rb", ".pl"})
_BY_SUFFIX = {
    ".sh": ("/bin/sh",),
    ".bash": ("/usr/bin/env", "bash"),
    ".zsh": ("/usr/bin/env", "zsh"),
    ".py": ("/usr/bin/env", "python3"),
    ".swift": ("/usr/bin/env", "swift"),
    ".js": ("/usr/bin/env", "node"),
    ".rb": ("/usr/bin/env", "ruby"),
    ".pl": ("/usr/bin/env", "perl"),
}


def is_script(name: str, head: str, *, executable: bool) -> bool:
    """Whether a file of this name, beginning with `head`, is something to run."""
    suffix = PurePath(name).suffix
    return suffix in SCRIPT_SUFFIXES or (suffix == "" and executable and head.startswith("#!"))


def interpreter_of(name: str, head: str, *, executable: bool) -> tuple[str, ...]:
    """The program and its options; () when the system runs the script itself.

    A script that is not executable is run by what its first line names, else by what its suffix stands for.
    """
    first = head.partition("\n")[0].rstrip("\r")
    if first.startswith("#!"):
        return () if executable else tuple(_words(first[2:]))
    return _BY_SUFFIX.get(PurePath(name).suffix, ("/bin/sh",))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()
