"""`quantum adopt`: reads a folder of scripts, proposes what they would be as agents, and makes them so when told to."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import click

from cli.adopting import importing, legacy, writing
from cli.adopting.restarters import Machine
from cli.adopting.showing import left_lines, say_survey, survey_document
from cli.adopting.survey import Survey, change_of, survey
from cli.options import json_option
from cli.output.printing import counted, emit, printable
from cli.session import Connected, Session
from cli.workspace.projects_file import ProjectsFile
from clients.coordinator_values import Effects
from foundation.errors import Conflict, Invalid, NotFound
from foundation.workspace import Workspace

QUEUE_BYTES_MAX = 1024**3


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--apply", "wanted", is_flag=True, help="Write what is proposed; without it nothing is written.")
@click.option(
    "--undo",
    "undo_id",
    is_flag=False,
    flag_value=writing.LATEST,
    help="Take an --apply back, the last one or by its ID.",
)
@click.option(
    "--tasks", "queue_file", type=click.Path(path_type=Path), help="Import the open tasks of a task_queue.json."
)
@click.option("--blocks", is_flag=True, help="Show the manifest of each, too.")
@json_option
@click.pass_obj
def command(
    session: Session,
    folder: Path | None,
    wanted: bool,
    undo_id: str | None,
    queue_file: Path | None,
    blocks: bool,
    as_json: bool,
) -> int:
    """Read the scripts of FOLDER without running one: what each would be as an agent, what is wrong with it, and who
    else starts it. --apply makes them agents, and prints the line that takes it back."""
    if undo_id is not None:
        if folder or wanted or queue_file:
            raise click.UsageError("--undo goes alone.")
        return _undo(session.workspace, undo_id, as_json=as_json)
    if folder is None and queue_file is None:
        raise click.UsageError("Which FOLDER? Or --tasks FILE, or --undo.")
    document: dict[str, Any] = {"dry_run": not wanted}
    if folder is not None:
        document |= _folder(session, folder.expanduser(), wanted=wanted, blocks=blocks, as_json=as_json)
    if queue_file is not None:
        path = session.cwd / queue_file.expanduser()
        document["tasks"] = _tasks(session, path, wanted=wanted, as_json=as_json)
    if as_json:
        emit(document)
    return 0


def _folder(session: Session, folder: Path, *, wanted: bool, blocks: bool, as_json: bool) -> dict[str, Any]:
    workspace = session.workspace
    machine = Machine(home=Path(session.environ.get("HOME") or Path.home()))
    seen = survey(session.cwd / folder, workspace, machine, session.environ)
    if not as_json:
        say_survey(seen, blocks=blocks)
    applied = _apply(session, workspace, seen) if wanted else ""
    undo = f"quantum adopt --undo {applied}" if applied else None
    if not as_json:
        _say_applied(workspace, seen, applied, f"quantum adopt {shlex.quote(str(folder))} --apply")
    return {**survey_document(seen), "applied": applied or None, "undo": undo}


def _apply(session: Session, workspace: Workspace, seen: Survey) -> str:
    agents = Path(os.path.realpath(workspace.agents))
    changes = [change_of(one, agents) for one in seen.adopted]
    return writing.apply(workspace, changes, now=session.clock.now()) if changes else ""


def _say_applied(workspace: Workspace, seen: Survey, applied: str, line: str) -> None:
    for name in writing.unfinished(workspace):
        click.echo(f"  ? An --apply was cut short ({name}); the next --apply or --undo takes it back.")
    if applied:
        click.echo(f"{counted(len(seen.adopted), 'agent')} adopted; they are listed within two seconds.")
        if services := [one.name for one in seen.adopted if one.values.get("kind") == "service"]:
            click.echo(f"  Services among them start at once, while everything runs: {', '.join(services)}.")
        click.echo(f"  undo: quantum adopt --undo {applied}")
    elif seen.adopted:
        click.echo(f"Nothing was written. To adopt them: {printable(line)}")
        if any(one.values.get("kind") == "service" for one in seen.adopted):
            click.echo("  What is a service then starts at once: first end what else runs it.")


def _undo(workspace: Workspace, which: str, *, as_json: bool) -> int:
    done = writing.undo(workspace, which)
    if as_json:
        emit({"undone": done.id, "restored": list(done.restored), "edited": list(done.edited)})
    else:
        click.echo(f"{counted(len(done.restored), 'file')} as before.")
    if not done.edited:
        return 0
    said = f"Edited since, and left as they are ({counted(len(done.edited), 'file')})"
    if as_json:
        return 73
    raise Conflict(
        "edited_since",
        f"{said}: {', '.join(done.edited)}.",
        remedy=f"Take the block out by hand, or move them away; then quantum adopt --undo {done.id}.",
    )


def _tasks(session: Session, path: Path, *, wanted: bool, as_json: bool) -> dict[str, Any]:
    queue = legacy.read_queue(_read(path))
    with session.connected() as connected:
        known = _known(session, connected)
        tasks, left = legacy.plan(queue, known)
        ledger = _ledger(session.workspace)
        done = None
        if wanted:
            done = importing.import_tasks(tasks, ledger, left, lambda specs, key: _submit(connected, specs, key))
    earlier = sum(1 for task in tasks if task.digest in ledger.done) if done is None else done.earlier
    document = {
        "file": str(path),
        "entries": len(queue.entries),
        "damage": queue.damage or None,
        "to_submit": len(tasks) - earlier if done is None else 0,
        "submitted": 0 if done is None else done.submitted,
        "submitted_earlier": earlier,
        "left_out": [
            {"reason": reason, "count": number, "examples": left.examples[reason]}
            for reason, number in left.counts.most_common()
        ],
    }
    if not as_json:
        _say_tasks(document, left)
    return document


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(QUEUE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise NotFound("no_queue_file", f"There is no {path}.") from None
    if len(data) > QUEUE_BYTES_MAX:
        raise Invalid("queue_too_large", f"{path} is larger than 1 GiB.", remedy="Cut it into several.")
    return data


def _ledger(workspace: Workspace) -> importing.Ledger:
    folder = workspace.state / "adopt"
    folder.mkdir(mode=0o700, exist_ok=True)
    return importing.Ledger.read(folder / "imported.jsonl")


def _known(session: Session, connected: Connected) -> legacy.Known:
    listed = connected.call(connected.coordinator.reload_agents())
    tasks = [agent for agent in listed if agent.kind != "service" and not agent.faults]
    agents = {alias: agent.name for agent in tasks for alias in agent.aliases} | {one.name: one.name for one in tasks}
    services = {spelt for agent in listed if agent.kind == "service" for spelt in (agent.name, *agent.aliases)}
    again = {agent.name for agent in tasks if agent.effects in (Effects.NONE, Effects.IDEMPOTENT)}
    projects = ProjectsFile(session.workspace.projects_file).read()
    return legacy.Known(agents=agents, again=again, projects=projects, services=services)


def _submit(connected: Connected, specs: Any, key: str) -> list[str]:
    done = connected.call(connected.coordinator.submit(specs, idempotency_key=key))
    return [task.id for task in done.tasks]


def _say_tasks(document: dict[str, Any], left: legacy.Left) -> None:
    submitted = document["submitted"]
    what = (
        f"{counted(submitted, 'task')} submitted"
        if submitted
        else f"{counted(document['to_submit'], 'task')} to submit"
    )
    click.echo(f"{document['entries']} entries in {printable(document['file'])}: {what}, "
               f"{document['submitted_earlier']} submitted earlier, {sum(left.counts.values())} left out.")  # fmt: skip
    if document["damage"]:
        click.echo(f"  ✗ {printable(document['damage'])}")
    for line in left_lines(left.counts.most_common(), left.examples):
        click.echo(f"  {line}")
