"""Restores the newest backup and says each step of the swap, before it is done and after it: `step NUMBER NAME`.

`python restoring.py WORKSPACE`. The steps begin once everything is staged and nothing was touched.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from typing import Any

from cli.__main__ import main
from cli.workspace import settling

STEPS = ("rename", "replace", "unlink", "mkdir", "link", "fsync")


def watch(begin: Callable[..., Any]) -> Callable[..., Any]:
    """From the commit of the restore on, every act on the disk is said."""

    def watched(*given: Any, **named: Any) -> Any:
        numbers = itertools.count(1)

        def say(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
            def aloud(*arguments: Any, **more: Any) -> Any:
                print("step", next(numbers), name, flush=True)
                result = act(*arguments, **more)
                print("step", next(numbers), name, flush=True)
                return result

            return aloud

        for name in STEPS:
            setattr(os, name, say(name, getattr(os, name)))
        return begin(*given, **named)

    return watched


if __name__ == "__main__":
    from cli.backups import restoring

    vars(restoring)["commit"] = watch(settling.commit)
    sys.argv[1:] = ["--workspace", sys.argv[1], "restore", "latest"]
    main()
