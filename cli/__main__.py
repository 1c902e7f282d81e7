"""`quantum`: reads the command line, runs one verb, and turns every error into a sentence and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import click

from cli.output.printing import emit, printable
from cli.session import Session
from cli.workspace.refusals import refused
from foundation.auth import calling_from
from foundation.errors import Internal, Kind, QuantumError, did_you_mean

# Every verb is a module of cli/verbs, imported only when it is called: `quantum --help` must not load gRPC.
SECTIONS = {
    "Start and end": {
        "init": "make a folder a workspace",
        "up": "start gateway, coordinator, safety and a runner",
        "down": "end what `up` started",
        "service": "run everything as services of the operating system",
    },
    "See how it stands": {
        "morning": "six lines: is there anything to be done?",
        "status": "what runs, what waits, and what is held, on one screen",
        "doctor": "how every part is, and the line that mends it",
        "alerts": "what needs a person",
    },
    "Run agents": {
        "run": "submit a task, follow it live, exit with its code",
        "submit": "submit a task and return at once",
        "tasks": "list tasks, or show one",
        "why": "why a task is not running",
        "logs": "a task's output",
        "follow": "follow the tasks of an agent live",
        "cancel": "cancel tasks",
        "retry": "run ended tasks again, as new ones",
        "decide": "decide about a task that waits for a person",
    },
    "What can be run, where and when": {
        "agents": "the catalogue and how each agent fares",
        "adopt": "make agents of scripts that are there already",
        "projects": "the projects, and how to add one",
        "schedule": "what starts agents by the clock: list, pause, resume, run, why",
        "reports": "what agents have reported",
        "queue": "figures, pause, resume, clear, undo",
        "runner": "the runners, here and on other hosts: list, drain, resume, invite, join",
    },
    "When something is wrong": {
        "stop": "stop everything, and keep it stopped",
        "resume": "start again after a stop",
        "recover": "let held agents go, and run again what died of it",
        "isolate": "after a break-in: end everything, revoke every token",
        "mode": "show the operating mode, tighten or loosen it",
        "breaker": "circuit breakers: list, force, reset",
    },
    "Merges": {
        "merge": "merge a branch once it has passed its test; what was checked, undo, mend, approve",
        "hooks": "the merge guard in git repositories: install, uninstall, status",
    },
    "Money, keys and evidence": {
        "budget": "error budgets: what is left, how fast it burns",
        "spend": "what is spent, promised and left; prices and caps",
        "token": "your token, and those of others",
        "secret": "secrets for agents, in the keychain",
        "ca": "the workspace's own authority and its certificates",
        "audit": "what was done with privilege, and the proof of it",
    },
    "Keep it": {
        "backup": "make, list, check and prune backups",
        "restore": "put a backup back",
        "rotate": "a new key for the databases, or the logs begun anew",
        "config": "settings and where each comes from",
        "runbook": "the command names that the operations runbook types: install, uninstall, list",
        "completion": "shell completion",
    },
}
VERBS = {verb: said for verbs in SECTIONS.values() for verb, said in verbs.items()}

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
        """The verbs, in the order in which one needs them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb; None for what is none."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"cli.verbs.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that was typed; a usage error that names the nearest one."""
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            near = did_you_mean(args[0], VERBS)
            meant = f" Did you mean “{near}”?" if near else ""
            ctx.fail(f"There is no verb “{args[0]}”.{meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs by what one wants, without importing one."""
        width = max(map(len, VERBS))
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(verb.ljust(width), said) for verb, said in verbs.items()])


def _print_version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib import metadata

    try:
        version = metadata.version("quantum")
    except metadata.PackageNotFoundError:
        version = "(not installed, run from its source)"
    click.echo(f"quantum {version}")
    ctx.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--workspace", type=click.Path(path_type=Path), help="Folder to work in; else QUANTUM_WORKSPACE, else upwards."
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Say which this is."
)
@click.pass_context
def quantum(ctx: click.Context, workspace: Path | None) -> None:
    """Run a fleet of agent scripts unattended, and keep that safe."""
    environ = dict(os.environ)
    if workspace is not None:
        environ["QUANTUM_WORKSPACE"] = str(workspace.expanduser().resolve())
    # `None` unless a test has handed in a session of its own.
    ctx.obj = ctx.obj or Session(environ=environ, cwd=Path.cwd())


def main() -> None:
    """Run the command line; every error becomes a sentence on standard error and a documented exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str], session: Session | None = None) -> int:
    """Run one command and return its exit code; with `--json` an error, too, is one document on standard output."""
    as_json = "--json" in arguments
    try:
        with calling_from(f"quantum {next((word for word in arguments if word in VERBS), '')}".strip()):
            code = quantum.main(arguments, prog_name="quantum", standalone_mode=False, obj=session)
    except QuantumError as error:
        return report(error, as_json=as_json)
    except click.ClickException as error:
        return _report_usage(error, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        return EXIT_CODES[Kind.CANCELLED]
    except BrokenPipeError:
        # The reader of our output has gone (`quantum tasks | head`): nothing more to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except PermissionError as error:
        return report(refused(error), as_json=as_json)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return report(Internal("system_refused", f"The system refused something: {what}."), as_json=as_json)
    except Exception as error:  # noqa: BLE001 - a fault of ours must not become a traceback on somebody's screen
        return _report_fault(error, as_json=as_json)
    return code if isinstance(code, int) else 0


def report(error: QuantumError, *, as_json: bool) -> int:
    """Say what went wrong and what to do, and return the exit code."""
    if as_json:
        faults = [{"path": fault.path, "message": fault.message} for fault in error.fields]
        retry_after = error.retry_after.total_seconds() if error.retry_after else None
        document = {"code": error.code, "message": error.message, "remedy": error.remedy or None, "fields": faults}
        emit({"error": {**document, "retry_after_seconds": retry_after}})
    else:
        click.echo(f"quantum: {printable(error.message)}", err=True)
        for fault in error.fields:
            # A single fault is often the sentence itself; then its place is news only among many.
            if fault.message != error.message:
                click.echo(f"  {printable(f'{fault.path}: {fault.message}')}", err=True)
            elif not fault.path.startswith("tasks[0]"):
                click.echo(f"  at {fault.path}", err=True)
        if error.remedy:
            click.echo(f"  → {error.remedy}", err=True)
    return EXIT_CODES[error.kind]


def _report_usage(error: click.ClickException, *, as_json: bool) -> int:
    if not as_json:
        error.show()
        return error.exit_code
    context = getattr(error, "ctx", None)
    remedy = f"{context.command_path} --help" if context else None
    emit({"error": {"code": "usage", "message": error.format_message(), "remedy": remedy, "fields": []}})
    return error.exit_code


def _report_fault(error: Exception, *, as_json: bool) -> int:
    import traceback

    from foundation.clock import SystemClock
    from foundation.ids import SystemIds
    from foundation.tokens import mask

    incident = SystemIds(SystemClock()).new()
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "quantum"
    path = folder / f"incident-{incident}.txt"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(mask("".join(traceback.format_exception(error))))
        kept = f"where it went wrong is in {path}"
    except OSError:
        kept = "where it went wrong could not be kept"
    said = f"The command line itself failed ({type(error).__name__}); {kept}."
    return report(Internal("internal", said, remedy="That is a fault of ours; please report it."), as_json=as_json)


if __name__ == "__main__":
    main()
