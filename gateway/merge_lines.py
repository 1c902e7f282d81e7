"""Merge checks as lines of text, for git hooks, which show them to people and can read no JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clients.merges_values import MergeAction, MergeCheckView, StartedCheck

SIGN_OF_LIFE = ""
"""The line that only says that somebody is there."""
VERDICT = "="
"""Begins the last line, and no other."""


def answer(started: StartedCheck) -> str:
    """Two lines: the check's id, and a sentence."""
    check = started.check
    if check.ended:
        said = _before(check)
    elif started.known:
        said = "This is being checked already."
    else:
        only = f" Nothing will be changed: {check.only_report_reason}" if check.only_report_reason else ""
        said = f"What came is being checked.{only}"
    return f"{check.id}\n{one_line(said)}\n"


def _before(check: MergeCheckView) -> str:
    """Why nothing is done again; what was found is what whoever follows it hears next."""
    if check.undone_at is not None:
        return "You have brought this commit back, so that it is not checked again. Of it was said:"
    if check.action is MergeAction.ROLLED_BACK:
        return "This commit was taken back within a day and has come again: by itself it stays now. Of it was said:"
    return "This commit was checked within a day, and is not checked again. Of it was said:"


def followed(checks: Iterable[MergeCheckView | None], *, ticks_per_sign: int) -> Iterator[str]:
    """One line for each change of progress, the verdict as the last one.

    A sign of life at once, so that the client sees its answer begin, and after so many ticks (None) without a line.
    """
    shown, quiet = "", 0
    yield f"{SIGN_OF_LIFE}\n"
    for check in checks:
        quiet += 1
        if check is None:
            if quiet >= ticks_per_sign:
                quiet = 0
                yield f"{SIGN_OF_LIFE}\n"
            continue
        if check.ended:
            yield f"{verdict(check)}\n"
            return
        if check.progress and check.progress != shown:
            shown, quiet = check.progress, 0
            yield f"{progress(check.progress)}\n"


def verdict(check: MergeCheckView) -> str:
    """`= <verdict> <action>: <sentence>` of a check that has ended."""
    found = check.verdict.value if check.verdict else "inconclusive"
    done = check.action.value if check.action else "none"
    return f"{VERDICT} {found} {done}: {one_line(check.sentence)}"


def progress(text: str) -> str:
    """A line of progress; none is taken for the verdict."""
    line = one_line(text)
    return f"  {line}" if line.startswith(VERDICT) else line


def one_line(text: str) -> str:
    """A text in which nothing breaks the line or moves a terminal's cursor."""
    return "".join(character if character.isprintable() else " " for character in text).strip()
