"""The door of the command line: verbs by name, errors as sentences or documents, exit codes, a quick start."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import click
import pytest

import cli
from cli.__main__ import EXIT_CODES, SECTIONS, VERBS, report
from cli.__main__ import quantum as typed
from cli.session import Session
from foundation.errors import Exhausted, FieldFault, Invalid, Kind, for_kind
from tests.cli.conftest import Quantum

ROOT = Path(cli.__file__).parents[1]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_can_be_imported_and_takes_json(verb: str) -> None:
    import click

    command = typed.get_command(click.Context(typed), verb)
    assert command is not None
    commands = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    for one in commands:
        assert one.help, one.name
        if one.hidden or one.context_settings.get("ignore_unknown_options"):
            # The operating system starts it; or it passes on whatever was typed.
            continue
        assert "--json" in {name for parameter in one.params for name in parameter.opts}, one.name


@pytest.mark.parametrize("words", [["--help"], ["token", "show", "--help"], ["init", "--help"], ["down", "--help"]])
def test_grpc_is_not_loaded_where_nobody_calls(words: list[str]) -> None:
    script = (
        "import sys\n"
        "from cli.__main__ import run\n"
        f"code = run({words!r})\n"
        "print(sorted(name for name in sys.modules if name in ('grpc', 'google.protobuf', 'rich', 'psutil')), code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[] 0"


def test_an_old_python_gets_one_sentence() -> None:
    # What an old Python reads first; run by this one, which is told to be old.
    text = (ROOT / "cli" / "__init__.py").read_text()
    script = "import sys; sys.version_info = (3, 8, 0); exec(sys.stdin.read())"
    done = subprocess.run([sys.executable, "-c", script], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer, and this is 3.8" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_slip_in_a_verb_is_met_with_the_nearest(quantum: Quantum) -> None:
    refused = quantum("tsks")
    assert refused.code == 2
    assert "Did you mean “tasks”?" in refused.err


def test_without_a_workspace_the_way_to_one_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from cli.__main__ import run

    code = run(["tasks"], Session(environ={}, cwd=tmp_path))
    assert code == 66
    assert "quantum init" in capsys.readouterr().err


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_error_has_an_exit_code(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    code = report(for_kind(kind)("some_code", "A sentence.", remedy="quantum help"), as_json=False)
    assert 64 <= code <= 78 or code == 130
    assert capsys.readouterr().err == "quantum: A sentence.\n  → quantum help\n"
    assert EXIT_CODES[kind] == code


def test_every_fault_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    report(Invalid("bad", "Two things.", fields=[FieldFault("a", "is odd"), FieldFault("b", "too")]), as_json=False)
    assert capsys.readouterr().err == "quantum: Two things.\n  a: is odd\n  b: too\n"


def test_an_error_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    report(Exhausted("full", "The queue is full.", retry_after=timedelta(seconds=5)), as_json=True)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert json.loads(printed.out)["error"] == {
        "code": "full",
        "message": "The queue is full.",
        "remedy": None,
        "fields": [],
        "retry_after_seconds": 5.0,
    }


def test_a_fault_of_ours_is_no_traceback(quantum: Quantum, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("tests.cli.fakes.PlayedCoordinator.get_task", None)
    refused = quantum("tasks", "t1")
    assert refused.code == 70
    assert "Traceback" not in refused.err
    kept = list((tmp_path / "state" / "quantum").glob("incident-*.txt"))
    assert len(kept) == 1
    assert "Traceback" in kept[0].read_text()
    assert str(kept[0]) in refused.err


def test_completion_is_a_script(quantum: Quantum) -> None:
    assert "_QUANTUM_COMPLETE=bash_complete" in quantum("completion", "bash").out
    assert quantum("completion", "fish", "--json").document["shell"] == "fish"


def test_each_verb_stands_under_one_heading_and_tells_of_no_more_than_it_does(quantum: Quantum) -> None:
    said = quantum("--help").out
    assert [said.index(f"\n{title}:\n") for title in SECTIONS] == sorted(said.index(f"\n{t}:\n") for t in SECTIONS)
    assert len(VERBS) == sum(map(len, SECTIONS.values()))
    assert all(len(re.findall(rf"^  {verb} ", said, flags=re.MULTILINE)) == 1 for verb in VERBS)


def _groups(command: click.Command, path: str) -> Iterator[tuple[str, click.Group]]:
    if isinstance(command, click.Group):
        yield path, command
        ctx = click.Context(command, info_name=path)
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            assert found is not None
            yield from _groups(found, f"{path} {name}")


def test_what_each_verb_does_is_said_whole_at_eighty_columns() -> None:
    for path, group in _groups(typed, "quantum"):
        ctx = click.Context(group, info_name=path, max_content_width=80, terminal_width=80)
        shown = group.get_help(ctx)
        said = " ".join(shown.split())
        for name in group.list_commands(ctx):
            found = group.get_command(ctx, name)
            assert found is not None
            sentence = VERBS[name] if group is typed else found.get_short_help_str(10_000)
            assert found.hidden or f"{name} {sentence}" in said
        assert max(map(len, shown.splitlines())) <= 80


def test_control_click_alone_would_cut_them() -> None:
    cut = 0
    for path, group in _groups(typed, "quantum"):
        ctx, formatter = click.Context(group, info_name=path), click.HelpFormatter(width=80)
        click.Group.format_commands(group, ctx, formatter)
        cut += sum(line.endswith("...") for line in formatter.getvalue().splitlines())
    print(f"{cut} sentences would be cut")
    assert cut
