"""The hook waits for the verdict: bounded, and left at any moment; and it does not wait where that was wished."""

from __future__ import annotations

import math
import os
import pty
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.hooks.gateway import ID, Gateway
from tests.hooks.scene import UNCHECKED, Scene
from tests.measured import measured
from tests.waiting import CLOCK, PATIENCE_SECONDS, Stopwatch, eventually

ROUNDS = 9
WAITS_SECONDS = 5.0
"""For how long a hook waits for a gateway that does not answer."""


def start(scene: Scene, *words: str) -> subprocess.Popen[str]:
    """Start git in a group of its own, as a shell does."""
    return subprocess.Popen(
        ["git", *words],
        cwd=scene.top,
        env=scene.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left_over(session: int) -> list[str]:
    """What still runs of a session."""
    found = []
    for one in psutil.process_iter():
        try:
            if os.getsid(one.pid) == session and one.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(one.cmdline()))
        except (OSError, psutil.Error):
            continue  # it has ended meanwhile
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
async def test_whoever_leaves_lets_the_check_report_only(guarded: Scene, served: Gateway, number: int) -> None:
    served.hangs = "follow"
    guarded.diverge()
    merging = start(guarded, "merge", "topic")
    await eventually(served.following.is_set, "the hook follows the check")
    os.killpg(merging.pid, number)
    _, said = merging.communicate(timeout=PATIENCE_SECONDS)
    (left,) = await eventually(lambda: served.of(f"/merges/{ID}/leave"), "the check hears of it")
    assert left.method == "POST"
    assert f"goes on in the background, and only reports. quantum merge show {ID}" in said
    await eventually(lambda: not left_over(merging.pid), "nothing of it runs")
    assert guarded.unchecked == []
    assert len(guarded.git("log", "-1", "--format=%P").out.split()) == 2


async def test_a_signal_to_the_hook_alone_is_enough(guarded: Scene, served: Gateway) -> None:
    served.hangs = "follow"
    guarded.diverge()
    merging = start(guarded, "merge", "topic")
    await eventually(served.following.is_set, "the hook follows the check")
    psutil.Process(merging.pid).children()[0].send_signal(signal.SIGTERM)
    merging.communicate(timeout=PATIENCE_SECONDS)
    assert merging.returncode == 0
    await eventually(served.left.is_set, "the check hears of it")
    await eventually(lambda: not left_over(merging.pid), "nothing of it runs")


async def test_leaving_before_there_is_an_answer_is_written_down(guarded: Scene, served: Gateway) -> None:
    served.hangs = "post"
    guarded.diverge()
    merging = start(guarded, "merge", "topic")
    await eventually(lambda: served.checks, "the hook has asked")
    os.killpg(merging.pid, signal.SIGINT)
    _, said = merging.communicate(timeout=PATIENCE_SECONDS)
    assert "you left before the gateway had answered" in said
    assert len(guarded.unchecked) == 1


async def test_edits_that_git_had_put_aside_are_named(guarded: Scene, served: Gateway) -> None:
    served.hangs = "follow"
    guarded.diverge()
    (guarded.top / "first").write_text("an edit")
    merging = start(guarded, "merge", "--autostash", "topic")
    await eventually(served.following.is_set, "the hook follows the check")
    os.killpg(merging.pid, signal.SIGINT)
    _, said = merging.communicate(timeout=PATIENCE_SECONDS)
    line = next(line for line in said.splitlines() if "git stash apply" in line)
    if (guarded.top / "first").read_text() != "an edit":
        guarded.git("stash", "apply", line.rpartition(" ")[2])
    assert (guarded.top / "first").read_text() == "an edit"


@pytest.mark.parametrize("within", measured(8.0))
def test_a_gateway_that_hangs_is_not_waited_for_long(guarded: Scene, served: Gateway, within: float) -> None:
    """It hangs for longer than git may take here."""
    served.hangs = "post"
    guarded.diverge()
    began, watch = CLOCK.boottime(), Stopwatch()
    said = guarded.git("merge", "topic")
    assert CLOCK.boottime() - began > 4
    assert watch.seconds < within
    assert UNCHECKED in said.err
    assert len(guarded.unchecked) == 1


@pytest.mark.parametrize("within", measured(13.0))
def test_a_check_that_hangs_is_waited_for_as_long_as_its_test_may_take_and_ten_seconds(
    guarded: Scene, served: Gateway, within: float
) -> None:
    served.hangs = "follow"
    guarded.diverge(wishes='[merge]\ntimeout = "1s"  # short\n')
    began, watch = CLOCK.boottime(), Stopwatch()
    said = guarded.git("merge", "topic")
    assert CLOCK.boottime() - began > 9
    assert watch.seconds < within
    assert f"quantum: not checked yet: quantum merge show {ID}" in said.err
    assert guarded.unchecked == []


def test_a_stream_that_breaks_off_is_followed_again(guarded: Scene, served: Gateway) -> None:
    served.breaks = 1
    guarded.diverge()
    said = guarded.git("merge", "topic")
    assert len(served.of(f"/merges/{ID}/follow")) == 2
    assert "the merge is good" in said.err


def test_on_a_terminal_one_line_is_drawn_anew(guarded: Scene, served: Gateway) -> None:
    guarded.diverge()
    near, far = pty.openpty()
    merging = subprocess.Popen(
        ["git", "merge", "-q", "topic"], cwd=guarded.top, env=guarded.environ, stdout=far, stderr=far, stdin=far
    )
    os.close(far)
    said = b""
    try:
        while data := os.read(near, 4096):
            said += data
    except OSError:  # what Linux says when the other end is closed
        assert merging.wait(timeout=PATIENCE_SECONDS) == 0
    os.close(near)
    assert b"\r\x1b[Kquantum: runs the smoke test\r\x1b[Kquantum: the merge is good" in said


WISHES = {
    "quoted": ('[merge]\ntimeout = "90s"\n', "90 false"),
    "blanks": ("  [ merge ]\n\ttimeout='1h30m'\nbackground=false\n", "5400 false"),
    "number": ("[merge]\ntimeout = 7 # seconds\n", "7 false"),
    "parts": ('[merge]\ntimeout = "1.5m"\n', "120 false"),
    "milliseconds": ('[merge]\ntimeout = "250ms"\n', "1 false"),
    "zeros": ('[merge]\ntimeout = "008s"\n', "8 false"),
    "dotted": ('merge.timeout = "2m"\nmerge.background = true\n', "120 true"),
    "other table": ('[other]\ntimeout = "2m"\nbackground = true\n', "300 false"),
    "after another": ('[other]\na = 1\n[merge]\nsmoke = ["make", "x=1"]\nbackground = true\n', "300 true"),
    "nonsense": ('[merge]\ntimeout = "soon"\nbackground = "$(touch owned)"\n', "300 false"),
    "too large": ('[merge]\ntimeout = "99999999999999999999s"\n', "300 false"),
    "none": ("", "300 false"),
}


@pytest.mark.parametrize("name", WISHES)
def test_wishes_are_read_from_the_tree_before(guarded: Scene, name: str) -> None:
    text, expected = WISHES[name]
    guarded.commit("quantum.toml", text=text or "\n")
    script = '. .git/hooks/quantum-merge-guard.sh; old=$1; read_wishes; echo "$timeout_seconds $background"'
    said = guarded.run("sh", "-c", script, "sh", guarded.head())
    assert (said.out.strip(), said.err) == (expected, "")
    assert not (guarded.top / "owned").exists()


@pytest.mark.parametrize(
    ("within", "rounds"), [(WAITS_SECONDS / 2, 3), pytest.param(0.1, ROUNDS, marks=pytest.mark.long)]
)
async def test_in_the_background_git_is_held_for_less_than_a_tenth_of_a_second(
    guarded: Scene, served: Gateway, within: float, rounds: int
) -> None:
    """Nobody answers, so that whatever waited for the gateway would be seen; the pipes are read to their ends.

    What else the machine does only adds to the time: the quickest round is nearest to the hook's own.
    """
    served.hangs = "post"
    guarded.diverge(wishes="[merge]\nbackground = true\n")
    before = guarded.head()

    def merge(*more: str) -> float:
        guarded.git("reset", "-q", "--hard", before)
        watch = Stopwatch()
        said = guarded.git(*more, "merge", "topic")
        took = watch.seconds
        assert more or "is checked in the background: quantum merge list" in said.err
        return took

    with_it, without = [], []
    for _ in range(rounds):
        without.append(merge("-c", "core.hooksPath=/dev/null"))
        with_it.append(merge())
    own = min(with_it) - min(without)
    print(f"hook in the background: {own * 1000:.0f} ms beyond git's {min(without) * 1000:.0f} ms")
    assert own < within
    assert {one["background"] for one in served.checks} == {True}
    served.closing.set()
    await eventually(lambda: len(guarded.unchecked) == rounds, "what had no answer is written down")


@pytest.mark.parametrize(("within", "rounds"), [(math.inf, 1), pytest.param(0.03, ROUNDS, marks=pytest.mark.long)])
def test_an_ordinary_commit_asks_nobody_and_costs_milliseconds(
    guarded: Scene, served: Gateway, within: float, rounds: int
) -> None:
    def commit(*more: str) -> float:
        watch = Stopwatch()
        guarded.git(*more, "commit", "-q", "--allow-empty", "-m", "more")
        return watch.seconds

    with_it, without = [], []
    for _ in range(rounds):
        without.append(commit("-c", "core.hooksPath=/dev/null"))
        with_it.append(commit())
    own = min(with_it) - min(without)
    print(f"post-commit of an ordinary commit: {own * 1000:.1f} ms beyond git's {min(without) * 1000:.1f}")
    assert own < within
    assert served.asked == []


def test_nothing_is_left_in_the_folder_for_temporary_files(guarded: Scene, served: Gateway, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    guarded.environ["TMPDIR"] = str(temporary)
    guarded.diverge()
    guarded.git("merge", "topic")
    assert len(served.asked) == 2
    assert list(temporary.iterdir()) == []
