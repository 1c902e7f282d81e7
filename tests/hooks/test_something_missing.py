"""Whatever is missing, git merges as ever: the hook says what was not checked, and writes it down."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hooks.gateway import ID, Gateway
from tests.hooks.scene import UNCHECKED, Scene
from tests.waiting import eventually

# What a hook needs beside git; `python` is not among it, and `curl` is left out on purpose.
NEEDED = ("git", "sh", "sed", "tr", "date", "mkdir", "mkfifo", "mktemp", "rm", "sleep", "cat")

Break = Callable[[Scene, Gateway], dict[str, str]]


def path_without_curl(scene: Scene) -> dict[str, str]:
    """A PATH on which there is neither curl nor python."""
    folder = scene.folder / "few"
    folder.mkdir(exist_ok=True)
    for name in NEEDED:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return {"PATH": str(folder)}


def no_curl(scene: Scene, served: Gateway) -> dict[str, str]:
    return path_without_curl(scene)


def no_python(scene: Scene, served: Gateway) -> dict[str, str]:
    environ = path_without_curl(scene)
    (Path(environ["PATH"]) / "curl").symlink_to(shutil.which("curl") or "")
    return environ


def nothing_runs(scene: Scene, served: Gateway) -> dict[str, str]:
    scene.workspace.runtime.unlink()
    return {}


def nobody_listens(scene: Scene, served: Gateway) -> dict[str, str]:
    scene.serve(1)
    return {}


def no_token(scene: Scene, served: Gateway) -> dict[str, str]:
    scene.workspace.hooks_token.unlink()
    return {}


def no_identifier(scene: Scene, served: Gateway) -> dict[str, str]:
    scene.git("config", "--unset", "quantum.repository")
    return {}


def no_workspace(scene: Scene, served: Gateway) -> dict[str, str]:
    shutil.rmtree(scene.workspace.root)
    return {}


def answers(status: int, text: str) -> Break:
    def it(scene: Scene, served: Gateway) -> dict[str, str]:
        served.status, served.answer = status, text
        return {}

    return it


MISSING: dict[str, tuple[str, Break]] = {
    "curl": ("curl is not installed", no_curl),
    "Quantum does not run": ("quantum up --detach starts it", nothing_runs),
    "gateway": ("does not answer; quantum status", nobody_listens),
    "token": ("cannot be read; quantum hooks install makes it", no_token),
    "identifier": ("not known to Quantum; quantum hooks install", no_identifier),
    "workspace": ("cannot be read; quantum hooks install makes it", no_workspace),
    "token revoked": ("quantum hooks install makes another", answers(401, "No.")),
    "unknown there": ("There is no repository r.", answers(404, "There is no repository r.")),
    "drain": ("Nothing new starts: mode DRAIN.", answers(503, "Nothing new starts: mode DRAIN.\n")),
    "nonsense": ("not understood", answers(202, "<html>\n")),
    "an error without words": ("status 500", answers(500, "")),
}


@pytest.mark.parametrize("background", [False, True], ids=["", "background"])
@pytest.mark.parametrize("name", MISSING)
async def test_it_is_said_and_written_down(guarded: Scene, served: Gateway, name: str, background: bool) -> None:
    sentence, broken = MISSING[name]
    guarded.diverge(wishes="[merge]\nbackground = true\n" if background else "")
    said = guarded.git("merge", "topic", environ=broken(guarded, served))
    line = (await eventually(lambda: guarded.unchecked, "it is written down"))[0]
    new, old = guarded.head(), guarded.head("HEAD^1")
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ post-merge {old} {new}", line)
    assert len(guarded.unchecked) == 1
    assert guarded.git("log", "-1", "--format=%P").out.split() == [old, guarded.head("topic")]
    if not background or not served.asked:
        told = "is checked in the background" if background and name == "gateway" else UNCHECKED
        assert told in said.err
    if not background:
        assert sentence in said.err


def test_python_is_not_needed(guarded: Scene, served: Gateway) -> None:
    guarded.diverge()
    said = guarded.git("merge", "topic", environ=no_python(guarded, served))
    assert "the merge is good" in said.err
    assert guarded.unchecked == []


def test_the_shared_script_is_missing(guarded: Scene, served: Gateway) -> None:
    (guarded.top / ".git" / "hooks" / "quantum-merge-guard.sh").unlink()
    guarded.diverge()
    assert "quantum-merge-guard.sh is missing" in guarded.git("merge", "topic").err


def test_what_cannot_be_written_down_is_said(guarded: Scene, served: Gateway) -> None:
    (guarded.top / ".git" / "quantum").write_text("a file where the folder should be")
    nothing_runs(guarded, served)
    guarded.diverge()
    assert "could not be written down" in guarded.git("merge", "topic").err


@pytest.mark.parametrize(
    ("verdict", "next_line"),
    [
        ("bad rolled_back", "  undo: quantum merge undo "),
        ("bad refused", "  quantum merge show "),
        ("inconclusive reported", "  quantum merge show "),
        ("good none", ""),
        ("nothing_to_check none", ""),
    ],
)
def test_the_next_line_to_type_is_shown(guarded: Scene, served: Gateway, verdict: str, next_line: str) -> None:
    served.lines = (f"= {verdict}: it was so: really",)
    guarded.diverge()
    said = guarded.git("merge", "topic")
    assert said.err.endswith("quantum: it was so: really\n" + (f"{next_line}{ID}\n" if next_line else ""))


def test_a_word_of_the_gateway_moves_no_cursor(guarded: Scene, served: Gateway) -> None:
    served.lines = ("\x1b[2Jruns", "= bad reported: \x1b[31mred\x07")
    guarded.diverge()
    said = guarded.git("merge", "topic")
    assert "quantum: [2Jruns\n" in said.err
    assert "quantum: [31mred\n  quantum merge show" in said.err
    assert "\x1b" not in said.err
