"""What a sandbox may write is what was looked at, also while somebody makes the name of it lead elsewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from services.agent_runner.warden.protocol import Ended, Refused, Release
from tests.programs import require
from tests.runner import flipper
from tests.runner.sandboxes import SandboxUnderTest

STARTS = 200
CONTROL_STARTS_MAX = 800


def starts_while_flipped(folder: Path, environ: dict[str, str], starts: int, *, until_elsewhere: bool) -> Counter[str]:
    """Start scripts that write into `out` while that is, every other moment, a link to what nobody may write."""
    box = SandboxUnderTest(folder, environ)
    out, link, go, treasure = box.project / "out", box.project / "other", box.project / "go", folder / "treasure"
    out.mkdir()
    treasure.mkdir()
    link.symlink_to("../treasure")
    go.touch()
    seen: Counter[str] = Counter()
    program = [sys.executable, flipper.__file__, str(out), str(link), str(go)]
    flips = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    try:
        for number in range(starts):
            key = f"a{number}"
            script = box.warden.shell(f'echo x > "{treasure}/{key}"; echo x > "{out}/{key}"')
            order = box.warden.order(script, key, folder=str(box.project), sandbox=(["out"], [], [], False))
            box.warden.send(order)
            news = box.warden.refused_or_ended(key)
            seen[_became(news)] += 1
            if isinstance(news, Ended) and news.slot >= 0:
                box.warden.send(Release(news.slot))
            if until_elsewhere and any(treasure.iterdir()):
                break
    finally:
        go.unlink()
        said, _ = flips.communicate(timeout=30)
        box.close()
    seen["flips"] = int(said)
    real = link if out.is_symlink() else out
    seen["written where it may"] = len(list(real.iterdir()))
    seen["written elsewhere"] = len(list(treasure.iterdir()))
    return seen


def _became(news: Refused | Ended) -> str:
    if isinstance(news, Ended):
        return "ran" if news.cause == "exit" else "changed while it was mounted"
    return "changed before it was opened" if "than a moment ago" in news.sentence else "refused"


def test_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    require("bwrap", "bubblewrap")
    seen = starts_while_flipped(tmp_path, {}, STARTS, until_elsewhere=False)
    print(dict(seen))
    assert seen["ran"] > 0
    assert seen["changed before it was opened"] + seen["changed while it was mounted"] > 0
    assert seen["written elsewhere"] == 0


def test_control_by_name_it_is(tmp_path: Path) -> None:
    require("bwrap", "bubblewrap")
    older = tmp_path / "bin" / "bwrap"
    older.parent.mkdir()
    older.write_text(f'#!/bin/sh\n[ "$1" = --help ] && exit\nexec {shutil.which("bwrap")} "$@"\n')
    older.chmod(0o755)
    environ = {"PATH": f"{older.parent}:/usr/bin:/bin"}
    seen = starts_while_flipped(tmp_path, environ, CONTROL_STARTS_MAX, until_elsewhere=True)
    print(f"by name: {dict(seen)}")
    assert seen["written elsewhere"] > 0
