"""`quantum merge BRANCH`: merged and tested apart from the repository, then the branch is moved; followed live."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from cli.merging.place import Place, place_of
from cli.merging.words import MERGE, branch_names, branches, repo_option
from cli.options import json_option, one_of
from cli.output.documents import document
from cli.output.live import LiveLine
from cli.output.printing import emit, printable
from cli.session import Connected, Session
from cli.tasks.following import EXIT_CANCELLED, Interrupts, terminal_line
from clients.merges_values import MergeAction, MergeCheckView, MergeEvent, MergeRequest, MergeVerdict
from foundation.clock import Clock
from foundation.errors import NotFound, did_you_mean
from merge_guard.git import Git

TICK = timedelta(milliseconds=100)
EXIT_CODES = {
    MergeVerdict.BAD: 1,
    MergeVerdict.FLAKY: 80,
    MergeVerdict.PRE_EXISTING: 81,
    MergeVerdict.INCONCLUSIVE: 82,
    MergeVerdict.NOTHING_TO_CHECK: 83,
    MergeVerdict.GOOD: 84,
}
"""Of a branch that was not merged; documented in docs/cli.md."""


@click.command(MERGE)
@click.argument("branch", metavar="", required=False, shell_complete=branch_names)
@click.option("--branch", "named", metavar="NAME", help="The branch, also one that is called like a word of `merge`.")
@repo_option
@json_option
@click.pass_obj
def command(session: Session, branch: str | None, named: str | None, repo: Path | None, as_json: bool) -> int:
    """Merge BRANCH, or a commit, into the branch that is checked out, once it has passed the smoke test.

    Exit code 0 when BRANCH is in, else by verdict. Ctrl-C leaves, and nothing is merged any more.
    """
    topic = one_of(branch, named, what="branch")
    place = place_of(session, repo)
    _require_commit(place, topic)
    wanted = MergeRequest(repository=place.id, folder=str(place.folder), event=MergeEvent.REQUEST, topic=topic)
    with session.connected() as connected, Interrupts() as interrupts:
        merges = connected.coordinator.merges
        check = connected.call(merges.start(wanted)).check
        try:
            check = follow(connected, check, session.clock, interrupts=interrupts, line=terminal_line())
        except KeyboardInterrupt:
            click.echo(f"Left at once: quantum merge show {check.id} says what becomes of it.", err=True)
            return EXIT_CANCELLED
        if check.ended:
            check = connected.call(merges.get(check.id))  # with the evidence
    code = exit_code(place, topic, check)
    if as_json:
        emit({"check": document(check), "exit_code": code})
    elif not check.ended:
        click.echo(f"Left. The check goes on and merges nothing: quantum merge show {check.id}", err=True)
    else:
        _say(check, code)
    return code


def follow(
    connected: Connected, check: MergeCheckView, clock: Clock, *, interrupts: Interrupts, line: LiveLine
) -> MergeCheckView:
    """Shows what is being done until the check has ended, and returns it as it then is.

    Where no line can be drawn over itself, each change of progress is a line on standard error. The first interrupt
    leaves the check, which is returned as it is; at the second, KeyboardInterrupt.
    """
    merges, began, said = connected.coordinator.merges, clock.boottime(), ""
    try:
        for seen in connected.stream(merges.watch(check.id), tick=TICK):
            check = seen or check
            if check.ended:
                return check
            if interrupts.count:
                return connected.call(merges.leave(check.id))
            doing = printable(check.progress) or "waiting for its turn"
            if line.shown:
                line.draw(f"{doing}, {int(clock.boottime() - began)} s")
            elif doing != said:
                click.echo(doing, err=True)
            said = doing
    finally:
        line.erase()
    return connected.call(merges.get(check.id))


def exit_code(place: Place, topic: str, check: MergeCheckView) -> int:
    """0 when the branch is in, by this merge or before it; else by verdict."""
    if not check.ended:
        return EXIT_CANCELLED
    if check.action is MergeAction.MERGED:
        return 0
    verdict = check.verdict or MergeVerdict.INCONCLUSIVE
    if verdict is MergeVerdict.NOTHING_TO_CHECK and Git(place.folder).is_ancestor(topic, "HEAD"):
        return 0
    return EXIT_CODES[verdict]


def _say(check: MergeCheckView, code: int) -> None:
    click.echo(printable(check.sentence))
    if check.undo:
        click.echo(f"  undo: {check.undo}")
    if code != 0:
        click.echo(f"  → quantum merge show {check.id}", err=True)
    if check.freedom_reason:
        click.echo(f"Merges are held now: {printable(check.freedom_reason)}", err=True)


def _require_commit(place: Place, topic: str) -> None:
    """Meets a slip before anything is asked for."""
    if Git(place.folder).commit_of(topic):
        return
    near = did_you_mean(topic, branches("", place.folder))
    meant = f" Did you mean “{near}”?" if near else ""
    raise NotFound("no_such_branch", f"There is no branch or commit “{printable(topic)}” in {place.folder}.{meant}")
