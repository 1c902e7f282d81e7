"""Who else on this machine starts the same scripts: cron, launchd, systemd, supervisors, and what runs of them now."""

from __future__ import annotations

import os
import plistlib
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers.expat import ExpatError

_FIVE = re.compile(r"^\s*((?:[\d*/,A-Za-z#LW?-]+\s+){4}[\d*/,A-Za-z#LW?-]+)\s+(\S.*)$")
_AT = re.compile(r"^\s*(@\w+)\s+(\S.*)$")
_WORDS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0"}
_WORDS |= {"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *"}
FILE_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarter:
    """Something that starts a script; `switch_off` is the line that ends that, which nobody here types."""

    kind: str
    where: str
    script: Path
    switch_off: str
    schedule: str = ""
    """Five fields, where it starts it by the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A process, as far as adopt looks at it."""

    pid: int
    identity: str
    started: str
    arguments: tuple[str, ...]
    folder: str


def read_crontab() -> str:
    """This user's crontab; empty where there is none, or no cron."""
    try:
        done = subprocess.run(["crontab", "-l"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def running_now() -> Sequence[Running]:
    """Every process that this user may look at, but those of Quantum's own tasks and those above this one."""
    import psutil

    from foundation.process_identity import identity_of

    found = []
    spared = {os.getpid(), *(above.pid for above in psutil.Process().parents())}
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        try:
            with process.oneshot():
                arguments, folder = tuple(process.cmdline()), process.cwd()
                ours = "QUANTUM_TASK_ID" in process.environ()
                started = process.create_time()
        except (psutil.Error, OSError):  # gone meanwhile, or somebody else's
            continue
        identity = identity_of(process.pid)
        if arguments and identity and not ours:
            found.append(
                Running(
                    pid=process.pid, identity=identity, started=str(int(started)), arguments=arguments, folder=folder
                )
            )
    return found


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where to look; everything can be put elsewhere by a test."""

    home: Path
    etc: Path = Path("/etc")
    crontab: Callable[[], str] = read_crontab
    processes: Callable[[], Sequence[Running]] = running_now
    faults: list[str] = field(default_factory=list)

    def find(self, scripts: Sequence[Path]) -> Iterator[Restarter]:
        """Everything that starts one of these scripts, by its path."""
        names = [(script, Mention.of(script)) for script in scripts]
        yield from self._cron(names)
        yield from self._plists(names)
        yield from self._units(names)
        yield from self._supervisors(names)
        yield from self._running(scripts)

    def _read(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                return file.read(FILE_BYTES_MAX).decode(errors="replace")
        except FileNotFoundError:
            return ""
        except OSError as error:
            self.faults.append(f"{path} could not be read ({error.strerror}), so that it is not known what it starts.")
            return ""

    def _files(self, folder: Path, pattern: str) -> list[Path]:
        try:
            return sorted(path for path in folder.glob(pattern) if path.is_file())
        except OSError:
            return []

    def _cron(self, names: Sequence[tuple[Path, Mention]]) -> Iterator[Restarter]:
        for line in self.crontab().splitlines():
            for script in self._mentioned(line, names):
                off = f"crontab -l | grep -vxF {shlex.quote(line)} | crontab -"
                yield _timed("cron", "your crontab", script, off, line)
        files = [self.etc / "crontab", *self._files(self.etc / "cron.d", "*")]
        for path in files:
            for number, line in enumerate(self._read(path).splitlines(), 1):
                for script in self._mentioned(line, names):
                    off = f"sudo sed -i.before {number}'s/^/# /' {shlex.quote(str(path))}"
                    yield _timed("cron", f"{path}, line {number}", script, off, line)
        for period, when in (
            ("hourly", "0 * * * *"),
            ("daily", "0 0 * * *"),
            ("weekly", "0 0 * * 0"),
            ("monthly", "0 0 1 * *"),
        ):
            for path in self._files(self.etc / f"cron.{period}", "*"):
                for script in self._mentioned(self._read(path), names):
                    off = f"sudo chmod -x {shlex.quote(str(path))}"
                    yield Restarter(kind="cron", where=str(path), script=script, switch_off=off, schedule=when)

    def _mentioned(self, text: str, names: Sequence[tuple[Path, Mention]]) -> list[Path]:
        lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("#", ";")))
        spelled = (
            lines.replace("~/", f"{self.home}/").replace("$HOME/", f"{self.home}/").replace("${HOME}/", f"{self.home}/")
        )
        spelled = spelled.replace("%h/", f"{self.home}/")
        return [script for script, mention in names if mention.within(spelled)]

    def _plists(self, names: Sequence[tuple[Path, Mention]]) -> Iterator[Restarter]:
        for path in self._files(self.home / "Library" / "LaunchAgents", "*.plist"):
            try:
                document = plistlib.loads(path.read_bytes())
            except (OSError, ValueError, ExpatError) as error:
                self.faults.append(f"{path} could not be read ({error}), so that it is not known what it starts.")
                continue
            words = [
                document.get("Program", ""),
                *document.get("ProgramArguments", []),
                document.get("WorkingDirectory", ""),
            ]
            for script in self._mentioned(" ".join(str(word) for word in words), names):
                off = f"launchctl bootout gui/$(id -u) {shlex.quote(str(path))}"
                when = _calendar(document.get("StartCalendarInterval"))
                yield Restarter(kind="launchd", where=str(path), script=script, switch_off=off, schedule=when)

    def _units(self, names: Sequence[tuple[Path, Mention]]) -> Iterator[Restarter]:
        folder = self.home / ".config" / "systemd" / "user"
        for path in self._files(folder, "*.service"):
            lines = [
                line for line in self._read(path).splitlines() if re.match(r"\s*(?:Exec\w+|WorkingDirectory)\s*=", line)
            ]
            for script in self._mentioned("\n".join(lines), names):
                timer = path.with_suffix(".timer")
                unit = timer.name if timer.exists() else path.name
                off = f"systemctl --user disable --now {shlex.quote(unit)}"
                yield Restarter(kind="systemd", where=str(path), script=script, switch_off=off)

    def _supervisors(self, names: Sequence[tuple[Path, Mention]]) -> Iterator[Restarter]:
        supervisor = [self.etc / "supervisord.conf", *self._files(self.etc / "supervisor" / "conf.d", "*.conf")]
        monit = [self.etc / "monitrc", self.home / ".monitrc", *self._files(self.etc / "monit" / "conf.d", "*")]
        for path in (*supervisor, self.home / "supervisord.conf"):
            for name, text in _sections(self._read(path)):
                for script in self._mentioned(text, names):
                    off = f"supervisorctl stop {shlex.quote(name)}"
                    yield Restarter(kind="supervisord", where=f"{path}, {name}", script=script, switch_off=off)
        for path in monit:
            for match in re.finditer(
                r"check\s+\w+\s+\"?([\w.-]+)(.*?)(?=\ncheck\s|\Z)", self._read(path), flags=re.DOTALL
            ):
                for script in self._mentioned(match[0].replace('"', " "), names):
                    off = f"monit unmonitor {shlex.quote(match[1])}"
                    yield Restarter(kind="monit", where=f"{path}, {match[1]}", script=script, switch_off=off)
        dump = self.home / ".pm2" / "dump.pm2"
        for match in re.finditer(r'"pm_exec_path"\s*:\s*"([^"]+)"', self._read(dump)):
            for script in self._mentioned(match[1], names):
                off = f"pm2 delete {shlex.quote(script.stem)} && pm2 save"
                yield Restarter(kind="pm2", where=str(dump), script=script, switch_off=off)

    def _running(self, scripts: Sequence[Path]) -> Iterator[Restarter]:
        by_path = {os.path.realpath(script): script for script in scripts}
        for process in self.processes():
            for word in process.arguments[:4]:
                path = os.path.realpath(os.path.join(process.folder or "/", word))
                if path in by_path:
                    where = f"process {process.pid} ({process.identity or process.started})"
                    yield Restarter(
                        kind="a process that runs now",
                        where=where,
                        script=by_path[path],
                        switch_off=f"kill {process.pid}",
                    )
                    break


@dataclass(frozen=True, slots=True)
class Mention:
    """The ways in which a line can name a script."""

    whole: re.Pattern[str]
    folder: re.Pattern[str]
    name: re.Pattern[str]

    @classmethod
    def of(cls, script: Path) -> Mention:
        """For one script: its whole path, or its folder and its name."""
        end = r"(?![\w./-])"
        paths = {str(script), os.path.realpath(script)}
        spelled = "|".join(re.escape(path) + "|" + re.escape(path.replace(" ", "\\ ")) for path in sorted(paths))
        folders = "|".join(
            re.escape(folder) for folder in sorted({str(script.parent), os.path.realpath(script.parent)})
        )
        name = rf"(?:^|[\s\"'=;&|])(?:\./)?{re.escape(script.name)}{end}"
        return cls(
            re.compile(rf"(?:{spelled}){end}"),
            re.compile(rf"(?:{folders})/?(?![\w.-])"),
            re.compile(name, re.MULTILINE),
        )

    def within(self, text: str) -> bool:
        """Whether a text names it."""
        return bool(self.whole.search(text) or (self.folder.search(text) and self.name.search(text)))


def _timed(kind: str, where: str, script: Path, off: str, line: str) -> Restarter:
    match = _FIVE.match(line)
    at = _AT.match(line)
    schedule = " ".join(match[1].split()) if match else _WORDS.get(at[1], "") if at else ""
    return Restarter(kind=kind, where=where, script=script, switch_off=off, schedule=schedule)


def _calendar(interval: object) -> str:
    if not isinstance(interval, dict):
        return ""
    fields = [interval.get(key, "*") for key in ("Minute", "Hour", "Day", "Month", "Weekday")]
    return " ".join(str(field) for field in fields)


def _sections(text: str) -> Iterator[tuple[str, str]]:
    for match in re.finditer(r"^\[program:([^\]]+)\](.*?)(?=^\[|\Z)", text, flags=re.DOTALL | re.MULTILINE):
        yield match[1], match[2]
