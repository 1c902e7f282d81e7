"""Units of the user's own systemd."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path

from cli.service.parts import PARTS, UPKEEP, Part
from cli.service.ports import NO_MANAGER, Advice, Answer, Call, Standing
from cli.service.rendering import render_unit, template, written
from foundation.errors import Unavailable
from foundation.unit import DOES_NOT_START
from foundation.workspace import Workspace

_LINGER = Path("/var/lib/systemd/linger")
_ASKED = ("LoadState", "ActiveState", "SubState", "MainPID", "NRestarts", "StatusText", "Result", "ExecMainStatus")
_STATES = {"active": "active", "activating": "starting", "deactivating": "stopping", "failed": "failed"}
_CANNOT_BE_RUN = "203"
"""systemd's own code for a program that is not there, or is no program."""
_RESULTS = {
    "exit-code": "it ended with an error",
    "signal": "it was killed",
    "core-dump": "it crashed",
    "watchdog": "it gave no sign of life and was ended",
    "timeout": "it took too long",
    "start-limit-hit": "it ended too often",
    "oom-kill": "it took too much memory",
}


class Systemd:
    """See `Manager`."""

    name = "systemd"

    def __init__(self, workspace: Workspace, environ: Mapping[str, str], call: Call) -> None:
        configuration = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".config")
        self.folder = Path(configuration) / "systemd" / "user"
        self._workspace = workspace
        self._call = call

    @property
    def _services(self) -> list[str]:
        return [part.unit(self._workspace) for part in PARTS]

    @property
    def _timer(self) -> str:
        return UPKEEP.unit(self._workspace).replace(".service", ".timer")

    def files(self, values: Mapping[str, str]) -> Mapping[Path, bytes]:
        """The services of the four parts, and the timer of what is done from time to time with its service."""
        texts = {part.unit(self._workspace): f"quantum-{part.name}.service" for part in (*PARTS, UPKEEP)}
        texts[self._timer] = f"quantum-{UPKEEP.name}.timer"
        return written(
            self.folder, {unit: render_unit(template("systemd", name), values) for unit, name in texts.items()}
        )

    def start(self) -> None:
        """Enable and start; each is ready, in the sense of Type=notify, when this returns."""
        self._systemctl("daemon-reload")
        # What was given up is tried again, since a person asks for it.
        self._systemctl("reset-failed", *self._services, may_fail=True)
        self._systemctl("enable", "--quiet", *self._services, self._timer)
        started = self._systemctl("start", *self._services, self._timer, may_fail=True)
        if started.code != 0:
            wrong = [one for one in self.standing() if one.state != "active"]
            raise self._refused(
                "start", " ".join(f"{one.unit}: {one.says or one.result}." for one in wrong) or started.said
            )

    def stop(self) -> None:
        """Stop and disable: the timer first, then the services, in the reverse order of their start."""
        self._systemctl("disable", "--now", self._timer)
        self._systemctl("stop", UPKEEP.unit(self._workspace))
        self._systemctl("disable", "--now", *self._services)
        self._systemctl("reset-failed", *self._services, UPKEEP.unit(self._workspace), may_fail=True)

    def restart(self, part: Part) -> None:
        """End one and start it again."""
        self._systemctl("restart", part.unit(self._workspace))

    def forget(self) -> None:
        """Have the folder read again."""
        self._systemctl("daemon-reload")

    def standing(self) -> list[Standing]:
        """How each unit stands."""
        return [self._standing(part) for part in PARTS]

    def advice(self) -> Advice | None:
        """Whether they start before anybody logs in."""
        user = getpass.getuser()
        if (_LINGER / user).exists():
            return None
        return Advice(
            "They run while you are logged in, and not from a reboot to the next login.",
            f"loginctl enable-linger {user}",
        )

    def _standing(self, part: Part) -> Standing:
        unit = part.unit(self._workspace)
        shown = self._systemctl("show", unit, *(f"--property={name}" for name in _ASKED)).out
        seen = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        if seen.get("LoadState") == "not-found":
            return Standing(part=part, unit=unit, state="absent")
        state = _STATES.get(seen.get("ActiveState", ""), "stopped")
        if seen.get("SubState") == "auto-restart":
            state = "starting"
        says = seen.get("StatusText", "")
        if state == "failed" and not says.startswith(DOES_NOT_START):
            says = ""  # of better times
        if state in ("failed", "starting") and seen.get("ExecMainStatus") == _CANNOT_BE_RUN:
            # Nor has its log a word about it.
            says = "The Python that it was installed with is not there any more. → quantum service install"
        pid = int(seen.get("MainPID") or 0)
        restarts = seen.get("NRestarts", "")
        return Standing(
            part=part,
            unit=unit,
            state=state,
            pid=pid or None,
            restarts=int(restarts) if restarts.isdecimal() else None,
            says=says,
            result=_result(state, seen.get("Result", ""), restarts),
        )

    def _systemctl(self, verb: str, *words: str, may_fail: bool = False) -> Answer:
        answer = self._call(["systemctl", "--user", "--no-pager", verb, *words])
        if answer.code == 0 or may_fail:
            return answer
        if "connect to bus" in answer.said:
            raise Unavailable(
                NO_MANAGER,
                f"The systemd of this user does not answer: {answer.said}",
                remedy="Log in as this user itself (not by su or sudo), or run quantum up --detach without it.",
            )
        raise self._refused(verb, answer.said)

    def _refused(self, verb: str, said: str) -> Unavailable:
        return Unavailable(
            "manager_refused",
            f"systemctl --user {verb} failed: {said}",
            remedy="quantum service status shows how each unit stands, and what it said.",
        )


def _result(state: str, result: str, restarts: str) -> str:
    """How its last run ended; what is down although it is to be started again always has been given up."""
    how = _RESULTS.get(result, "")
    if state == "failed" and restarts not in ("", "0"):
        return f"{how or 'it ended'}, for the last time after {restarts} starts, and was given up"
    return how if state in ("failed", "starting") else ""
