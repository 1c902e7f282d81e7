"""Jobs of the user's own launchd. Designed, not run: no such machine was at hand; `make mac-report` tries it."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path

from cli.service.parts import PARTS, UPKEEP, Part
from cli.service.ports import Advice, Answer, Call, Standing
from cli.service.rendering import render_plist, template, written
from foundation.errors import Unavailable
from foundation.workspace import Workspace

_NO_SUCH_JOB = 113
_GONE_LOOKS, _GONE_PAUSE_SECONDS = 120, 0.5
_FACT = re.compile(r"^\t(state|pid|runs|last exit code) = (.*)$", re.MULTILINE)


class Launchd:
    """See `Manager`. What `launchctl` prints is read as little as possible: its manual calls it no interface."""

    name = "launchd"

    def __init__(self, workspace: Workspace, environ: Mapping[str, str], call: Call) -> None:
        self.folder = Path(environ.get("HOME") or Path.home()) / "Library" / "LaunchAgents"
        self._workspace = workspace
        self._call = call
        # The session at the screen: it has the keychain.
        self._domain = f"gui/{os.getuid()}"

    def files(self, values: Mapping[str, str]) -> Mapping[Path, bytes]:
        """A property list for each of the four parts, and for what is done from time to time."""
        texts = {
            f"{part.label(self._workspace)}.plist": render_plist(
                template("launchd", f"com.quantum.{part.name}.plist"), values
            )
            for part in (*PARTS, UPKEEP)
        }
        return written(self.folder, texts)

    def start(self) -> None:
        """Load each; launchd starts it at once and at every login. Whether it is ready is for the caller to see."""
        for part in (*PARTS, UPKEEP):
            self._launchctl("enable", self._target(part))
            if self._print(part) is None:
                self._launchctl("bootstrap", self._domain, str(self._file(part)))
            elif part is not UPKEEP:
                self._launchctl("kickstart", self._target(part))

    def stop(self) -> None:
        """Unload each, in the reverse order of start, and wait until it has gone."""
        for part in (UPKEEP, *reversed(PARTS)):
            self._launchctl("disable", self._target(part))
            if self._print(part) is None:
                continue
            self._launchctl("bootout", self._target(part), may_fail=True)  # says 36 while it still ends
            self._wait_gone(part)

    def restart(self, part: Part) -> None:
        """End one and start it again."""
        self._launchctl("kickstart", "-k", self._target(part))

    def forget(self) -> None:
        """Nothing: what was unloaded is known no more. That a label may be loaded again is launchd's to remember."""

    def standing(self) -> list[Standing]:
        """How each job stands."""
        return [self._standing(part) for part in PARTS]

    def advice(self) -> Advice | None:
        """A LaunchAgent lives with its login session."""
        return Advice("They run while you are logged in at the screen; the keychain is open only then.")

    def _standing(self, part: Part) -> Standing:
        unit, printed = part.label(self._workspace), self._print(part)
        if printed is None:
            state = "stopped" if self._file(part).exists() else "absent"
            return Standing(part=part, unit=unit, state=state)
        facts = dict(_FACT.findall(printed))
        pid, runs = facts.get("pid", ""), facts.get("runs", "")
        ended = facts.get("last exit code", "")
        # 0 is how a wrong setting ends below launchd; after anything else it is started again.
        state = {"running": "active"}.get(facts.get("state", ""), "failed" if ended == "0" else "starting")
        return Standing(
            part=part,
            unit=unit,
            state=state,
            pid=int(pid) if pid.isdecimal() else None,
            restarts=int(runs) - 1 if runs.isdecimal() and int(runs) else None,
        )

    def _print(self, part: Part) -> str | None:
        answer = self._call(["launchctl", "print", self._target(part)])
        if answer.code == _NO_SUCH_JOB:
            return None
        if answer.code != 0:
            raise self._refused("print", answer)
        return answer.out

    def _wait_gone(self, part: Part) -> None:
        pause = threading.Event()
        for _ in range(_GONE_LOOKS):
            if self._print(part) is None:
                return
            pause.wait(_GONE_PAUSE_SECONDS)
        raise Unavailable("manager_slow", f"launchd has not unloaded {part.label(self._workspace)} in time.")

    def _target(self, part: Part) -> str:
        return f"{self._domain}/{part.label(self._workspace)}"

    def _file(self, part: Part) -> Path:
        return self.folder / f"{part.label(self._workspace)}.plist"

    def _launchctl(self, verb: str, *words: str, may_fail: bool = False) -> Answer:
        answer = self._call(["launchctl", verb, *words])
        if answer.code != 0 and not may_fail:
            raise self._refused(verb, answer)
        return answer

    def _refused(self, verb: str, answer: Answer) -> Unavailable:
        return Unavailable(
            "manager_refused",
            f"launchctl {verb} failed ({answer.code}): {answer.said}",
            remedy="Are you logged in at the screen of this Mac? quantum service status shows how each job stands.",
        )
