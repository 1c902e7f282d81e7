"""`quantum`: reads the command line, runs one verb, and turns every error into a sentence and an exit code."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import click

from cli.session import Session
from foundation.errors import Kind, QuantumError

# Every verb is a module of cli/verbs, imported only when it is called: `quantum --help` must not load gRPC.
VERBS = {
    "init": "make a folder a workspace",
    "up": "start gateway, coordinator, safety and a runner",
    "down": "end what `up` started",
    "status": "what runs, what waits, and what is held",
    "run": "submit a task, follow it live, exit with its code",
    "submit": "submit a task and return at once",
    "tasks": "list tasks, or show one",
    "why": "why a task is not running",
    "cancel": "cancel tasks",
    "retry": "run ended tasks again, as new ones",
    "decide": "decide about a task that waits for a person",
    "logs": "a task's output",
    "agents": "the catalogue and how each agent fares",
    "follow": "follow the tasks of an agent live",
    "projects": "the projects, and how to add one",
    "reports": "what agents have reported",
    "queue": "figures, pause, resume, clear, undo",
    "stop": "stop everything, and keep it stopped",
    "resume": "start again after a stop",
    "breaker": "circuit breakers: list, force, reset",
    "token": "your token, and those of others",
    "config": "settings and where each comes from",
    "doctor": "check this installation and say what to do",
    "completion": "shell completion",
}

# Exit codes by kind of error; documented in docs/cli.md. `run` exits with the agent's own code instead.
EXIT_CODES = {
    Kind.INVALID: 65,
    Kind.NOT_FOUND: 66,
    Kind.CONFLICT: 73,
    Kind.STALE: 73,
    Kind.EXHAUSTED: 75,
    Kind.TIMEOUT: 75,
    Kind.UNAVAILABLE: 69,
    Kind.UNAUTHENTICATED: 77,
    Kind.DENIED: 77,
    Kind.UNSUPPORTED: 64,
    Kind.CANCELLED: 130,
    Kind.INTERNAL: 70,
}


class Verbs(click.Group):
    """A group that knows its verbs by name and imports one when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"cli.verbs.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--workspace", type=click.Path(path_type=Path), help="Folder to work in; else QUANTUM_WORKSPACE, else upwards.")
@click.version_option(package_name="quantum")
@click.pass_context
def quantum(ctx: click.Context, workspace: Path | None) -> None:
    """Run a fleet of agent scripts unattended, and keep that safe."""
    environ = dict(os.environ)
    if workspace is not None:
        environ["QUANTUM_WORKSPACE"] = str(workspace.resolve())
    ctx.obj = Session(environ=environ, cwd=Path.cwd())


def main() -> None:
    """Run the command line; every error becomes a sentence on standard error and a documented exit code."""
    wants_json = "--json" in sys.argv
    try:
        code = quantum.main(standalone_mode=False)
    except QuantumError as error:
        sys.exit(report(error, wants_json=wants_json))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone (`quantum tasks | head`): nothing more to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def report(error: QuantumError, *, wants_json: bool) -> int:
    """Say what went wrong and what to do, and return the exit code."""
    if wants_json:
        faults = [{"path": fault.path, "message": fault.message} for fault in error.fields]
        document = {"error": {"code": error.code, "message": error.message, "remedy": error.remedy, "fields": faults}}
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(f"quantum: {error.message}", err=True)
        for fault in error.fields:
            click.echo(f"  {fault.path}: {fault.message}", err=True)
        if error.remedy:
            click.echo(f"  → {error.remedy}", err=True)
    return EXIT_CODES[error.kind]


if __name__ == "__main__":
    main()
