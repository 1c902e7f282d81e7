"""What a sandbox may write is what was looked at, also while somebody makes the name of it lead elsewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from services.agent_runner.warden.protocol import Ended, Refused, Release
from tests.programs import require
from tests.runner import flipper
from tests.runner.sandboxes import SandboxUnderTest
from tests.waiting import PATIENCE_SECONDS

STARTS = 200
STARTS_MAX = 800


def starts_while_flipped(folder: Path) -> Counter[str]:
    """Start scripts that write into `out` while that is, every other moment, a link to what nobody may write."""
    box = SandboxUnderTest(folder)
    out, link, go, treasure = box.project / "out", box.project / "other", box.project / "go", folder / "treasure"
    out.mkdir()
    treasure.mkdir()
    link.symlink_to("../treasure")
    go.touch()
    seen: Counter[str] = Counter()
    program = [sys.executable, flipper.__file__, str(out), str(link), str(go)]
    flips = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    try:
        for number in range(STARTS_MAX):
            if number >= STARTS and seen["ran"] and changed(seen):
                break
            key = f"a{number}"
            script = box.warden.shell(f'echo x > "{treasure}/{key}"; echo x > "{out}/{key}"')
            order = box.warden.order(script, key, folder=str(box.project), sandbox=(["out"], [], [], False))
            box.warden.send(order)
            news = box.warden.refused_or_ended(key)
            seen[_became(news)] += 1
            if isinstance(news, Ended) and news.slot >= 0:
                box.warden.send(Release(news.slot))
    finally:
        go.unlink()
        said, _ = flips.communicate(timeout=PATIENCE_SECONDS)
        box.close()
    seen["flips"] = int(said)
    real = link if out.is_symlink() else out
    seen["written where it may"] = len(list(real.iterdir()))
    seen["written elsewhere"] = len(list(treasure.iterdir()))
    return seen


def changed(seen: Counter[str]) -> int:
    """How often the exchange fell between a look and a mount."""
    return seen["changed before it was opened"] + seen["changed while it was mounted"]


def _became(news: Refused | Ended) -> str:
    if isinstance(news, Ended):
        return "ran" if news.cause == "exit" else "changed while it was mounted"
    return "changed before it was opened" if "than a moment ago" in news.sentence else "refused"


def test_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    require("bwrap", "bubblewrap")
    seen = starts_while_flipped(tmp_path)
    print(dict(seen))
    assert seen["ran"] > 0 and changed(seen) > 0, "the rare event did not happen"
    assert seen["written elsewhere"] == 0


def written_elsewhere_after_an_exchange(folder: Path, *, older: bool) -> bool:
    """Start one script; between the warden's look and the mount, the folder and a link to another one change places.

    That one may be read. An older bubblewrap mounts by name alone.
    """
    real, wrapper, armed = shutil.which("bwrap"), folder / "bin" / "bwrap", folder / "armed"
    project, treasure = folder / "project", folder / "project" / "treasure"
    wrapper.parent.mkdir()
    wrapper.write_text(
        f"""#!/bin/sh
[ "$1" = --help ] && {"exit" if older else f"exec {real} --help"}
if [ -e {armed} ]; then
    cd {project} && mv out between && mv other out && mv between other && rm {armed} || exit 99
fi
exec {real} "$@"
"""
    )
    wrapper.chmod(0o755)
    box = SandboxUnderTest(folder, {"PATH": f"{wrapper.parent}:/usr/bin:/bin"})
    try:
        (project / "out").mkdir()
        treasure.mkdir()
        (project / "other").symlink_to("treasure")
        armed.touch()
        script = box.warden.shell(f'echo x > "{project}/out/a"')
        box.warden.send(box.warden.order(script, folder=str(project), sandbox=(["out"], [], [], False)))
        news = box.warden.refused_or_ended()
        print(_became(news), news.sentence)
        assert not armed.exists(), "they were not exchanged"
    finally:
        box.close()
    return any(treasure.iterdir())


@pytest.mark.parametrize("older", [False, pytest.param(True, id="control-by-name")])
def test_what_is_exchanged_between_the_look_and_the_mount(tmp_path: Path, older: bool) -> None:
    require("bwrap", "bubblewrap")
    assert written_elsewhere_after_an_exchange(tmp_path, older=older) == older
