"""The one file behind every command name of the runbook: by any shell, any Python, from anywhere."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cli.runbook.commands import SOURCE
from cli.runbook.links import COMMAND, SHIM, install
from tests.programs import require

SHELLS = {"dash": ("dash",), "bash": ("bash", "--posix"), "busybox": ("busybox", "sh")}
PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
TOLD = '#!/bin/sh\necho "$0"\nfor word; do echo "[$word]"; done\nexit 42\n'
"""In place of `quantum`: tells how it was called, with an exit code that nothing else here has."""
TYPED = ("--task", "two words", "", "$(id) 'x' \"y\" *", "ü")


def pythons() -> dict[str, str]:
    """Every Python of those versions that is here, by version: on PATH, or among those of pyenv; our own for sure."""
    folders = [Path(folder) for folder in os.environ["PATH"].split(":")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {".".join(map(str, sys.version_info[:2])): sys.executable}
    for version in PYTHONS:
        for path in (*pyenv.glob(f"{version}.*/bin/python3"), *(folder / f"python{version}" for folder in folders)):
            if os.access(path, os.X_OK) and "shims" not in path.parts:
                found.setdefault(version, str(path))
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with every link, whose `quantum` only tells how it was called."""
    root = tmp_path / "wörk space"
    (root / "config").mkdir(parents=True)
    install(root)
    (root / ".runbook" / COMMAND).unlink()
    tell(root / ".runbook" / COMMAND)
    return root


def tell(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(TOLD)
    path.chmod(0o755)


def typed(*argv: str | Path, cwd: Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": path or os.environ["PATH"], "LANG": "C.UTF-8"}
    return subprocess.run(argv, capture_output=True, text=True, cwd=cwd, env=environ, timeout=60, check=False)


def told(root: Path, name: str, words: Sequence[str] = TYPED) -> str:
    """What `quantum` tells when the shim has called it as it should."""
    said = ["--workspace", str(root), "runbook", "run", name, *words]
    return "".join(f"{line}\n" for line in (f"{root}/.runbook/{COMMAND}", *(f"[{word}]" for word in said)))


@pytest.mark.parametrize("name", SHELLS)
def test_every_shell_runs_it(root: Path, name: str) -> None:
    program, *more = SHELLS[name]
    done = typed(require(program), *more, "analyze_coverage.sh", *TYPED, cwd=root)
    assert (done.returncode, done.stdout, done.stderr) == (42, told(root, "analyze_coverage.sh"), "")


def test_every_python_runs_it(root: Path) -> None:
    for version, python in pythons().items():
        done = typed(python, "-W", "error", "agents/run_agent.py", *TYPED, cwd=root)
        assert (done.returncode, done.stdout, done.stderr) == (42, told(root, "run_agent.py"), ""), version
    print(f"ran with Python {', '.join(sorted(pythons()))}")
    ast.parse((SOURCE / SHIM).read_text(), feature_version=(3, 8))


def test_it_is_typed_from_anywhere(root: Path, tmp_path: Path) -> None:
    (elsewhere := tmp_path / "bin").mkdir()
    (elsewhere / "mine").symlink_to(root / "mcp_server.py")
    expected = told(root, "mcp_server.py", ())
    for cwd, words in (
        (root, ["./mcp_server.py"]),
        (root / "agents", ["../mcp_server.py"]),
        (tmp_path, [str(root / "mcp_server.py")]),
        (tmp_path, [sys.executable, str(root / "mcp_server.py")]),
        (tmp_path, [str(elsewhere / "mine")]),
        (elsewhere, ["sh", "mine"]),
    ):
        done = typed(*words, cwd=cwd)
        assert (done.returncode, done.stdout) == (42, expected), words


def test_a_folder_that_is_itself_a_link_is_no_trouble(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "agents")
    (tmp_path / "deep" / "elsewhere").mkdir(parents=True)
    (root / "agents").symlink_to(tmp_path / "deep" / "elsewhere")
    assert "agents/run_agent.py" in install(root).changed
    (root / ".runbook" / COMMAND).unlink()
    tell(root / ".runbook" / COMMAND)
    done = typed(sys.executable, "agents/run_agent.py", cwd=root)
    assert (done.returncode, done.stdout) == (42, told(root, "run_agent.py", ()))


def test_a_workspace_that_was_moved_takes_it_along(root: Path, tmp_path: Path) -> None:
    root.rename(moved := tmp_path / "moved")
    assert typed("./mcp_server.py", cwd=moved).stdout == told(moved, "mcp_server.py", ())


def test_where_the_installation_has_gone_the_one_on_path_is_run(root: Path, tmp_path: Path) -> None:
    recorded = root / ".runbook" / COMMAND
    recorded.unlink()
    recorded.symlink_to(tmp_path / "gone" / "bin" / "quantum")
    tell(tmp_path / "bin" / "quantum")
    done = typed("./mcp_server.py", cwd=root, path=f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert done.returncode == 42
    assert done.stdout.startswith(f"{tmp_path}/bin/quantum\n[--workspace]\n[{root}]\n")


def test_with_none_at_all_it_says_what_to_do(root: Path, tmp_path: Path) -> None:
    recorded = root / ".runbook" / COMMAND
    recorded.unlink()
    recorded.symlink_to(tmp_path / "gone" / "quantum")
    done = typed("/bin/sh", "mcp_server.py", cwd=root, path="/usr/bin:/bin")
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr == (
        f"mcp_server.py: there is no command quantum any more at {tmp_path}/gone/quantum, and none on PATH.\n"
        "  → Where it is now, type once: PATH_TO/quantum runbook install\n"
    )


def test_shellcheck_finds_nothing() -> None:
    # 2288 and 2289: the line that the two languages read differently; 2317: what only Python reads.
    shellcheck = [require("shellcheck"), "-s", "sh", "-e", "2288,2289,2317", str(SOURCE / SHIM)]
    text = (SOURCE / SHIM).read_text()
    shell = text[: text.rindex("\n'''\n") + 1]
    done = subprocess.run([*shellcheck[:-1], "-"], input=shell, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", SHELLS)
def test_no_folder_that_cd_would_look_into_leads_it_to_another_workspace(root: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / "other"
    (other / "config").mkdir(parents=True)
    install(other)
    (other / ".runbook" / COMMAND).unlink()
    tell(other / ".runbook" / COMMAND)
    program, *more = SHELLS[name]
    environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "CDPATH": str(other)}
    argv = [require(program), *more, "agents/run_agent.py", *TYPED]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=root, env=environ, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (42, told(root, "run_agent.py"), "")
