"""`quantum runner start` and `stop`: the runner of a folder that joined, here or in a session of its own."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import click

from cli.options import debug_option, json_option
from cli.output.printing import emit
from cli.processes.spawning import last_words, spawn
from cli.runners.folder import RunnerFolder
from cli.session import Session
from foundation.errors import Conflict, NotFound, TimedOut, Unavailable
from foundation.own_python import child_environment
from foundation.workspace import Workspace

_ATTACHED_WITHIN = timedelta(seconds=30)
_ENDED_WITHIN_SECONDS = 30.0
_folder_option = click.option(
    "--folder", type=click.Path(path_type=Path), help="The runner's folder; else the workspace that we are in."
)


@click.command()
@_folder_option
@click.option("--detach", "detached", is_flag=True, help="Return when it is attached, and leave it running.")
@debug_option
@json_option
@click.pass_obj
def start(session: Session, folder: Path | None, detached: bool, debug: bool, as_json: bool) -> None:
    """Start the runner of a folder that joined. Ctrl-C ends it."""
    runner = _found(session, folder)
    if holder := runner.lock.holder():
        raise Conflict("runner_runs", f"Runner {runner.name} runs already, as process {holder}.")
    if detached:
        say_started(runner, detach(session, runner, debug=debug), as_json=as_json)
        return
    run_here(session, runner, debug=debug)


@click.command()
@_folder_option
@json_option
@click.pass_obj
def stop(session: Session, folder: Path | None, as_json: bool) -> None:
    """End the runner of a folder that joined: what it has not started goes back, what runs is ended."""
    runner = _found(session, folder)
    holder = runner.lock.holder()
    if holder is None:
        raise NotFound("not_running", f"Runner {runner.name} does not run here.")
    # It holds the lock at this moment, so the id is its own.
    os.kill(holder, signal.SIGTERM)
    deadline, pause = session.clock.boottime() + _ENDED_WITHIN_SECONDS, threading.Event()
    while runner.lock.holder() == holder:
        if session.clock.boottime() > deadline:
            raise TimedOut("runner_stop_slow", f"Runner {runner.name} has not ended yet; its warden goes on ending.")
        pause.wait(0.05)
    if as_json:
        emit({"name": runner.name, "stopped": True})
    else:
        click.echo(f"Runner {runner.name} has ended.")


def run_here(session: Session, runner: RunnerFolder, *, debug: bool) -> NoReturn:
    """Become the runner."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir(runner.workspace.root)
    os.execve(sys.executable, _argv(runner, debug=debug), child_environment(session.environ))


def detach(session: Session, runner: RunnerFolder, *, debug: bool) -> int:
    """Start the runner in a session of its own; its pid, once it is attached. Raises Unavailable when it is not."""
    out = runner.workspace.logs / f"runner-{runner.name}.out"
    near, far = os.pipe()
    argv = [*_argv(runner, debug=debug), "--tell", str(far)]
    root, environ = runner.workspace.root, child_environment(session.environ)
    child = spawn(argv, folder=root, out=out, environ=environ, tell=far)
    with os.fdopen(near, "rb", buffering=0) as answer:
        ready, _, _ = select.select([answer], [], [], _ATTACHED_WITHIN.total_seconds())
        if ready and answer.read(64):
            return child.pid
    if child.poll() is None:
        child.terminate()
        child.wait()
    words = last_words(out, lines=2) or last_words(runner.workspace.system_log, lines=1)
    raise Unavailable(
        "not_attached",
        f"Runner {runner.name} was not attached within {_ATTACHED_WITHIN.total_seconds():.0f} s, and was ended again."
        f" It said last: {words or 'nothing'}",
        remedy="Is the coordinator up, and its address open to this host?",
    )


def say_started(runner: RunnerFolder, pid: int, *, as_json: bool) -> None:
    """Tell a person that it runs, and what comes next."""
    root = runner.workspace.root
    if as_json:
        emit({"name": runner.name, "folder": str(root), "pid": pid})
        return
    click.echo(f"Runner {runner.name} is attached, as process {pid}.")
    click.echo(f"  quantum runner stop --folder {root}      ends it")
    click.echo(f"  {runner.workspace.projects_file}     names the folders of projects on this host")


def _argv(runner: RunnerFolder, *, debug: bool) -> list[str]:
    module = [sys.executable, "-m", "services.agent_runner", "--name", runner.name]
    return [*module, "--workspace", str(runner.workspace.root), *(("--debug",) if debug else ())]


def _found(session: Session, folder: Path | None) -> RunnerFolder:
    if folder is None:
        return RunnerFolder(session.workspace)
    return RunnerFolder(Workspace((session.cwd / folder.expanduser()).resolve()))
