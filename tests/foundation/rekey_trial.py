"""Changes a database's key in children that kill themselves, each one step later than the one before.

`python -m tests.foundation.rekey_trial FOLDER [in-place]` prints one JSON line per child: how it ended, which of the
two keys opens the file, and how many rows it holds. With `in-place`, the copy is written over the file instead of
taking its place: the control, which loses everything at some step.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from foundation.errors import QuantumError
from foundation.sqlite import rekey as room
from foundation.sqlite.connection import Location, connect
from foundation.sqlite.pages import key_fits

OLD, NEW = b"\x01" * 32, b"\x02" * 32
ROWS = 300
STEPS_MAX = 200


def main(folder: Path, *, in_place: bool) -> None:
    """Kill at the first step, at the second, and so on, until a child comes to its end."""
    if os.fork() == 0:
        _make(folder / "made.db")
    os.wait()
    for number in itertools.count(1):
        path = folder / f"{number}" / "t.db"
        path.parent.mkdir()
        for end in ("", "-wal", "-shm"):
            shutil.copy(folder / f"made.db{end}", f"{path}{end}")
        child = os.fork()
        if child == 0:
            _change_until(path, number, in_place=in_place)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"step": number, "killed": os.WIFSIGNALED(status), **_state(path)}), flush=True)
        if not os.WIFSIGNALED(status) or number == STEPS_MAX:
            return


def _make(path: Path) -> None:
    """A database whose newest rows are in its log alone, as after a crash."""
    connection = connect(Location(path=path, key=OLD))
    connection.execute("create table t (x text)")
    for number in range(ROWS):
        connection.execute("insert into t values (?)", (f"{number}" * 100,))
    os._exit(0)


def _change_until(path: Path, step: int, *, in_place: bool) -> None:
    """Change the key, and die of SIGKILL at the step of that number."""
    steps = itertools.count(1)

    def at_step(*_: object) -> bool:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    def watched(work: Callable[..., Any]) -> Callable[..., Any]:
        def step_by_step(*arguments: Any, **more: Any) -> Any:
            at_step()
            result = work(*arguments, **more)
            at_step()
            if isinstance(result, apsw.Connection):
                result.exec_trace = at_step
            return result

        return step_by_step

    def write_over(source: Path, target: Path) -> None:
        content = source.read_bytes()
        with target.open("wb") as file:
            file.write(content[:8_192])
            file.flush()
            at_step()
            file.write(content[8_192:])

    for name in ("connect", "sync", "sync_directory", "_remove", "_copy", "_have_alone"):
        setattr(room, name, watched(getattr(room, name)))
    os.replace = watched(write_over if in_place else os.replace)
    room.rekey(path, OLD, NEW)
    os._exit(0)


def _state(path: Path) -> dict[str, object]:
    """What somebody finds who has both keys."""
    fits = [name for name, key in (("old", OLD), ("new", NEW)) if key_fits(path, key)]
    if len(fits) != 1:
        return {"key": None, "rows": 0}
    try:
        connection = connect(Location(path=path, key={"old": OLD, "new": NEW}[fits[0]]))
        rows = connection.execute("select count(*) from t").get
        connection.close()
    except (QuantumError, apsw.Error):
        rows = 0
    return {"key": fits[0], "rows": rows}


if __name__ == "__main__":
    main(Path(sys.argv[1]), in_place=sys.argv[2:] == ["in-place"])
