"""Runs the items, one after the other, and makes a text of what came of them in which nothing private is left."""

from __future__ import annotations

import getpass
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.processes.identity import of_agents
from cli.service.ports import Answer
from foundation.clock import SystemClock
from foundation.own_python import child_environment
from foundation.tokens import mask
from foundation.workspace import Workspace

IS_MAC = sys.platform == "darwin"
_LONG_HEX = re.compile(r"\b[0-9a-f]{64}\b|(?:[0-9a-f]{8}-){7}[0-9a-f]{8}")
_COMMAND_SECONDS = 180


class Failed(Exception):
    """Something was not as it should be."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to try. `covers` names the files whose claims it tries."""

    name: str
    what: str
    work: Callable[[Scene], str]
    """Returns what was seen; raises whatever it likes."""
    covers: tuple[str, ...] = ()
    needs_mac: bool = True


@dataclass(slots=True)
class Scene:
    """The throwaway workspace, and the command line in it."""

    folder: Path
    notes: list[str] = field(default_factory=list)

    @property
    def workspace(self) -> Workspace:
        """Its path has a space and an umlaut."""
        return Workspace((self.folder / "Wörk space").resolve())

    def run(self, *argv: str, good: bool = True, environ: dict[str, str] | None = None) -> Answer:
        """Run a command to its end; with `good` it must succeed."""
        try:
            done = subprocess.run(
                argv,
                cwd=self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_COMMAND_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(f"{argv[0]}: {error}") from error
        answer = Answer(done.returncode, done.stdout, done.stderr)
        if good and answer.code != 0:
            raise Failed(f"{' '.join(argv[:6])} ended with {answer.code}: {answer.said[-800:]}")
        return answer

    def quantum(self, *words: str, good: bool = True) -> Answer:
        """Run a command of ours in the workspace, with the operating system's keychain on a Mac and files elsewhere."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("QUANTUM_")}
        environ |= {"QUANTUM_KEYCHAIN": "os" if IS_MAC else "file"}
        root = str(self.workspace.root)
        argv = (sys.executable, "-m", "cli", "--workspace", root, *words)
        return self.run(*argv, good=good, environ=child_environment(environ))


@dataclass(frozen=True, slots=True)
class Report:
    """What to send back, and whether nothing that was tried has failed."""

    text: str
    good: bool


def run_all(items: Sequence[Item], *, say: Callable[[str], Any]) -> Report:
    """Try each item; what one leaves behind does not keep the next from being tried."""
    clock = SystemClock()
    lines = ["# Quantum on this machine", ""]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="quantum-report-") as folder:
        scene = Scene(Path(folder).resolve())
        try:
            for item in items:
                at = clock.boottime()
                word, seen = _try(item, scene)
                failed += word == "FAILED"
                say(f"{word:9} {item.name}: {item.what}")
                lines += [f"## {item.name}: {word}", "", f"{item.what} ({clock.boottime() - at:.1f} s)", ""]
                lines += ["```", *seen.strip().splitlines(), "```", ""] if seen.strip() else []
        finally:
            lines += ["## left behind", "", *_clean_up(scene), ""]
        private = {str(scene.folder): "<folder>", tempfile.gettempdir(): "<tmp>"}
    return Report(_without_private("\n".join(lines), private), not failed)


def _try(item: Item, scene: Scene) -> tuple[str, str]:
    if item.needs_mac and not IS_MAC:
        return "not a Mac", ""
    try:
        return "ok", item.work(scene)
    except Failed as error:
        return "FAILED", str(error)
    except Exception:  # noqa: BLE001 - whatever it is, it is what we want to read
        return "FAILED", traceback.format_exc()


def _clean_up(scene: Scene) -> list[str]:
    """End and remove everything, and say what could not be."""
    left = []
    if scene.workspace.state.is_dir():
        for words in (("service", "uninstall"), ("down",)):
            answer = scene.quantum(*words, good=False)
            if answer.code != 0:
                left.append(f"quantum {' '.join(words)}: {answer.said[-400:]}")
        left += [f"process {one.pid}" for one in of_agents(scene.workspace.root)]
        if IS_MAC:
            left += _forget_secrets(scene)
    return left or ["Nothing."]


def _forget_secrets(scene: Scene) -> list[str]:
    """Remove the workspace's entries from the keychain; those that would not go."""
    from foundation import secrets
    from foundation.errors import QuantumError

    workspace = scene.workspace
    store = secrets.open_secret_store(workspace, {"QUANTUM_KEYCHAIN": "os"})
    own = secrets.user_account(workspace)
    entries = [
        (kind, own) for kind in (secrets.USER_TOKEN, secrets.DATABASE_KEY, secrets.AUDIT_KEY, secrets.AUTHORITY_KEY)
    ]
    entries += [
        (secrets.SERVICE_TOKEN, secrets.service_account(workspace, name))
        for name in ("coordinator", "safety", "runner", "gateway")
    ]
    left = []
    for kind, account in entries:
        try:
            store.delete(kind, account)
        except QuantumError as error:
            left.append(f"keychain entry {kind}: {error.message}")
    return left


def _without_private(text: str, private: dict[str, str]) -> str:
    """No token, no key, and no name of this user, this machine or its folders."""
    names = {
        **private,
        str(Path(__file__).resolve().parents[2]): "<source>",
        str(Path.home()): "~",
        platform.node(): "<host>",
        platform.node().split(".")[0]: "<host>",
        getpass.getuser(): "<user>",
    }
    text = _LONG_HEX.sub("<key>", mask(text))
    for name, stand_in in sorted(names.items(), key=lambda pair: -len(pair[0])):
        if len(name) > 1:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", stand_in, text)
    return text


def need(condition: object, otherwise: str) -> None:
    """Fail with a sentence unless something holds."""
    if not condition:
        raise Failed(otherwise)


def which(program: str) -> str:
    """The path of a program that must be there."""
    path = shutil.which(program)
    need(path, f"There is no {program}.")
    return str(path)
