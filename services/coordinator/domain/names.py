"""The names that agents, projects and tasks within one call may have."""

import re
from collections.abc import Iterable

from foundation.errors import Invalid, NotFound, did_you_mean

NAME_RULE = "lower-case letters, digits, - and _, at most 64, beginning with a letter or a digit"
REF_RULE = "letters, digits, _, . and -, at most 64"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_REF = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PREFIX = "agent_"


def is_name(text: str) -> bool:
    """Whether an agent or a project may be called so. Such a name is looked up and never joined to a path."""
    return _NAME.fullmatch(text) is not None


def is_ref(text: str) -> bool:
    """Whether a task may be called so within its call."""
    return _REF.fullmatch(text) is not None


def require_name(text: str, what: str) -> None:
    """Raise Invalid, code `bad_name`, unless `text` may name a `what` ("agent", "project")."""
    if not is_name(text):
        shown = f"“{text[:80]}”" if text else "An empty text"
        raise Invalid("bad_name", f"{shown} cannot be the name of any {what}: {NAME_RULE}.")


def unknown(name: str, what: str, known: Iterable[str], *, remedy: str) -> NotFound:
    """The error that says that there is no `what` of this name, with the nearest one that there is."""
    nearest = did_you_mean(name, known)
    meant = f" Did you mean “{nearest}”?" if nearest else ""
    return NotFound(f"unknown_{what}", f"There is no {what} “{name}”.{meant}", remedy=remedy)


def alias_of(name: str) -> str | None:
    """The short form that an agent answers to as well: `build` for `agent_build`; None when it has none."""
    short = name.removeprefix(_PREFIX)
    return short if short != name and is_name(short) else None
