"""Tells whether what a merge brought has been pushed from here: what others may have is never taken back."""

from __future__ import annotations

from merge_guard.git import Git
from merge_guard.values import Arrival

_PUSHED = "update by push"


def pushed_to(git: Git, arrival: Arrival) -> str:
    """The short name of a remote-tracking branch to which `new` was pushed from this repository; empty: to none.

    A push is what the reflog of such a branch tells as `update by push`, to a commit that holds `new`. That the
    branch holds `new` proves nothing: it does after every pull. Where the user keeps no reflogs, though, it is taken
    as a proof unless it came by a pull.
    """
    logs = git.run("config", "core.logAllRefUpdates").out.decode().strip().lower()
    unlogged = logs in ("false", "no", "off", "0") and not arrival.pulled
    for ref in _candidates(git, arrival):
        done = git.run("log", "--walk-reflogs", "--format=%H%x00%gs", ref, "--")
        entries = [line.partition("\0")[::2] for line in done.out.decode(errors="replace").splitlines()]
        tips = {at for at, said in entries if said.startswith(_PUSHED)}
        unknown = unlogged and not entries and git.is_ancestor(arrival.new, ref)
        if unknown or any(git.is_ancestor(arrival.new, tip) for tip in tips):
            return ref.removeprefix("refs/remotes/")
    return ""


def _candidates(git: Git, arrival: Arrival) -> list[str]:
    """The remote-tracking branches that hold `new`, and those of the branch's own name, which may have been moved."""
    holding = git.text("for-each-ref", "--format=%(refname)", f"--contains={arrival.new}", "refs/remotes").split("\n")
    names = git.text("for-each-ref", "--format=%(refname)", "refs/remotes").split("\n")
    found = set(filter(None, holding))
    if arrival.branch:
        own = git.text(
            "for-each-ref", "--format=%(upstream)%0a%(push)", f"refs/heads/{arrival.branch}", timeout_seconds=30
        )
        found |= {name for name in own.split("\n") if name.startswith("refs/remotes/")}
        found |= {name for name in names if name.endswith(f"/{arrival.branch}")}
    return sorted(found & set(names))
