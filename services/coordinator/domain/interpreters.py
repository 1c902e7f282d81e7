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
_BYTE_ORDER_MARK = "\ufeff"
_LINES_LOOKED_AT = 5


def is_script(name: str, head: str, *, executable: bool) -> bool:
    """Whether a file of this name, beginning with `head`, is something to run."""
    suffix = PurePath(name).suffix
    return suffix in SCRIPT_SUFFIXES or (suffix == "" and executable and bool(_named(head)))


def interpreter_of(name: str, head: str, *, executable: bool) -> tuple[str, ...]:
    """The program and its options; () when the system runs the script itself.

    The system does that for one that is executable and whose very first bytes name a program. A line that is indented,
    ends like a line of Windows, or stands behind a byte order mark or empty lines, it does not understand; what such a
    line names is run all the same, else what the suffix stands for.
    """
    first = head.partition("\n")[0]
    if executable and first.startswith("#!") and not first.endswith("\r") and first[2:].strip():
        return ()
    return tuple(_named(head)) or _BY_SUFFIX.get(PurePath(name).suffix, ("/bin/sh",))


def _named(head: str) -> list[str]:
    """What the first line that is not empty names as its program; nothing where it does not."""
    for line in head.removeprefix(_BYTE_ORDER_MARK).split("\n", _LINES_LOOKED_AT)[:_LINES_LOOKED_AT]:
        text = line.strip()
        if text:
            return _words(text[2:]) if text.startswith("#!") else []
    return []


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()
