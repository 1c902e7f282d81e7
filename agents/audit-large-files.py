#!/usr/bin/env python3
# /// script
# [tool.quantum]
# description = "Finds the largest files of the whole git history, the deleted ones too"
# effects = "none"
# timeout = "15m"
# schedule = { cron = "30 5 1 * *", projects = "git" }
# ///
"""Weighs every blob that any branch or tag reaches, and says which commit brought each of the largest."""

from __future__ import annotations

import heapq
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from kit.attempt import give_up, given, publish, require_repository, run_git, say

MIB = 1024 * 1024
_REPORT_EVERY = 50_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    """`large_bytes`: from this size on a file counts as large. `top`: how many of the largest are listed."""

    large_bytes: int = 5 * MIB
    top: int = 20


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Blob:
    """One version of one file; `disk_bytes` is what it takes in the object store, packed."""

    size_bytes: int
    disk_bytes: int
    path: str
    object_id: str


def blobs() -> Iterator[Blob]:
    """Yield each blob of the history once, under the first path that git names for it."""
    listing = subprocess.Popen(["git", "rev-list", "--objects", "--all"], stdout=subprocess.PIPE)
    sizes = subprocess.Popen(
        [
            "git",
            "cat-file",
            "--buffer",
            "--batch-check=%(objecttype) %(objectname) %(objectsize) %(objectsize:disk) %(rest)",
        ],
        stdin=listing.stdout,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="backslashreplace",
    )
    assert listing.stdout is not None and sizes.stdout is not None
    listing.stdout.close()
    for row in sizes.stdout:
        kind, object_id, size, disk, path = row.rstrip("\n").split(" ", 4)
        if kind == "blob":
            yield Blob(size_bytes=int(size), disk_bytes=int(disk), path=path, object_id=object_id)
    if listing.wait() != 0 or sizes.wait() != 0:
        give_up("git could not read the whole history; `git fsck` says what is broken.")


def in_head() -> set[str]:
    """Return the object ids of the files in the checked-out commit; none in a repository without a commit."""
    tree = run_git("ls-tree", "-r", "--full-tree", "HEAD")
    return {row.split(maxsplit=3)[2] for row in tree.stdout.splitlines()} if tree.returncode == 0 else set()


def brought_by(blob: Blob) -> str:
    """Return the oldest commit that touched the blob, as `<short id> <date> <subject>`."""
    log = run_git("log", "--all", "--reverse", "--format=%h %as %s", f"--find-object={blob.object_id}")
    return log.stdout.partition("\n")[0]


def main() -> None:
    """Weigh, list, publish."""
    params = given(Params)
    require_repository()
    shallow = run_git("rev-parse", "--is-shallow-repository").stdout.strip() == "true"
    if shallow:
        say("This clone is shallow: what lies before its first commit was not weighed.")
    count = large = total_bytes = 0
    heaviest: list[Blob] = []
    for blob in blobs():
        count += 1
        total_bytes += blob.size_bytes
        large += blob.size_bytes >= params.large_bytes
        heapq.heappush(heaviest, blob)
        if len(heaviest) > params.top:
            heapq.heappop(heaviest)
        if count % _REPORT_EVERY == 0:
            say(f"{count} versions weighed")
    present = in_head()
    listed = []
    for blob in sorted(heaviest, reverse=True):
        here = blob.object_id in present
        say(f"{blob.size_bytes / MIB:9.2f} MiB  {blob.path}{'' if here else '  (history only)'}")
        listed.append(
            {
                "path": blob.path,
                "size_bytes": blob.size_bytes,
                "disk_bytes": blob.disk_bytes,
                "object_id": blob.object_id,
                "in_head": here,
                "commit": brought_by(blob),
                "large": blob.size_bytes >= params.large_bytes,
            }
        )
    publish(
        "audit-large-files",
        f"{large} of {count} file versions are {params.large_bytes / MIB:g} MiB or more; "
        f"{total_bytes / MIB:.1f} MiB in all{', shallow clone' if shallow else ''}",
        {
            "versions": count,
            "large": large,
            "total_bytes": total_bytes,
            "shallow": shallow,
            "largest": listed,
        },
    )


if __name__ == "__main__":
    main()
