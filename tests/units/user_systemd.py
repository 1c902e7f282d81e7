"""A real `systemd --user` that is nobody's PID 1, in namespaces and a cgroup of its own; all of it goes with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.processes.identity import command_of, descendants, process
from tests.programs import missing, require
from tests.waiting import until

SYSTEMD = Path("/usr/lib/systemd/systemd")
_HIERARCHIES = ("systemd", "unified", "pids", "memory", "cpu", "")


@dataclass(frozen=True, slots=True)
class Done:
    """What one command left."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class UserSystemd:
    """One manager; `leader` is the process, seen from here, in whose namespaces commands are run."""

    leader: int
    environ: Mapping[str, str]

    def run(
        self,
        *argv: str,
        cwd: Path | None = None,
        timeout: float = 100,
        environ: Mapping[str, str] = {},
        given: str = "",
    ) -> Done:
        """Run a command where the manager is; `given` is its standard input."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.leader), "-m", "-p", f"--wd={cwd or '/'}", "--", *argv],
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**self.environ, **environ},
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def systemctl(self, *words: str) -> str:
        """What `systemctl --user` prints; it must succeed."""
        done = self.run("systemctl", "--user", "--no-pager", *words)
        assert done.code == 0, done
        return done.out

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", unit, f"--property={name}", "--value").strip()

    def processes(self) -> list[str]:
        """The command line of every process in there but the manager's own and its keeper's."""
        keeper = process(self.leader)
        assert keeper is not None
        commands = [command_of(one.pid) for one in descendants([keeper])]
        return [command for command in commands if not command.startswith(str(SYSTEMD))]


@contextmanager
def user_systemd(folder: Path) -> Iterator[UserSystemd]:
    """A manager whose home is `folder`. Skipped with a reason where there can be none."""
    for program, package in (("bwrap", "bubblewrap"), ("nsenter", "util-linux"), ("systemctl", "systemd")):
        require(program, package)
    if not SYSTEMD.exists():
        missing(f"{SYSTEMD} is not there: sudo apt-get install systemd")
    if os.geteuid() != 0:
        missing("a user's systemd of a test's own needs root for its namespaces and its cgroup")
    runtime = f"/run/user/{os.getuid()}"
    environ = {"HOME": str(folder), "PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": runtime, "LANG": "C.UTF-8"}
    cgroups = _own_cgroups()
    near, far = os.pipe()
    join = "".join(f'echo 0 > "{path}/cgroup.procs"; ' for path in cgroups)
    sandbox = [
        *("bwrap", "--dev-bind", "/", "/", "--tmpfs", "/run", "--perms", "0700", "--dir", runtime),
        *("--dir", "/run/systemd/system", "--proc", "/proc", "--unshare-pid", "--die-with-parent"),
        *("--info-fd", str(far), str(SYSTEMD), "--user", "--log-target=console"),
    ]
    log = folder / "systemd.log"
    with log.open("wb") as said:
        child = subprocess.Popen(
            ["sh", "-c", f'{join}exec "$@"', "sh", *sandbox],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=environ,
            pass_fds=(far,),
        )
    os.close(far)
    try:
        with os.fdopen(near) as info:
            leader = int(json.load(info)["child-pid"])
        manager = UserSystemd(leader, environ)
        until(lambda: manager.run("systemctl", "--user", "is-system-running").out.strip() == "running", "systemd runs")
        yield manager
    finally:
        child.kill()
        child.wait(60)
        log.unlink(missing_ok=True)
        _remove(cgroups)


def _own_cgroups() -> list[Path]:
    """A new cgroup in each hierarchy that a user's systemd works with, below the one that this process is in."""
    made = []
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    own = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    for fields in mounts:
        kind, options = fields[fields.index("-") + 1], fields[-1].split(",")
        if kind not in ("cgroup", "cgroup2"):
            continue
        keys = [""] if kind == "cgroup2" else [key for key in own if key and set(key.split(",")) <= set(options)]
        if not keys or keys[0].removeprefix("name=") not in _HIERARCHIES:
            continue
        path = Path(fields[4] + own.get(keys[0], "/").rstrip("/"), f"quantum-systemd-test-{os.getpid()}")
        try:
            path.mkdir()
        except OSError as error:
            missing(f"there can be no cgroup of a test's own here: {error}")
        made.append(path)
    return made


def _remove(cgroups: Sequence[Path]) -> None:
    """Remove these with all below them, as soon as the last process has left."""

    def gone() -> bool:
        for root in cgroups:
            for path in (*sorted((one for one in root.rglob("*") if one.is_dir()), reverse=True), root):
                try:
                    path.rmdir()
                except OSError:
                    continue
        return not any(path.exists() for path in cgroups)

    until(gone, "the cgroups are gone")


def snapshot(folder: Path) -> dict[str, tuple[int, bytes | str]]:
    """Every file, folder and link below a folder: its rights, and its bytes or where it leads."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        inside = os.readlink(path) if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()
        found[str(path.relative_to(folder))] = (mode, inside)
    return found


def copied(source: Path, target: Path) -> None:
    """Copy a folder as it is."""
    shutil.copytree(source, target, symlinks=True)
