"""Reads what is to be run: from options, and from the JSON that the HTTP interface takes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from cli.options import Duration, Moment, Pair, agent_names, one_of
from clients.coordinator_values import TaskSpec
from foundation.errors import FieldFault, Invalid, QuantumError, did_you_mean
from foundation.quantities import parse_duration

F = TypeVar("F", bound=Callable[..., Any])

STDIN_BYTES_MAX = 64 * 1024 * 1024


def task_options(function: F) -> F:
    """The options with which one task is described."""
    for option in reversed(
        (
            click.argument("agent", required=False, shell_complete=agent_names),
            click.option(
                "--agent", "agent_option", shell_complete=agent_names, help="The agent, as the runbook writes it."
            ),
            click.option("--task", "task_option", help="The same."),
            click.option("--project", default="", help="A project: the agent runs in its folder."),
            click.option("--params", help="A JSON object; `-` reads it from standard input."),
            click.option("--param", "pairs", type=Pair(), multiple=True, help="One param as text; repeat for more."),
            click.option("--priority", type=click.IntRange(0, 9), help="9 goes first; 5 when not given."),
            click.option("--timeout", type=Duration(), help="Wall clock of one attempt, like 90s or 1h30m."),
            click.option("--retries", type=click.IntRange(0), help="How often a failed attempt is tried again."),
            click.option("--not-before", type=Moment(), help="Not to be started before, like 2026-12-01T06:00:00Z."),
            click.option("--after", "depends_on", multiple=True, help="Id of a task that must succeed first."),
            click.option("--label", "labels", type=Pair(), multiple=True, help="What its runner must have: os=darwin."),
        )
    ):
        function = option(function)
    return function


def spec_of_options(
    *,
    agent: str | None,
    agent_option: str | None,
    task_option: str | None,
    project: str,
    params: str | None,
    pairs: Sequence[tuple[str, str]],
    priority: int | None,
    timeout: timedelta | None,
    retries: int | None,
    not_before: datetime | None,
    depends_on: Sequence[str],
    labels: Sequence[tuple[str, str]],
) -> TaskSpec:
    """One task from the options; the names are those of `task_options`. Raises Invalid for params that are none."""
    return TaskSpec(
        agent=one_of(agent, agent_option, task_option, what="agent"),
        project=project,
        params={**_params_of(params), **dict(pairs)},
        priority=priority,
        timeout=timeout,
        retries=retries,
        not_before=not_before,
        depends_on=tuple(depends_on),
        labels=dict(labels),
    )


def _params_of(text: str | None) -> Mapping[str, object]:
    if text is None:
        return {}
    try:
        value = json.loads(sys.stdin.read(STDIN_BYTES_MAX) if text == "-" else text)
    except (ValueError, RecursionError) as error:
        raise Invalid(
            "bad_params",
            f"The params are not JSON: {error}.",
            remedy="""Write them like --params '{"configuration": "release"}', or --param configuration=release.""",
        ) from None
    if not isinstance(value, dict):
        raise Invalid(
            "bad_params",
            f"The params must be a JSON object, and this is {_shape(value)}.",
            remedy="""Write them like --params '{"configuration": "release"}'.""",
        )
    return value


def read_specs(text: str) -> list[TaskSpec]:
    """Tasks from JSON: one, a list, or `{"tasks": […]}`, each as POST /tasks/queue takes it.

    Raises Invalid naming every fault by its place, like `tasks[2].timeout`.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid("bad_json", f"Standard input is not JSON: {error}.") from None
    if isinstance(document, dict) and set(document) == {"tasks"}:
        document = document["tasks"]
    entries = document if isinstance(document, list) else [document]
    if not entries:
        raise Invalid("no_tasks", "Standard input names no task.")
    faults: list[FieldFault] = []
    specs = [_spec(entry, f"tasks[{number}]", faults) for number, entry in enumerate(entries)]
    if faults:
        what = "One thing is" if len(faults) == 1 else f"{len(faults)} things are"
        raise Invalid("bad_tasks", f"{what} wrong with these tasks; none was submitted.", fields=faults)
    return specs


def _spec(entry: object, place: str, faults: list[FieldFault]) -> TaskSpec:
    if not isinstance(entry, dict):
        faults.append(FieldFault(place, f"must be an object, and this is {_shape(entry)}."))
        return TaskSpec(agent="")
    if not entry.get("agent"):
        faults.append(FieldFault(f"{place}.agent", "is missing."))
    read: dict[str, Any] = {}
    for name, value in entry.items():
        reader = _READERS.get(name)
        if reader is None:
            near = did_you_mean(name, _READERS)
            faults.append(FieldFault(f"{place}.{name}", "is not known" + (f"; did you mean {near}?" if near else ".")))
            continue
        if value is None:
            continue
        try:
            read[name] = reader(value)
        except QuantumError as error:
            faults.append(FieldFault(f"{place}.{name}", f"{error.message} {error.remedy}".strip()))
        except (TypeError, ValueError, OverflowError) as error:
            faults.append(FieldFault(f"{place}.{name}", str(error)))
    return TaskSpec(**{"agent": "", **read})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"must be a text, and this is {_shape(value)}.")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"must be a whole number, and this is {_shape(value)}.")
    return value


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"must be an object, and this is {_shape(value)}.")
    return value


def _labels(value: object) -> Mapping[str, str]:
    return {key: _text(label) for key, label in _object(value).items()}


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"must be a list, and this is {_shape(value)}.")
    return tuple(_text(item) for item in value)


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError("has no time zone; write it like 2026-12-01T06:00:00Z.")
    return moment.astimezone(UTC)


_READERS: Mapping[str, Callable[[object], object]] = {
    "agent": _text,
    "params": _object,
    "project": _text,
    "priority": _number,
    "not_before": _moment,
    "depends_on": _texts,
    "ref": _text,
    "timeout": lambda value: parse_duration(_text(value)),
    "retries": _number,
    "labels": _labels,
}


def _shape(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return "a text"
        case _:
            return "a number"
